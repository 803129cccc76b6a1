// SPDX-License-Identifier: Apache-2.0
// What the benchmarks of kernels share: their data, and the roof that they are compared with.
#pragma once

#include <benchmark/benchmark.h>

#include <chrono>
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

/// A roof: every byte of memory that is in no cache is loaded once.
struct Reading {
  static constexpr const char* kCounter = "B/s";
  static double per_second(const Threads& threads) {
    return streaming_read<ThreadClock>(threads, large_memory(), 0.01);
  }
};

/// A roof: nothing but instructions of a Unit.
template <class Unit>
struct Calculating {
  static constexpr const char* kCounter = "OP/s";
  static double per_second(const Threads& threads) {
    return peak<Unit, ThreadClock>(threads, 0.01);
  }
};

/// Reports what a benchmark reached, and which share that is of the best that this thread can do,
/// measured before and after it. Made before the benchmark's loop, asked behind it.
template <class Roof>
class Report {
 public:
  explicit Report(benchmark::State& state) : state_(state) {}

  void per_iteration(double amount) {
    const std::chrono::duration<double> time = ThreadClock::now() - start_;
    const double rate = amount * static_cast<double>(state_.iterations()) / time.count();
    const double after = Roof::per_second(serial());
    state_.counters[Roof::kCounter] = rate;
    state_.counters["share"] = rate / ((before_ + after) / 2.0);
  }

 private:
  [[nodiscard]] static const Threads& serial() {
    static const Threads threads{std::make_shared<mamba2::SerialExecutor>(), 1};
    return threads;
  }

  benchmark::State& state_;
  double before_ = Roof::per_second(serial());
  ThreadClock::time_point start_ = ThreadClock::now();  // after the roof: the order matters
};

}  // namespace bench
