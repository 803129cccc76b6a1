// SPDX-License-Identifier: Apache-2.0
// Clocks, medians, and the threads that a measurement runs on.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <mamba2/mamba2.hpp>
#include <memory>
#include <utility>
#include <vector>

namespace bench {

/// Seconds that work() takes.
template <class Work>
double seconds(Work&& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Of at least one value.
inline double median(std::vector<double> values) {
  std::ranges::sort(values);
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2.0;
}

/// The threads that a measurement runs on.
struct Threads {
  std::shared_ptr<mamba2::Executor> executor;
  std::size_t count;

  /// count 0: as many as the library takes by itself; cpus empty: those that it takes. The calling
  /// thread, which works too, goes where the others are, and can then use no other CPUs any more.
  /// Errors: those of ThreadPool::create and place_this_thread.
  [[nodiscard]] static mamba2::Result<Threads> create(std::size_t count,
                                                      const std::vector<int>& cpus = {}) {
    auto pool = mamba2::ThreadPool::create({.threads = count, .cpus = cpus});
    if (!pool) return std::move(pool).error();
    auto placed = mamba2::place_this_thread((*pool)->cpus());
    if (!placed) return std::move(placed).error();
    const std::size_t threads = (*pool)->threads();
    return Threads{*std::move(pool), threads};
  }
};

}  // namespace bench
