// SPDX-License-Identifier: Apache-2.0
// embedded: a language model inside a program. Weights and tokenizer are part of the executable,
// which opens no file, and run where the linker put them; a session lives in memory that is
// reserved before the program starts. Built without exceptions and RTTI.
#include <cstddef>
#include <cstdio>
#include <mamba2/mamba2.hpp>
#include <memory>
#include <span>
#include <string_view>

// The packed model: mamba2-quantize IN model.packed --pack CPU. On the boundary of a page, so that
// only pages that are used come into memory. MODEL is the path; the build system says it.
asm(".section .rodata\n"
    ".balign 4096\n"
    ".global model_begin\n"
    "model_begin:\n"
    ".incbin \"" MODEL
    "\"\n"
    ".global model_end\n"
    "model_end:\n"
    ".byte 0\n"
    ".text\n");
extern "C" const std::byte model_begin[];
extern "C" const std::byte model_end[];

namespace {

using mamba2::Result;
using Model = mamba2::Mamba2Model<mamba2::Int4>;

/// State and scratch of one sequence. How much that is depends on the model and on these options
/// alone; the error where it is too little says how much it must be.
constexpr std::size_t kSessionBytes = std::size_t{3} << 20;
alignas(64) std::byte session_memory[kSessionBytes];

mamba2::SessionOptions session_options() {
  return {.prefill_batch = 16,
          .state = mamba2::StatePrecision::fp16,
          .workers = {.executor = std::make_shared<mamba2::SerialExecutor>()},
          .memory = session_memory};
}

Result<void> run(std::string_view prompt) {
  const std::span<const std::byte> file(model_begin, model_end);
  const auto packed = mamba2::PackedFile::parse(file, "the model");
  if (!packed) return packed.error();
  const auto tokenizer = mamba2::Tokenizer::from_json(packed->tokenizer_json, "the tokenizer");
  if (!tokenizer) return tokenizer.error();
  // The linker has seen to it that the weights are those that were packed.
  const auto model = Model::from_packed(file, {.check_hash = false});
  if (!model) return model.error();
  auto session = model->session(session_options());
  if (!session) return session.error();
  std::fprintf(stderr, "%zu bytes of weights in the executable, %zu of %zu for the session\n",
               model->weight_bytes(), model->session_bytes(session_options()), kSessionBytes);

  mamba2::GenerateOptions options;
  options.max_tokens = 40;
  options.sampling.temperature = 0.0F;
  std::printf("%.*s", static_cast<int>(prompt.size()), prompt.data());
  const auto done =
      mamba2::generate(*session, *tokenizer, prompt, options, [](std::string_view text) {
        return std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
      });
  if (!done) return done.error();
  std::printf("\n");
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  const auto outcome = run(argc > 1 ? argv[1] : "Once upon a time");
  if (!outcome) std::fprintf(stderr, "embedded: %s\n", outcome.error().message.c_str());
  return outcome ? 0 : 1;
}
