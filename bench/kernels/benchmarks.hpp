// SPDX-License-Identifier: Apache-2.0
// What the benchmarks of kernels share: their data, and the roof that they are compared with.
#pragma once

#include <benchmark/benchmark.h>
#include <time.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <ctime>
#include <limits>
#include <mamba2/mamba2.hpp>
#include <random>
#include <span>
#include <vector>

#include "bench/roof.hpp"

namespace bench {

void add_int8_products();
void add_int4_products();
void add_gguf_products();
void add_ternary_products();
void add_float_products();
void add_scans();
void add_attention();
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

/// Seconds that this thread runs while work() does: other threads on its CPU do not count.
template <class Work>
double thread_seconds(Work&& work) {
  const auto now = [] {
    std::timespec time{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  const double start = now();
  work();
  return now() - start;
}

/// The shortest of some times: what else the machine does disturbs it the least.
template <class Work>
double best_seconds(int times, Work&& work) {
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < times; ++i) best = std::min(best, thread_seconds(work));
  return best;
}

/// A roof: memory that is in no cache is loaded once.
struct Reading {
  static constexpr const char* kCounter = "B/s";
  static double per_second() {
    const auto memory = large_memory();
    return static_cast<double>(memory.size()) /
           best_seconds(8, [&] { read_stream(memory.data(), memory.size()); });
  }
};

/// A roof: memory that is in the first cache is loaded again and again.
struct ReadingCache {
  static constexpr const char* kCounter = "B/s";
  static double per_second() {
    constexpr std::size_t kBytes = 16384;
    constexpr std::size_t kTimes = 100;
    const double best = best_seconds(100, [&] {
      for (std::size_t i = 0; i < kTimes; ++i) read_stream(large_memory().data(), kBytes);
    });
    return kTimes * kBytes / best;
  }
};

/// A roof: nothing but instructions of a Unit.
template <class Unit>
struct Calculating {
  static constexpr const char* kCounter = "OP/s";
  static double per_second() {
    constexpr std::size_t kSteps = 5000;
    return kSteps * kUnitSums * Unit::kOperations /
           best_seconds(500, [] { run_unit<Unit, kUnitSums>(kSteps); });
  }
};

/// Finds out what a benchmark reaches at its best, and which share that is of the best that this
/// thread can do otherwise, measured before and after it.
template <class Roof>
class Report {
 public:
  explicit Report(benchmark::State& state) : state_(state), roof_(Roof::per_second()) {}

  /// Runs the benchmark. work() does `amount` of what the roof counts; `times` are measured
  /// together, as many as it takes for the clock to be exact.
  template <class Work>
  void run(double amount, Work work, int times = 1) {
    double best = std::numeric_limits<double>::infinity();
    for (auto _ : state_) {
      best = std::min(best, thread_seconds([&] {
                        for (int i = 0; i < times; ++i) {
                          work();
                          benchmark::ClobberMemory();
                        }
                      }));
    }
    const double rate = amount * times / best;
    state_.counters[Roof::kCounter] = rate;
    state_.counters["share"] = rate / std::max(roof_, Roof::per_second());
  }

 private:
  benchmark::State& state_;
  double roof_;
};

/// For work of a microsecond.
inline constexpr int kManyTimes = 100;

}  // namespace bench
