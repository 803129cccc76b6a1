// SPDX-License-Identifier: Apache-2.0
// The recurrence, of a token and of a chunk, and the convolution before it.
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

/// A block of mamba2-2.7b and the tokens of a chunk on their way through its recurrence. Outputs
/// replace inputs, and are the inputs of the next pass: with D = 1 and small steps they stay what
/// they are.
struct Block {
  Block()
      : A(kHeads, -2.0F),
        D(kChannels, 1.0F),
        dt_bias(kHeads, -3.0F),
        x(random_floats(kernels::kChunk * kConvDim, 0.5F)),
        delta(kernels::kChunk * kHeads, 1e-4F),
        since(kHeads * kernels::kChunk, 1e-4F),
        entering(kHeads, 1.0F),
        products(kernels::kChunk * kernels::kChunk),
        rows(x.data(), kernels::kChunk, kChannels, kConvDim),
        B(&x[kChannels], kernels::kChunk, kStateSize, kConvDim),
        C(&x[kChannels + kStateSize], kernels::kChunk, kStateSize, kConvDim),
        CB(products.data(), kernels::kChunk, kernels::kChunk) {
    for (std::size_t i = 0; i < kernels::kChunk; ++i) kernels::chunk_products(C[i], B, i, CB[i]);
  }

  /// Takes the rows [first, end) of a chunk through a head.
  template <class Element>
  void scan(std::size_t head, std::size_t first, std::size_t end, Element* state) {
    const mamba2::MutableRows own = rows.columns(head * kHeadDim, kHeadDim);
    const std::size_t count = end - first;
    const kernels::Ssm ssm = {kHeads,   kHeadDim,       kStateSize, 1,   A.data(),
                              D.data(), dt_bias.data(), 0.0F,       1e9F};
    const kernels::ChunkTokens tokens = {own.middle(0, end),
                                         B.middle(0, end),
                                         C.middle(first, count),
                                         CB.middle(first, count),
                                         delta.data(),
                                         kHeads,
                                         first,
                                         own.middle(first, count)};
    const kernels::Decays decays = {&since[head * kernels::kChunk], &entering[head]};
    kernels::ChunkHead<Element>(ssm, head, tokens, decays, state)
        .run(end == kernels::kChunk ? state : nullptr);
  }

  std::vector<float> A, D, dt_bias, x, delta, since, entering, products;
  mamba2::MutableRows rows;
  mamba2::ConstRows B, C;
  mamba2::MutableRows CB;
};

/// One token after the other, each of a chunk's rows in turn, through as many states as fit into
/// large memory: what decoding does.
template <class Element>
void scan_token(benchmark::State& state) {
  Block block;
  constexpr std::size_t kValues = kHeadDim * kStateSize;
  const std::size_t heads = large_memory().size() / (kValues * sizeof(Element));
  auto* S = reinterpret_cast<Element*>(large_memory().data());
  std::fill_n(S, heads * kValues, Element{0});
  const double passes = 1.0 + 1.0 / static_cast<double>(kernels::kChunk);
  const auto moved = passes * static_cast<double>(heads * kValues * sizeof(Element));
  Report<Reading>(state).run(moved, [&] {
    for (std::size_t head = 0; head < heads; ++head) {
      const std::size_t row = head / kHeads % kernels::kChunk;
      block.scan(head % kHeads, row, row + 1, S + head * kValues);
    }
  });
}

/// All heads of a block take chunks: what a prompt does.
template <class Element>
void scan_chunks(benchmark::State& state) {
  Block block;
  std::vector<Element> S(kChannels * kStateSize, Element{0});
  constexpr auto kTokens = static_cast<double>(kernels::kChunk);
  constexpr double kPairs = kTokens * (kTokens + 1.0) / 2.0;
  constexpr double kOperations = kTokens * 4.0 * kChannels * kStateSize + 2.0 * kPairs * kChannels;
  Report<Calculating<FmaUnit>>(state).run(kOperations, [&] {
    for (std::size_t head = 0; head < kHeads; ++head) {
      block.scan(head, 0, kernels::kChunk, &S[head * kHeadDim * kStateSize]);
    }
  });
}

/// C . B within a chunk.
void chunk_products(benchmark::State& state) {
  Block block;
  constexpr double kPairs = kernels::kChunk * (kernels::kChunk + 1) / 2.0;
  const auto whole_chunk = [&] {
    for (std::size_t i = 0; i < kernels::kChunk; ++i) {
      kernels::chunk_products(block.C[i], block.B, i, block.CB[i]);
    }
  };
  Report<Calculating<FmaUnit>>(state).run(2.0 * kPairs * kStateSize, whole_chunk, kManyTimes);
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
  benchmark::RegisterBenchmark("scan/token/fp32", scan_token<float>);
  benchmark::RegisterBenchmark("scan/token/fp16", scan_token<std::uint16_t>);
  benchmark::RegisterBenchmark("scan/chunk/fp32", scan_chunks<float>);
  benchmark::RegisterBenchmark("scan/chunk/fp16", scan_chunks<std::uint16_t>);
  benchmark::RegisterBenchmark("chunk_products", chunk_products);
  benchmark::RegisterBenchmark("causal_conv1d", causal_conv1d)->Arg(1)->Arg(192);
}

}  // namespace bench
