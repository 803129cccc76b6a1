// SPDX-License-Identifier: Apache-2.0
// cooperative: an executor for a system where tasks give up the CPU of their own accord, as under a
// cooperative FreeRTOS: between two pieces of a token's work the others have their turn, so that a
// watchdog is fed and a display refreshed while the model thinks. And a task's stack is small.
#include <ucontext.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <mamba2/mamba2.hpp>
#include <memory>
#include <string>
#include <string_view>

#include "../tools/models.hpp"

namespace {

using Clock = std::chrono::steady_clock;

/// In place of the system's scheduler: the model's task, on a stack of its own, and main, which
/// stands for everybody else.
struct Scheduler {
  ucontext_t others{};
  ucontext_t model_task{};

  /// taskYIELD(): called by the model's task.
  void yield() { ::swapcontext(&model_task, &others); }
};

/// Yields after so much work. Tasks of one run() take some microseconds each; none is interrupted.
class CooperativeExecutor final : public mamba2::Executor {
 public:
  CooperativeExecutor(Scheduler& scheduler, std::chrono::microseconds slice)
      : scheduler_(scheduler), slice_(slice) {}

  void run(std::size_t count, mamba2::Task task) noexcept override {
    for (std::size_t i = 0; i < count; ++i) {
      task(i);
      if (Clock::now() - since_ < slice_) continue;
      scheduler_.yield();
      since_ = Clock::now();
    }
  }

 private:
  Scheduler& scheduler_;
  std::chrono::microseconds slice_;
  Clock::time_point since_ = Clock::now();
};

struct Application {
  Scheduler scheduler;
  std::string model = "examples/models/llama-tales-14m";
  bool done = false;
  bool failed = false;

  mamba2::Result<void> generate() {
    using namespace std::chrono_literals;
    const auto executor = std::make_shared<CooperativeExecutor>(scheduler, 500us);
    const auto weights =
        mamba2::Mamba2Model<mamba2::Int8>::load(model, {.workers = {.executor = executor}});
    if (!weights) return weights.error();
    const auto tokenizer = mamba2::Tokenizer::load(model);
    if (!tokenizer) return tokenizer.error();
    auto session = weights->session({.workers = {.executor = executor}});
    if (!session) return session.error();
    mamba2::GenerateOptions options;
    options.max_tokens = 40;
    options.sampling.temperature = 0.0F;
    const auto written = mamba2::generate(
        *session, *tokenizer, "Once upon a time", options, [](std::string_view text) {
          return std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
        });
    return written ? mamba2::Result<void>() : written.error();
  }
};

// makecontext() passes no pointers.
Application application;

void model_task() {
  const auto outcome = application.generate();
  if (!outcome) std::fprintf(stderr, "cooperative: %s\n", outcome.error().message.c_str());
  application.failed = !outcome;
  application.done = true;
}

// 256 KiB: loading a checkpoint and a tokenizer included. See examples/embedding.md.
std::array<std::byte, std::size_t{1} << 18> model_stack;

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) application.model = argv[1];
  Scheduler& scheduler = application.scheduler;
  ::getcontext(&scheduler.model_task);
  scheduler.model_task.uc_stack.ss_sp = model_stack.data();
  scheduler.model_task.uc_stack.ss_size = model_stack.size();
  scheduler.model_task.uc_link = &scheduler.others;
  ::makecontext(&scheduler.model_task, model_task, 0);

  // The others: they feed the watchdog, and note how long it had to wait.
  std::size_t turns = 0;
  Clock::duration longest{};
  while (!application.done) {
    const Clock::time_point before = Clock::now();
    ::swapcontext(&scheduler.others, &scheduler.model_task);
    longest = std::max(longest, Clock::now() - before);
    ++turns;
  }
  using Milliseconds = std::chrono::duration<double, std::milli>;
  std::fprintf(stderr, "\n%zu turns for the others, %.1f ms apart at most\n", turns,
               Milliseconds(longest).count());
  return application.failed ? 1 : 0;
}
