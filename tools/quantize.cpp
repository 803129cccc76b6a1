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
#include "tools/quantize/arguments.hpp"
#include "tools/quantize/fit_budget.hpp"
#include "tools/quantize/observed_model.hpp"
#include "tools/quantize/pack_model.hpp"
#include "tools/quantize/plan.hpp"
#include "tools/quantize/statistics.hpp"
#include "tools/quantize/write.hpp"

namespace {

using mamba2::Result;
using quantize::Arguments;
namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

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
  auto text = quantize::Text::read(a.text(), *tokenizer, a.tokens);
  if (!text) return text.error();
  const auto known = mamba2::detail::check_tokens(text->tokens, *tokenizer, input.source.config());
  if (!known) return known.error();
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
  for (const auto& [target, error, unseen] : outcomes) {
    Json entry = {{"name", target->name},
                  {"type", mamba2::dtype_name(target->format.dtype)},
                  {"rotation", target->format.rotation},
                  {"bytes", target->bytes()}};
    if (error) entry["relative_error"] = *error;
    if (unseen) entry["unseen"] = true;
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
  const auto unseen = std::ranges::count(outcomes, true, &quantize::Outcome::unseen);
  if (unseen > 0) {
    std::printf(
        "%td matrices of experts were rounded as without a text, as no token of it chose them\n",
        unseen);
  }
  return cli::write_json(a.json_file, report(a, outcomes, is_no_file ? 0 : bytes));
}

Result<void> run(const Arguments& a) {
  if (!a.pack.empty()) {
    return quantize::pack_model(
        {a.in, a.out, a.type_given ? a.type : "", a.pack, a.adapter, a.no_tokenizer, a.force},
        a.workers);
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

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Quantizes a Mamba-2 model: half or a quarter of the bytes on disk, which every program "
      "here\n"
      "then loads as they are. OUT is a folder with config.json, model.safetensors and\n"
      "tokenizer.json, for this library, or a GGUF file, which llama.cpp runs as well, or a\n"
      "packed file, which programs of this library for one CPU run in place.");
  Arguments arguments;
  quantize::add_options(app, arguments);
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
    quantize::check_arguments(arguments);
  });
  const int status = cli::run(app, argc, argv, [&] { return run(arguments); });
  return status != 0 && convert::interrupted != 0 ? 128 + convert::interrupted : status;
}
