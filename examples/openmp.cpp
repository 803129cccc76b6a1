// SPDX-License-Identifier: Apache-2.0
// openmp: an executor made of OpenMP's threads, for applications that have them anyway.
#include <omp.h>

#include <cstddef>
#include <cstdio>
#include <mamba2/mamba2.hpp>
#include <memory>
#include <string>
#include <string_view>

#include "../tools/models.hpp"

namespace {

class OpenMpExecutor final : public mamba2::Executor {
 public:
  void run(std::size_t count, mamba2::Task task) noexcept override {
    // static: a thread takes consecutive tasks, and reads consecutive memory.
#pragma omp parallel for schedule(static) if (count > 1)
    for (std::size_t i = 0; i < count; ++i) task(i);
  }
};

mamba2::Result<void> run(const std::string& path) {
  const mamba2::Workers workers = {.executor = std::make_shared<OpenMpExecutor>()};
  const auto model = mamba2::Mamba2Model<mamba2::Int8>::load(path, {.workers = workers});
  if (!model) return model.error();
  const auto tokenizer = mamba2::Tokenizer::load(path);
  if (!tokenizer) return tokenizer.error();
  auto session = model->session({.workers = workers});
  if (!session) return session.error();
  mamba2::GenerateOptions options;
  options.max_tokens = 40;
  options.sampling.temperature = 0.0F;
  const auto done = mamba2::generate(
      *session, *tokenizer, "Once upon a time", options, [](std::string_view text) {
        return std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
      });
  if (!done) return done.error();
  std::fprintf(stderr, "\n%zu tokens by %d threads of OpenMP\n", done->tokens,
               omp_get_max_threads());
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  const auto outcome = run(argc > 1 ? argv[1] : "examples/models/llama-tales-14m");
  if (!outcome) std::fprintf(stderr, "openmp: %s\n", outcome.error().message.c_str());
  return outcome ? 0 : 1;
}
