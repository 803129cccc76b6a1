// SPDX-License-Identifier: Apache-2.0
// Benchmarks of a weight policy: one token (gemv), many (gemm), and what makes inputs ready.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <mamba2/mamba2.hpp>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "bench/kernels/benchmarks.hpp"
#include "bench/random_weights.hpp"

namespace bench {

/// d_model of the largest published model.
inline constexpr std::size_t kCols = 2560;

/// Vectors of kCols random numbers, made ready for a policy.
template <class W>
class ReadyInputs {
 public:
  explicit ReadyInputs(std::size_t tokens)
      : tokens_(tokens), arena_(mamba2::Arena::create(tokens * W::input_bytes(kCols)).value()) {
    const std::vector<float> x = random_floats(tokens * kCols);
    for (std::size_t t = 0; t < tokens; ++t) {
      W::prepare(&x[t * kCols], kCols, arena_.data() + t * W::input_bytes(kCols));
    }
  }

  [[nodiscard]] mamba2::Inputs get() const {
    return {arena_.data(), tokens_, W::input_bytes(kCols)};
  }

 private:
  std::size_t tokens_;
  mamba2::Arena arena_;
};

/// Weights that fill the memory: random, but the same everywhere where a policy takes them from
/// files only. The bytes are ordinary numbers as codes, scales and FP16.
template <class W>
mamba2::Matrix random_matrix(std::span<std::byte> memory) {
  std::mt19937 random(7);
  const std::size_t bands = memory.size() / W::band_bytes(kCols);
  const mamba2::Matrix m{&mamba2::kFormat<W>, memory.data(), bands * W::kBandRows, kCols};
  if constexpr (mamba2::detail::whole_columns<W>() > 1) {
    std::memset(memory.data(), 0x21, m.bytes());
  } else {
    RandomBands(*m.format, kCols, random).fill(memory.data(), bands);
  }
  return m;
}

/// One token times `bytes` of weights.
template <class W>
void gemv(benchmark::State& state, std::size_t bytes) {
  const mamba2::Matrix m = random_matrix<W>(large_memory().first(bytes));
  const ReadyInputs<W> x(1);
  std::vector<float> y(m.rows);
  const auto moved = static_cast<double>(m.band_count() * W::band_bytes(kCols));
  Report<Reading>(state).run(moved, [&] {
    W::multiply(m, 0, m.band_count(), x.get(), mamba2::MutableRows(y.data(), 1, m.rows));
  });
}

/// Tokens of one sequence.
struct Tokens {
  std::size_t first;
  std::size_t count;
};

/// `tokens` tokens, each time `alone` of them of one sequence, times `rows` rows, cut into panels
/// as in a model.
template <class W, class Unit>
void gemm(benchmark::State& state, std::size_t tokens, std::size_t alone, std::size_t rows) {
  const std::size_t bands = (rows + W::kBandRows - 1) / W::kBandRows;
  mamba2::Matrix m = random_matrix<W>(large_memory().first(bands * W::band_bytes(kCols)));
  m.rows = rows;
  const ReadyInputs<W> x(tokens);
  std::vector<float> y(tokens * rows);
  std::vector<Tokens> parts;
  for (std::size_t t = 0; t < tokens; t += alone) parts.push_back({t, alone});
  mamba2::SerialExecutor serial;
  const double operations = 2.0 * static_cast<double>(tokens * rows * kCols);
  Report<Calculating<Unit>>(state).run(operations, [&] {
    mamba2::multiply(serial, m, std::span<const Tokens>(parts), x.get(),
                     mamba2::MutableRows(y.data(), tokens, rows), mamba2::kNothing);
  });
}

/// Makes one input ready, which is in the cache.
template <class W>
void prepare(benchmark::State& state) {
  const std::vector<float> x = random_floats(kCols);
  mamba2::Arena arena = mamba2::Arena::create(W::input_bytes(kCols)).value();
  Report<ReadingCache>(state).run(
      kCols * sizeof(float), [&] { W::prepare(x.data(), kCols, arena.data()); }, kManyTimes);
}

/// All benchmarks of a policy. slow: kernels without vector instructions get less to do.
template <class W, class Unit>
void add_products(const std::string& name, bool slow = false) {
  const auto add = [](const std::string& full_name, auto body) {
    benchmark::RegisterBenchmark(full_name.c_str(), body)->Unit(benchmark::kMicrosecond);
  };
  add("gemv/" + name, [slow](benchmark::State& state) {
    gemv<W>(state, slow ? std::size_t{8} << 20 : large_memory().size());
  });
  add("gemm/" + name, [slow](benchmark::State& state) {
    gemm<W, Unit>(state, slow ? 8 : 512, slow ? 8 : 512, slow ? 128 : 512);
  });
  add("decode_16/" + name,
      [slow](benchmark::State& state) { gemm<W, Unit>(state, 16, 1, slow ? 128 : 4096); });
  add("prefill_16/" + name,
      [slow](benchmark::State& state) { gemm<W, Unit>(state, 16, 16, slow ? 128 : 4096); });
  add("prepare/" + name, prepare<W>);
}

}  // namespace bench
