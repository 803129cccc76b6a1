// SPDX-License-Identifier: Apache-2.0
// Attention over a cache of keys and values: decoding as a share of a plain read of the same bytes,
// prompts as a share of the peak of multiply-adds.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <mamba2/kernels/attend.hpp>
#include <mamba2/kernels/rope.hpp>
#include <mamba2/mamba2.hpp>
#include <span>
#include <string>
#include <vector>

#include "bench/kernels/benchmarks.hpp"

namespace bench {
namespace {

namespace kernels = mamba2::kernels;
using kernels::KvPrecision;

/// A layer's shape.
struct Shape {
  std::size_t group, kv_heads, headdim;
  KvPrecision precision;

  [[nodiscard]] kernels::Attention attention() const {
    return {group * kv_heads, kv_heads, headdim, 0.125F};
  }
};

/// `count` tokens at `position`, and all before them, in a cache that begins at `cache`.
struct Batch {
  Batch(const Shape& shape, std::byte* cache, std::size_t position, std::size_t count)
      : attention(shape.attention()),
        part{cache,
             {shape.kv_heads, shape.headdim, position + count, shape.precision},
             position,
             0,
             count},
        queries(random_floats(count * width())),
        result(count * width()),
        rows(kernels::running_rows(attention, count, position + count)),
        running(rows * kernels::RunningRows::stride(shape.headdim)) {}

  [[nodiscard]] std::size_t width() const { return attention.heads * attention.headdim; }

  /// Keys and values of all tokens, from few random ones.
  void fill() {
    const std::size_t kv = attention.kv_heads * attention.headdim;
    const std::vector<float> random = random_floats(kv + 1024);
    std::vector<float> k(kv);
    std::vector<float> q(width());
    std::vector<float> to(part.count * width());
    kernels::AttentionPart all = part;
    all.position = 0;
    for (std::size_t t = 0; t < part.position + part.count; ++t) {
      const float* from = &random[t * 7 % 1024];
      std::copy_n(from, kv, k.begin());
      kernels::prepare_token(attention, all, 0, q.data(), k.data(), from, to.data());
      ++all.position;
    }
  }

  void attend() {
    mamba2::SerialExecutor executor;
    kernels::attend(executor, attention, std::span(&part, 1), queries.data(), running.data(), rows,
                    mamba2::MutableRows(result.data(), part.count, width()));
  }

  kernels::Attention attention;
  kernels::AttentionPart part;
  std::vector<float> queries, result;
  std::size_t rows;
  std::vector<float> running;
};

/// One token after 16k others, in as many layers as fit into large memory.
void decode(benchmark::State& state, const Shape& shape) {
  constexpr std::size_t kTokens = 16384;
  std::vector<Batch> layers;
  std::size_t used = 0;
  while (true) {
    Batch layer(shape, large_memory().data() + used, kTokens - 1, 1);
    if (used + layer.part.layout.bytes() > large_memory().size()) break;
    used += layer.part.layout.bytes();
    layers.push_back(std::move(layer));
  }
  layers[0].fill();
  for (std::size_t i = 1; i < layers.size(); ++i) {
    std::memcpy(layers[i].part.cache, layers[0].part.cache, layers[0].part.layout.bytes());
  }
  Report<Reading>(state).run(static_cast<double>(used), [&] {
    for (Batch& layer : layers) layer.attend();
  });
}

/// The last tokens of a prompt.
void prefill(benchmark::State& state, const Shape& shape) {
  constexpr std::size_t kCount = 192;
  const auto tokens = static_cast<std::size_t>(state.range(0));
  Batch batch(shape, large_memory().data(), tokens - kCount, kCount);
  batch.fill();
  const double pairs = kCount * (static_cast<double>(tokens) - (kCount - 1) / 2.0);
  Report<Calculating<FmaUnit>>(state).run(4.0 * pairs * static_cast<double>(batch.width()),
                                          [&] { batch.attend(); });
}

void add(const char* name, const Shape& shape) {
  benchmark::RegisterBenchmark((std::string("attention/decode/") + name).c_str(),
                               [=](benchmark::State& state) { decode(state, shape); });
  benchmark::RegisterBenchmark((std::string("attention/prefill/") + name).c_str(),
                               [=](benchmark::State& state) { prefill(state, shape); })
      ->Arg(4096);
}

}  // namespace

void add_attention() {
  constexpr KvPrecision kFp16 = KvPrecision::fp16;
  add("3x4x64/fp16", {3, 4, 64, kFp16});
  add("4x8x64/fp16", {4, 8, 64, kFp16});
  add("8x4x64/fp16", {8, 4, 64, kFp16});
  add("3x4x128/fp16", {3, 4, 128, kFp16});
  add("4x8x128/fp16", {4, 8, 128, kFp16});
  add("8x4x128/fp16", {8, 4, 128, kFp16});
  add("16x2x128/fp16", {16, 2, 128, kFp16});
  add("1x30x128/fp16", {1, 30, 128, kFp16});
  add("4x8x64/fp32", {4, 8, 64, KvPrecision::fp32});
  add("4x8x64/int8", {4, 8, 64, KvPrecision::int8});
  add("4x8x128/int8", {4, 8, 128, KvPrecision::int8});
}

}  // namespace bench
