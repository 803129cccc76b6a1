// SPDX-License-Identifier: Apache-2.0
// mamba2-convert: a checkpoint as a GGUF file or as one of Hugging Face transformers.
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <mamba2/mamba2.hpp>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "tools/cli.hpp"
#include "tools/convert/output_path.hpp"
#include "tools/convert/outputs.hpp"
#include "tools/shapes.hpp"
#include "tools/weights.hpp"

namespace {

using mamba2::DType;
using mamba2::Result;
namespace fs = std::filesystem;

struct Arguments {
  std::string in, out, type, shape;
  cli::WorkerOptions workers;
  bool no_tokenizer = false;
  bool force = false;

  [[nodiscard]] bool to_gguf() const { return convert::is_gguf(out); }
};

struct Type {
  const char* name;
  DType dtype;
};

constexpr Type kTypes[] = {{"f32", DType::F32},
                           {"f16", DType::F16},
                           {"bf16", DType::BF16},
                           {"q8_0", DType::Q8_0},
                           {"q4_0", DType::Q4_0}};

/// The type that was asked for; else that of the model if it can be written, but F16 for F32.
DType choose_type(const Arguments& a, DType stored) {
  DType type = DType::F16;
  for (const Type& known : kTypes) {
    const bool possible = a.to_gguf() || !mamba2::is_quantized(known.dtype);
    const bool keeps = known.dtype == stored && stored != DType::F32 && possible;
    if (a.type.empty() ? keeps : a.type == known.name) type = known.dtype;
  }
  return type;
}

Result<convert::ModelSource> open_source(const Arguments& a) {
  if (a.shape.empty()) return convert::ModelSource::open(a.in);
  return convert::ModelSource::random(cli::config_of_shape(a.shape));
}

std::string model_name(const Arguments& a) {
  return a.shape.empty() ? convert::name_of_model(a.in) : a.shape + " (random weights)";
}

void print_summary(const Arguments& a, DType type, bool has_tokenizer) {
  const fs::path file = a.to_gguf() ? fs::path(a.out) : fs::path(a.out) / "model.safetensors";
  std::error_code is_no_file;
  const auto bytes = static_cast<double>(fs::file_size(file, is_no_file));
  std::printf("%s: %s, ", file.c_str(), std::string(mamba2::dtype_name(type)).c_str());
  if (!is_no_file) std::printf("%.1f MB, ", bytes / 1e6);
  std::printf("%s\n", has_tokenizer ? "with tokenizer" : "no tokenizer");
}

Result<void> run(const Arguments& a) {
  if (auto fine = convert::check_out(a.in, a.out, a.force); !fine) return fine;
  const auto source = open_source(a);
  if (!source) return source.error();
  auto companions = a.shape.empty() ? convert::Companions::open(a.in) : convert::Companions();
  if (!companions) return companions.error();
  if (a.no_tokenizer) companions->drop_tokenizer();
  const auto workers = a.workers.start();
  if (!workers) return workers.error();
  const auto executor = workers->get();
  if (!executor) return executor.error();

  convert::catch_signals();
  cli::Progress progress("writing");
  const DType type = choose_type(a, source->dtype());
  const convert::Job job = {*source,
                            *companions,
                            a.out,
                            model_name(a),
                            type,
                            **executor,
                            [&progress](std::size_t done, std::size_t total) {
                              progress.update(done, total);
                              return convert::interrupted == 0;
                            }};
  auto written = a.to_gguf() ? convert::write_gguf(job) : convert::write_transformers(job);
  if (written) print_summary(a, type, companions->has_tokenizer());
  return written;
}

void describe(CLI::App& app, Arguments& a) {
  std::vector<std::string> types;
  for (const Type& type : kTypes) types.emplace_back(type.name);
  app.description(
      "Writes a model as a GGUF file, which llama.cpp and this library run, or as a "
      "folder\n"
      "of Hugging Face transformers: model.safetensors, config.json, tokenizer.json.");
  app.add_option("IN", a.in, cli::kCheckpointHelp);
  app.add_option("OUT", a.out, "File to write if it ends in .gguf, else folder");
  app.add_option("-t,--type", a.type,
                 "Type of the large matrices; all else is F32. Default: as in IN, but f16 for\n"
                 "F32 and for what OUT cannot have. q8_0 and q4_0 for GGUF only; with q4_0 the\n"
                 "head is Q6_K. Bits a weight: 32, 16, 16, 8.5 and 4.5")
      ->check(CLI::IsMember(types));
  app.add_option("--random", a.shape, "Instead of IN: random weights in a published shape")
      ->check(CLI::IsMember(cli::shape_names()));
  app.add_flag("--no-tokenizer", a.no_tokenizer, "Leave the tokenizer out");
  app.add_flag("--force", a.force, "Replace what OUT is");
  a.workers.add(app);
  app.footer(
      "Examples:\n"
      "  mamba2-convert examples/models/llama-tales-14m tales.gguf\n"
      "  mamba2-convert examples/models/llama-tales-14m tales-q8_0.gguf --type q8_0\n"
      "  mamba2-convert tales.gguf tales-hf --type f32\n"
      "  mamba2-convert --random mamba2-130m random-130m.gguf --type q4_0\n"
      "\n"
      "OUT appears when it is complete; on an error, or Ctrl-C, nothing is left of it. What OUT\n"
      "cannot say of a model is refused, by name.\n"
      "Exit status: 0 done, 1 something failed, 2 wrong usage, 130 interrupted.");
}

/// With --random the only path is the output's.
void sort_paths(const CLI::App& app, Arguments& a) {
  if (app.count("--random") > 0) {
    if (!a.out.empty()) throw CLI::ValidationError("--random", "comes instead of IN");
    std::swap(a.in, a.out);
  } else if (a.in.empty()) {
    throw CLI::RequiredError("IN");
  }
  if (a.out.empty()) throw CLI::RequiredError("OUT");
  while (a.out.size() > 1 && a.out.back() == '/') a.out.pop_back();
  if (fs::path(a.out).extension() == ".safetensors") {
    throw CLI::ValidationError("OUT", "must end in .gguf, or be a folder");
  }
  if (!a.to_gguf() && a.type.starts_with('q')) {
    throw CLI::ValidationError("--type", a.type + " needs an OUT that ends in .gguf");
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app;
  Arguments arguments;
  describe(app, arguments);
  app.callback([&] { sort_paths(app, arguments); });
  const int status = cli::run(app, argc, argv, [&] { return run(arguments); });
  return status != 0 && convert::interrupted != 0 ? 128 + convert::interrupted : status;
}
