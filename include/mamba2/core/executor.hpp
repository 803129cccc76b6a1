// SPDX-License-Identifier: Apache-2.0
// Who does the work: the interface between the library and a pool of threads.
#pragma once

#include <cstddef>
#include <memory>
#include <type_traits>

#include "mamba2/core/platform.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// A reference to something that can be called with the number of a task. It owns nothing.
class Task {
 public:
  template <class Function>
  // NOLINTNEXTLINE(bugprone-forwarding-reference-overload): copies are left alone
  requires(!std::is_same_v<std::remove_cvref_t<Function>, Task>) Task(Function&& function)
  noexcept
      : function_(std::addressof(function)), call_([](const void* f, std::size_t task) {
          (*static_cast<const std::remove_reference_t<Function>*>(f))(task);
        }) {}

  void operator()(std::size_t task) const { call_(function_, task); }

 private:
  const void* function_;
  void (*call_)(const void*, std::size_t);
};

/// Runs tasks. An application that has threads of its own derives from this; everybody else gets a
/// ThreadPool. What is computed does not depend on the executor, to the last bit, if all threads
/// round and treat subnormal numbers alike (MXCSR, FPCR: as threads start out).
class Executor {
 public:
  Executor() = default;
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;
  virtual ~Executor() = default;

  /// Calls task(i) once for every i in 0..count-1, on any threads and in any order, and returns
  /// when all calls have returned. Tasks that are neighbours read neighbouring memory: a thread
  /// that takes consecutive ones streams. Not called by two threads at a time.
  virtual void run(std::size_t count, Task task) noexcept = 0;
};

/// Does everything in the calling thread.
class SerialExecutor final : public Executor {
 public:
  void run(std::size_t count, Task task) noexcept override {
    for (std::size_t i = 0; i < count; ++i) task(i);
  }
};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
