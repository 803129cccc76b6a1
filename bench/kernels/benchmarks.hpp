// SPDX-License-Identifier: Apache-2.0
// What the benchmarks of kernels share: their data, and the roof that they are compared with.
#pragma once

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstring>
#include <mamba2/mamba2.hpp>
#include <memory>
#include <random>
#include <span>
#include <vector>

#include "bench/roof.hpp"
#include "bench/timing.hpp"

namespace bench {

void add_int8_products();
void add_int4_products();
void add_float_products();
void add_scans();
void add_elementwise();

/// Memory in which nothing stays in a cache until it is needed again: 256 MB, in huge pages. All
/// benchmarks use the same.
inline std::span<std::byte> large_memory() {
  static const mamba2::Arena arena = [] {
    mamba2::Arena memory = mamba2::Arena::create(std::size_t{256} << 20).value();
    std::memset(memory.data(), 0, memory.size());
    return memory;
  }();
  return {arena.data(), arena.size()};
}

/// Normally distributed numbers, always the same.
inline std::vector<float> random_floats(std::size_t count, float deviation = 1.0F,
                                        float mean = 0.0F) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal(mean, deviation);
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

/// Reports what a benchmark reached, and which share of the best that this thread can do, measured
/// before and after it. Times are those that the thread has run.
class Report {
 public:
  explicit Report(benchmark::State& state) : state_(state) {}

  /// The roof: every byte loaded once, of memory that is in no cache.
  void bytes_per_iteration(double bytes) {
    rate("B/s", bytes, [](const Threads& threads) {
      return streaming_read<ThreadClock>(threads, large_memory(), 0.01);
    });
  }
  /// The roof: nothing but instructions of this unit.
  template <class Unit>
  void operations_per_iteration(double operations) {
    rate("OP/s", operations,
         [](const Threads& threads) { return peak<Unit, ThreadClock>(threads, 0.01); });
  }

 private:
  template <class Roof>
  void rate(const char* name, double amount, Roof roof) {
    using benchmark::Counter;
    static const Threads serial{std::make_shared<mamba2::SerialExecutor>(), 1};
    const double total = amount * static_cast<double>(state_.iterations());
    state_.counters[name] = Counter(total, Counter::kIsRate);
    state_.counters["share"] = Counter(total / roof(serial), Counter::kIsRate);
  }

  benchmark::State& state_;
};

}  // namespace bench
