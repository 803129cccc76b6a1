// SPDX-License-Identifier: Apache-2.0
// How callers say who does the work.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "mamba2/core/executor.hpp"
#include "mamba2/core/result.hpp"
#include "mamba2/core/thread_pool.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// Who does the work: so many threads, or an executor of the application's. The calling thread
/// works too. Where not all CPUs are equally fast, the others are placed on the fast ones, or they
/// are where `cpus` says; it should be, as well: see place_this_thread().
struct Workers {
  /// The calling thread included. 0: one for each of `cpus`, or per fast core; 1: the calling
  /// thread alone.
  std::size_t threads = 0;
  /// As ThreadPoolOptions::cpus.
  std::vector<int> cpus = {};
  /// Instead of threads. May be shared by everything that does not work at the same time.
  std::shared_ptr<Executor> executor = nullptr;

  /// Errors: those of ThreadPool::create.
  [[nodiscard]] Result<std::shared_ptr<Executor>> get() const {
    if (executor != nullptr) return executor;
    if (threads == 1 && cpus.empty()) {
      return std::shared_ptr<Executor>(std::make_shared<SerialExecutor>());
    }
    Result<std::shared_ptr<ThreadPool>> pool =
        ThreadPool::create({.threads = threads, .cpus = cpus});
    if (!pool) return std::move(pool).error();
    return std::shared_ptr<Executor>(*std::move(pool));
  }
};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
