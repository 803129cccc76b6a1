// SPDX-License-Identifier: Apache-2.0
// mamba2-quantize: a model with a half or a quarter of its bytes.
#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <mamba2/mamba2.hpp>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "tools/cli.hpp"
#include "tools/convert/output_path.hpp"
#include "tools/convert/outputs.hpp"
#include "tools/quantize/fit_budget.hpp"
#include "tools/quantize/observed_model.hpp"
#include "tools/quantize/pack_model.hpp"
#include "tools/quantize/plan.hpp"
#include "tools/quantize/statistics.hpp"
#include "tools/quantize/write.hpp"
#include "tools/weights.hpp"

namespace {

using mamba2::DType;
using mamba2::Result;
namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct Arguments {
  std::string in, out, json_file, calibrate, gptq;
  std::string type = "int4";
  std::string method = "search";
  std::string pack;  ///< a target; empty: not packed
  std::vector<std::string> keep;
  std::size_t group = 32;
  std::size_t tokens = std::size_t{1} << 15;
  double budget = 0.0;  ///< MB; 0: none
  cli::WorkerOptions workers;
  bool no_tokenizer = false;
  bool force = false;
  bool type_given = false;

  [[nodiscard]] bool to_gguf() const { return convert::is_gguf(out); }
  /// The text to calibrate with; empty: none.
  [[nodiscard]] const std::string& text() const { return gptq.empty() ? calibrate : gptq; }
  [[nodiscard]] quantize::Precisions precisions() const {
    const DType int4 = group == 32   ? DType::INT4_G32
                       : group == 64 ? DType::INT4_G64
                                     : DType::INT4_G128;
    return {int4, to_gguf()};
  }
  /// How INT4 codes are found, in a word.
  [[nodiscard]] std::string rounding() const {
    if (type == "int8" && keep.empty() && budget == 0.0) return "nearest";
    return !gptq.empty() ? "gptq" : !calibrate.empty() ? "importance" : method;
  }
};

/// A model that is read, and what goes with it.
struct Input {
  convert::ModelSource source;
  convert::Companions companions;
};

Result<Input> open_input(const Arguments& a) {
  auto source = convert::ModelSource::open(a.in);
  if (!source) return std::move(source).error();
  if (source->is_quantized()) {
    return mamba2::Error{mamba2::ErrorCode::unsupported,
                         a.in + ": is quantized already; quantize the original"};
  }
  auto companions = convert::Companions::open(a.in);
  if (!companions) return std::move(companions).error();
  if (a.no_tokenizer) companions->drop_tokenizer();
  return Input{*std::move(source), *std::move(companions)};
}

/// What a text says about the model.
struct Calibration {
  quantize::Text text;
  std::unique_ptr<quantize::ObservedModel> model;
};

/// A line on the terminal while there is work; false once the user has had enough.
quantize::Report reporter(cli::Progress& progress) {
  return [&progress](std::size_t done, std::size_t total) {
    progress.update(done, total);
    return convert::interrupted == 0;
  };
}

Result<std::unique_ptr<quantize::ObservedModel>> load_model(const Input& input,
                                                            const quantize::Plan& plan,
                                                            const mamba2::Workers& workers) {
  cli::Progress progress("loading");
  return quantize::ObservedModel::load(
      *input.source.checkpoint(), plan, workers,
      [&progress](std::size_t done, std::size_t total) { progress.update(done, total); });
}

/// Reads the text and the model; with a budget the plan is made to keep to it.
Result<Calibration> calibrate(const Arguments& a, const Input& input, quantize::Plan& plan,
                              const mamba2::Workers& workers) {
  const auto tokenizer = mamba2::Tokenizer::load(a.in);
  if (!tokenizer) return tokenizer.error();
  if (const auto fits = mamba2::detail::usable_tokens(*tokenizer, input.source.config()); !fits) {
    return fits.error();
  }
  auto text = quantize::Text::read(a.text(), *tokenizer, a.tokens);
  if (!text) return text.error();
  auto model = load_model(input, plan, workers);
  if (!model) return std::move(model).error();
  if (a.budget > 0.0) {
    cli::Progress progress("measuring");
    auto fitted =
        quantize::fit_budget(input.source, **model, plan, *text,
                             static_cast<std::size_t>(a.budget * 1e6), reporter(progress));
    if (!fitted) return fitted.error();
    model = load_model(input, plan, workers);  // it was changed
    if (!model) return std::move(model).error();
  }
  return Calibration{*std::move(text), *std::move(model)};
}

Json report(const Arguments& a, const std::vector<quantize::Outcome>& outcomes,
            std::uintmax_t bytes) {
  Json matrices = Json::array();
  for (const auto& [target, error] : outcomes) {
    Json entry = {{"name", target->name},
                  {"type", mamba2::dtype_name(target->format.dtype)},
                  {"rotation", target->format.rotation},
                  {"bytes", target->bytes()}};
    if (error) entry["relative_error"] = *error;
    matrices.push_back(std::move(entry));
  }
  return {{"model", a.in},       {"output", a.out},          {"type", a.type},
          {"group", a.group},    {"rounding", a.rounding()}, {"bytes", bytes},
          {"matrices", matrices}};
}

Result<void> finish(const Arguments& a, const std::vector<quantize::Outcome>& outcomes) {
  const fs::path file = a.to_gguf() ? fs::path(a.out) : fs::path(a.out) / "model.safetensors";
  std::error_code is_no_file;
  const std::uintmax_t bytes = fs::file_size(file, is_no_file);
  std::printf("%s: %s, %s", file.c_str(), a.type.c_str(), a.rounding().c_str());
  if (!is_no_file) std::printf(", %.1f MB", static_cast<double>(bytes) / 1e6);
  // Of no matrix where all were converted, as Q8_0 is.
  std::optional<double> worst;
  for (const auto& outcome : outcomes) worst = std::max(worst, outcome.relative_error);
  if (worst) std::printf(", relative error of a matrix up to %.2f %%", 100.0 * *worst);
  std::printf("\n");
  return cli::write_json(a.json_file, report(a, outcomes, is_no_file ? 0 : bytes));
}

Result<void> run(const Arguments& a) {
  if (!a.pack.empty()) {
    return quantize::pack_model(
        {a.in, a.out, a.type_given ? a.type : "", a.pack, a.no_tokenizer, a.force}, a.workers);
  }
  if (auto fine = convert::check_out(a.in, a.out, a.force); !fine) return fine;
  if (auto fine = cli::check_writable(a.json_file); !fine) return fine;
  const auto input = open_input(a);
  if (!input) return input.error();
  const mamba2::Config& config = input->source.config();
  if (a.to_gguf()) {
    if (auto possible = mamba2::check_gguf_export(config); !possible) return possible;
  }
  quantize::Plan plan(config, *a.precisions().parse(a.type), a.precisions());
  for (const std::string& keep : a.keep) {
    if (auto kept = plan.keep(keep); !kept) return kept;
  }
  const auto workers = a.workers.start();
  if (!workers) return workers.error();
  const auto executor = workers->get();
  if (!executor) return executor.error();
  convert::catch_signals();

  std::optional<Calibration> calibration;
  cli::Progress calibrating("calibrating");
  std::optional<quantize::Statistics> statistics;
  if (!a.text().empty()) {
    auto made = calibrate(a, *input, plan, {.executor = *executor});
    if (!made) return std::move(made).error();
    calibration = *std::move(made);
    statistics.emplace(*calibration->model, plan, calibration->text,
                       a.gptq.empty() ? quantize::Statistics::Wanted::int4
                                      : quantize::Statistics::Wanted::int4_hessians,
                       reporter(calibrating));
  }
  cli::Progress progress("quantizing");
  const convert::Job job = {input->source,
                            input->companions,
                            a.out,
                            convert::name_of_model(a.in),
                            *a.precisions().parse(a.type),
                            **executor,
                            reporter(progress)};
  const quantize::Method method = {a.method == "search", statistics ? &*statistics : nullptr};
  const auto outcomes = a.to_gguf() ? quantize::write_gguf(job, plan, method)
                                    : quantize::write_folder(job, plan, method);
  if (!outcomes) return outcomes.error();
  return finish(a, *outcomes);
}

void add_options(CLI::App& app, Arguments& a) {
  app.add_option("IN", a.in, "Folder with config.json and *.safetensors, or such a file, or GGUF")
      ->required();
  app.add_option("OUT", a.out, "File to write if it ends in .gguf, or with --pack, else folder")
      ->required();
  app.add_option("-t,--type", a.type,
                 "int8: a scale for each row. int4: a scale for each group of columns; the\n"
                 "embedding and the head are int8. In GGUF: Q8_0; Q4_0 with a Q6_K head")
      ->capture_default_str()
      ->check(CLI::IsMember({"int8", "int4"}));
  app.add_option("--group", a.group,
                 "Columns of a row that share a scale of int4: 32, 64 or 128, which are\n"
                 "4.5, 4.25 and 4.125 bits a weight")
      ->capture_default_str()
      ->check(CLI::IsMember({32, 64, 128}));
  app.add_option("--keep", a.keep,
                 "Other types for some matrices: NAME=TYPE, with embedding, lm_head, in_proj,\n"
                 "out_proj or layers.3.in_proj, and int4, int8, fp16, bf16 or fp32. The last one\n"
                 "that fits counts")
      ->allow_extra_args(false);
  app.add_option("--method", a.method,
                 "search: the scale with the least squared error; nearest: the one of the\n"
                 "largest weight")
      ->capture_default_str()
      ->check(CLI::IsMember({"search", "nearest"}));
  auto* calibrate = app.add_option(
      "--calibrate", a.calibrate,
      "A text: the search counts the errors of a column by the squares of its inputs when\n"
      "the model reads the text");
  app.add_option("--gptq", a.gptq,
                 "A text: GPTQ; the errors of a column are made up for by those after it, as\n"
                 "the inputs allow. Takes the memory of the model in FP16, and 2 GB")
      ->excludes(calibrate);
  app.add_option("--budget", a.budget,
                 "Choose int4, int8 or fp16 for each matrix so that model.safetensors has at most\n"
                 "so many MB and the KL divergence from the original on the text is the least.\n"
                 "Comes with --calibrate or --gptq; matrices of --keep are as it says")
      ->check(CLI::PositiveNumber);
  app.add_option("--tokens", a.tokens, "Read so many tokens of the text at most")
      ->capture_default_str()
      ->transform(cli::kWhole)
      ->check(CLI::PositiveNumber);
  app.add_option(
         "--pack", a.pack,
         "Write one file for programs on this CPU, which use its weights in place: native,\n"
         "cortex-a76, x86-64-v3 ... IN may be quantized, and keeps its precisions then\n"
         "unless --type says one")
      ->excludes("--group", "--keep", "--method", "--calibrate", "--gptq", "--budget");
  app.add_option("--json", a.json_file, "Write what became of each matrix to this file as JSON");
  app.add_flag("--no-tokenizer", a.no_tokenizer, "Leave the tokenizer out");
  app.add_flag("--force", a.force, "Replace what OUT is");
  a.workers.add(app);
}

void check_arguments(Arguments& a) {
  while (a.out.size() > 1 && a.out.back() == '/') a.out.pop_back();
  if (fs::path(a.out).extension() == ".safetensors") {
    throw CLI::ValidationError("OUT", "must end in .gguf, or be a folder");
  }
  if (a.budget > 0.0 && (a.text().empty() || a.to_gguf())) {
    throw CLI::ValidationError("--budget", "needs --calibrate or --gptq, and a folder as OUT");
  }
  if (a.to_gguf() && a.group != 32) {
    throw CLI::ValidationError("--group", "must be 32 in a GGUF file");
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Quantizes a Mamba-2 model: half or a quarter of the bytes on disk, which every program "
      "here\n"
      "then loads as they are. OUT is a folder with config.json, model.safetensors and\n"
      "tokenizer.json, for this library, or a GGUF file, which llama.cpp runs as well, or a\n"
      "packed file, which programs of this library for one CPU run in place.");
  Arguments arguments;
  add_options(app, arguments);
  app.footer(
      "Examples:\n"
      "  mamba2-quantize model model-int8 --type int8\n"
      "  mamba2-quantize model model-int4\n"
      "  mamba2-quantize model model-int4 --gptq book.txt         better, and slower to make\n"
      "  mamba2-quantize model model-60 --budget 60 --gptq book.txt\n"
      "  mamba2-quantize model model-int4 --keep layers.0.in_proj=int8 --keep embedding=fp16\n"
      "  mamba2-quantize model model.gguf --type int8\n"
      "  mamba2-quantize model-int4 model.packed --pack cortex-a76\n"
      "  mamba2-perplexity model-int4 other.txt --reference model   what it cost\n"
      "\n"
      "OUT appears when it is complete; on an error, or Ctrl-C, nothing is left of it.\n"
      "Exit status: 0 done, 1 something failed, 2 wrong usage, 130 interrupted.");
  app.callback([&] {
    arguments.type_given = app.count("--type") > 0;
    check_arguments(arguments);
  });
  const int status = cli::run(app, argc, argv, [&] { return run(arguments); });
  return status != 0 && convert::interrupted != 0 ? 128 + convert::interrupted : status;
}
