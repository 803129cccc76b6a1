// SPDX-License-Identifier: Apache-2.0
// What mamba2-quantize is told to do.
#pragma once

#include <cstddef>
#include <filesystem>
#include <mamba2/mamba2.hpp>
#include <string>
#include <vector>

#include "tools/cli.hpp"
#include "tools/convert/output_path.hpp"
#include "tools/loading.hpp"
#include "tools/quantize/plan.hpp"
#include "tools/weights.hpp"

namespace quantize {

/// The command line of mamba2-quantize.
struct Arguments {
  std::string in, out, json_file, calibrate, gptq;
  std::string type = "int4";
  std::string method = "search";
  std::string rotation = "usual";
  std::string pack;  ///< a target; empty: not packed
  std::vector<std::string> keep;
  std::size_t group = 32;
  std::size_t tokens = std::size_t{1} << 15;
  double budget = 0.0;  ///< MB; 0: none
  cli::WorkerOptions workers;
  cli::AdapterOptions adapter;  ///< packed with the model
  bool no_tokenizer = false;
  bool force = false;
  bool type_given = false;

  [[nodiscard]] bool to_gguf() const { return convert::is_gguf(out); }
  /// The text to calibrate with; empty: none.
  [[nodiscard]] const std::string& text() const { return gptq.empty() ? calibrate : gptq; }
  [[nodiscard]] Precisions precisions() const {
    const mamba2::DType int4 = group == 32   ? mamba2::DType::INT4_G32
                               : group == 64 ? mamba2::DType::INT4_G64
                                             : mamba2::DType::INT4_G128;
    return {int4, to_gguf(),
            rotation == "full"   ? mamba2::kernels::widest_hadamard
            : rotation == "none" ? no_rotation
                                 : usual_rotation};
  }
  /// How INT4 codes are found, in a word.
  [[nodiscard]] std::string rounding() const {
    if (type == "int8" && keep.empty() && budget == 0.0) return "nearest";
    return !gptq.empty() ? "gptq" : !calibrate.empty() ? "importance" : method;
  }
};

inline void add_options(CLI::App& app, Arguments& a) {
  app.add_option("IN", a.in, cli::kCheckpointHelp)->required();
  app.add_option("OUT", a.out, "File to write if it ends in .gguf, or with --pack, else folder")
      ->required();
  app.add_option("-t,--type", a.type,
                 "int8: a scale for each row. int4: a scale for each group of columns; the\n"
                 "embedding and the head are int8. In GGUF: Q8_0; Q4_0 with a Q6_K head. ternary,\n"
                 "with --pack: of a model that is, as it is")
      ->capture_default_str()
      ->check(CLI::IsMember({"int8", "int4", "ternary"}));
  app.add_option("--group", a.group,
                 "Columns of a row that share a scale of int4: 32, 64 or 128, which are\n"
                 "4.5, 4.25 and 4.125 bits a weight")
      ->capture_default_str()
      ->transform(cli::whole_of({32, 64, 128}));
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
  app.add_option(
         "--rotation", a.rotation,
         "Of matrices whose inputs have outliers (out_proj, down_proj), the rows are\n"
         "multiplied by a Hadamard matrix: usual: in blocks of up to 256; full: in the widest\n"
         "that the columns allow; none")
      ->capture_default_str()
      ->check(CLI::IsMember({"usual", "full", "none"}));
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
      ->check(cli::number("a number of MB above 0, at most 1e12",
                          [](double megabytes) { return megabytes > 0.0 && megabytes <= 1e12; }));
  app.add_option("--tokens", a.tokens, "Read so many tokens of the text at most")
      ->capture_default_str()
      ->transform(cli::whole(1));
  app.add_option(
         "--pack", a.pack,
         "Write one file for programs on this CPU, which use its weights in place: native,\n"
         "cortex-a76, x86-64-v3 ... IN may be quantized, and keeps its precisions then\n"
         "unless --type says one")
      ->excludes("--group", "--keep", "--method", "--rotation", "--calibrate", "--gptq",
                 "--budget");
  app.add_option("--json", a.json_file, "Write what became of each matrix to this file as JSON");
  app.add_flag("--no-tokenizer", a.no_tokenizer, "Leave the tokenizer out");
  app.add_flag("--force", a.force, "Replace what OUT is");
  a.workers.add(app);
  a.adapter.add(app);
}

/// Completes them. Throws CLI::ValidationError for those that do not go together.
inline void check_arguments(Arguments& a) {
  while (a.out.size() > 1 && a.out.back() == '/') a.out.pop_back();
  if (std::filesystem::path(a.out).extension() == ".safetensors") {
    throw CLI::ValidationError("OUT", "must end in .gguf, or be a folder");
  }
  if (a.type == "ternary" && a.pack.empty()) {
    throw CLI::ValidationError("--type", "must be int8 or int4 but with --pack");
  }
  if (a.adapter.are_given() && a.pack.empty()) {
    throw CLI::ValidationError("--lora",
                               "and --repeat-count need --pack: only a packed file has "
                               "the adapter in it");
  }
  if (a.budget > 0.0 && (a.text().empty() || a.to_gguf())) {
    throw CLI::ValidationError("--budget", "needs --calibrate or --gptq, and a folder as OUT");
  }
  if (a.to_gguf() && a.rotation == "full") {
    throw CLI::ValidationError("--rotation",
                               "must be usual or none in a GGUF file, which has none");
  }
  if (a.to_gguf() && a.group != 32) {
    throw CLI::ValidationError("--group", "must be 32 in a GGUF file");
  }
}

}  // namespace quantize
