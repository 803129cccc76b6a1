// SPDX-License-Identifier: Apache-2.0
// What the machine can do at best, with the same threads and at the same time as what is measured
// against it: a shared machine is not the same from one second to the next.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <mamba2/kernels/unroll.hpp>
#include <mamba2/mamba2.hpp>
#include <span>

#include "bench/timing.hpp"
#include "bench/units.hpp"

namespace bench {

using mamba2::kernels::unroll;

/// Loads every cache line of the memory once (but a few at its end): one stream, in registers as
/// wide as they are. Each line is asked for, into the second cache, 4 KiB ahead of its load: of all
/// distances and hints the best on Zen 4, by 3 % before the next.
[[gnu::flatten]] inline void read_stream(const std::byte* from, std::size_t bytes) {
  using Bits = Vector<std::uint64_t>;
  constexpr std::size_t kLine = 64;
  constexpr std::size_t kStep = 4 * kLine;
  constexpr std::size_t kAhead = 4096;
  constexpr int kSecondCache = 2;
  constexpr std::size_t kParts = kStep / sizeof(Bits);
  constexpr std::size_t kSums = std::min<std::size_t>(kParts, 8);
  Bits bits[kSums] = {};
  const std::byte* end = from + bytes / kStep * kStep;
  for (const std::byte* line = from; line < end; line += kStep) {
    unroll<kParts>([&](auto i) {
      if constexpr (i * sizeof(Bits) % kLine == 0) {
        __builtin_prefetch(line + kAhead + i * sizeof(Bits), 0, kSecondCache);
      }
      Bits part;
      std::memcpy(&part, line + i * sizeof part, sizeof part);
      bits[i % kSums] |= part;
    });
  }
  unroll<kSums>([&](auto i) { pin(bits[i]); });
}

/// Reads the memory once, by all threads: tasks that are neighbours are one stream.
inline void read_once(mamba2::Executor& executor, std::span<const std::byte> memory) {
  constexpr std::size_t kTask = std::size_t{1} << 20;
  executor.run((memory.size() + kTask - 1) / kTask, [&](std::size_t task) {
    const auto piece = memory.subspan(task * kTask);
    read_stream(piece.data(), std::min(kTask, piece.size()));
  });
}

/// Bytes per second of reading the memory as often as fits into `at_least` seconds, and once more.
inline double streaming_read(const Threads& threads, std::span<const std::byte> memory,
                             double at_least) {
  double time = 0.0;
  double bytes = 0.0;
  do {
    time += seconds([&] { read_once(*threads.executor, memory); });
    bytes += static_cast<double>(memory.size());
  } while (time < at_least);
  return bytes / time;
}

/// kSums independent chains of a unit's instructions, all in registers.
template <class Unit, std::size_t kSums>
[[gnu::flatten, gnu::noinline]] void run_unit(std::size_t steps) {
  typename Unit::Register sums[kSums];
  typename Unit::Register operand = Unit::start();
  pin(operand);
  unroll<kSums>([&](auto i) {
    sums[i] = Unit::start();
    pin(sums[i]);  // otherwise they are all one and the same
  });
  for (std::size_t step = 0; step < steps; ++step) {
    unroll<kSums>([&](auto i) { sums[i] = Unit::step(sums[i], operand); });
  }
  unroll<kSums>([&](auto i) { pin(sums[i]); });
}

/// More chains than latency times issue width anywhere.
inline constexpr std::size_t kUnitSums = 12;

/// Operations per second that the threads reach with nothing but a unit's instructions, measured
/// for `at_least` seconds. A multiplication is one operation, an addition another.
template <class Unit>
double peak(const Threads& threads, double at_least) {
  constexpr std::size_t kSteps = 1000;
  // Many, so that it counts little which thread ends last.
  const std::size_t tasks = threads.count * 128;
  double time = 0.0;
  double operations = 0.0;
  do {
    time += seconds([&] {
      threads.executor->run(tasks, [](std::size_t) { run_unit<Unit, kUnitSums>(kSteps); });
    });
    operations += static_cast<double>(tasks * kSteps * kUnitSums) * Unit::kOperations;
  } while (time < at_least);
  return operations / time;
}

}  // namespace bench
