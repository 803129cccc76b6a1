// SPDX-License-Identifier: Apache-2.0
// The recurrence, token by token and in chunks, and the convolution before it.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <mamba2/mamba2.hpp>
#include <vector>

#include "bench/kernels/benchmarks.hpp"

namespace bench {
namespace {

namespace kernels = mamba2::kernels;

constexpr std::size_t kHeads = 80;  // of mamba2-2.7b
constexpr std::size_t kHeadDim = 64;
constexpr std::size_t kStateSize = 128;
constexpr std::size_t kChannels = kHeads * kHeadDim;
constexpr std::size_t kConvDim = kChannels + 2 * kStateSize;
constexpr std::size_t kInProj = kChannels + kConvDim + kHeads;  // what in_proj gives for a token

/// A block of mamba2-2.7b and `tokens` tokens on their way through its recurrence. Outputs replace
/// inputs, and are the inputs of the next pass: with D = 1 and small steps they stay what they are.
struct Block {
  explicit Block(std::size_t tokens)
      : A(kHeads, -2.0F),
        D(kChannels, 1.0F),
        dt_bias(kHeads, -3.0F),
        x(random_floats(tokens * kConvDim, 0.5F)),
        delta(tokens * kHeads, 1e-4F),
        products(tokens * kernels::kChunk),
        CB(products.data(), tokens, kernels::kChunk),
        rows{mamba2::MutableRows(x.data(), tokens, kChannels, kConvDim),
             mamba2::ConstRows(&x[kChannels], tokens, kStateSize, kConvDim),
             mamba2::ConstRows(&x[kChannels + kStateSize], tokens, kStateSize, kConvDim),
             mamba2::ConstRows(delta.data(), tokens, kHeads)} {}

  [[nodiscard]] kernels::Ssm ssm() const {
    return {kHeads, kHeadDim, kStateSize, 1, A.data(), D.data(), dt_bias.data(), 0.0F, 1e9F};
  }

  std::vector<float> A, D, dt_bias, x, delta, products;
  mamba2::MutableRows CB;
  kernels::ScanRows rows;
};

/// One token after the other through as many states as fit into large memory: what decoding does.
template <class Element>
void scan_token(benchmark::State& state) {
  Block block(1);
  constexpr std::size_t kValues = kHeadDim * kStateSize;
  const std::size_t heads = large_memory().size() / (kValues * sizeof(Element));
  auto* S = reinterpret_cast<Element*>(large_memory().data());
  std::fill_n(S, heads * kValues, Element{0});
  const auto moved = static_cast<double>(2 * heads * kValues * sizeof(Element));
  Report<Reading>(state).run(moved, [&] {
    for (std::size_t head = 0; head < heads; ++head) {
      kernels::scan_head(block.ssm(), head % kHeads, block.rows, S + head * kValues);
    }
  });
}

/// All heads of a block take a batch of tokens in chunks: what a prefill does.
template <class Element>
void scan_chunks(benchmark::State& state) {
  const auto tokens = static_cast<std::size_t>(state.range(0));
  Block block(tokens);
  std::vector<Element> S(kChannels * kStateSize, Element{0});
  kernels::chunk_products(block.ssm(), block.rows, 0, 0, tokens, block.CB);
  double pairs = 0.0;
  for (std::size_t done = 0; done < tokens; done += kernels::kChunk) {
    const auto length = static_cast<double>(std::min(kernels::kChunk, tokens - done));
    pairs += length * (length + 1.0) / 2.0;
  }
  constexpr double kStateOperations = 4.0 * kChannels * kStateSize;
  const double operations =
      static_cast<double>(tokens) * kStateOperations + 2.0 * pairs * kChannels;
  Report<Calculating<FmaUnit>>(state).run(operations, [&] {
    for (std::size_t head = 0; head < kHeads; ++head) {
      kernels::scan_head_in_chunks(block.ssm(), head, block.rows, block.CB,
                                   &S[head * kHeadDim * kStateSize]);
    }
  });
}

/// C . B within a chunk.
void chunk_products(benchmark::State& state) {
  Block block(kernels::kChunk);
  constexpr double kPairs = kernels::kChunk * (kernels::kChunk + 1) / 2.0;
  const auto all_tasks = [&] {
    kernels::chunk_products(block.ssm(), block.rows, 0, 0, kernels::kChunk, block.CB);
  };
  Report<Calculating<FmaUnit>>(state).run(2.0 * kPairs * kStateSize, all_tasks, kManyTimes);
}

void causal_conv1d(benchmark::State& state) {
  constexpr std::size_t kTaps = 4;
  const auto tokens = static_cast<std::size_t>(state.range(0));
  const std::vector<float> weight = random_floats(kTaps * kConvDim, 0.3F);
  const std::vector<float> bias(kConvDim, 1.0F);  // keeps what runs in circles away from 0
  std::vector<float> past(kTaps * kConvDim, 0.0F);
  auto* x = reinterpret_cast<float*>(large_memory().data());
  std::fill_n(x, tokens * kInProj, 0.5F);
  const double moved = 2.0 * sizeof(float) * static_cast<double>(tokens * kConvDim);
  Report<ReadingCache>(state).run(moved, [&] {
    kernels::causal_conv1d({weight.data(), bias.data(), kConvDim, kTaps}, 0,
                           mamba2::MutableRows(x, tokens, kConvDim, kInProj), past.data());
  });
}

}  // namespace

void add_scans() {
  benchmark::RegisterBenchmark("scan_head/fp32", scan_token<float>);
  benchmark::RegisterBenchmark("scan_head/fp16", scan_token<std::uint16_t>);
  benchmark::RegisterBenchmark("scan_head_in_chunks/fp32", scan_chunks<float>)->Arg(64)->Arg(192);
  benchmark::RegisterBenchmark("scan_head_in_chunks/fp16", scan_chunks<std::uint16_t>)->Arg(192);
  benchmark::RegisterBenchmark("chunk_products", chunk_products);
  benchmark::RegisterBenchmark("causal_conv1d", causal_conv1d)->Arg(1)->Arg(192);
}

}  // namespace bench
