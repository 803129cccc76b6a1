// SPDX-License-Identifier: Apache-2.0
// The selective scan for one head: rows are its d_state, cols its headdim.
#include <cstdint>

#include "bench/arm/loops.hpp"
#include "mamba2/kernels/ssd.hpp"

namespace bench {
namespace {

namespace kernels = mamba2::kernels;

/// The weights of work are the state; in x there is room for B, C and all else, in y for x.
struct Head {
  explicit Head(const Work& work)
      : ssm{1, work.cols, work.rows, 1, work.x + kSome, work.x + 2 * kSome, work.x, 0.0F, 1.0F},
        x(work.y, work.tokens, work.cols),
        B(work.x + 3 * kSome, work.tokens, work.rows),
        C(work.x + 3 * kSome + work.tokens * work.rows, work.tokens, work.rows),
        CB(reinterpret_cast<float*>(work.inputs), work.tokens, kernels::kChunk),
        decays{CB[work.tokens], CB[work.tokens] + kernels::kChunk},
        delta(work.x) {}

  static constexpr std::size_t kSome = 256;

  kernels::Ssm ssm;
  mamba2::MutableRows x;
  mamba2::ConstRows B;
  mamba2::ConstRows C;
  mamba2::MutableRows CB;
  kernels::Decays decays;
  const float* delta;
};

/// The last of the tokens, whose chunk goes on: what decoding does.
template <class Element>
void scan(const Work& work) {
  const Head head(work);
  const std::size_t last = work.tokens - 1;
  const kernels::ChunkTokens tokens = {
      head.x, head.B, head.C.middle(last, 1), head.CB.middle(last, 1), head.delta,
      1,      last,   head.x.middle(last, 1)};
  const auto* state = reinterpret_cast<const Element*>(work.weights);
  kernels::ChunkHead(head.ssm, 0, tokens, head.decays, state).run(nullptr);
}

/// All tokens, with which their chunk ends.
template <class Element>
void ssd(const Work& work) {
  const Head head(work);
  const kernels::ChunkTokens tokens = {head.x, head.B, head.C, head.CB, head.delta, 1, 0, head.x};
  auto* state = reinterpret_cast<Element*>(work.weights);
  kernels::ChunkHead<Element>(head.ssm, 0, tokens, head.decays, state).run(state);
}

void chunk_products(const Work& work) {
  const Head head(work);
  for (std::size_t i = 0; i < work.tokens; ++i) {
    kernels::chunk_products(head.C[i], head.B, i, head.CB[i]);
  }
}

}  // namespace

std::span<const Loop> scans() {
  static constexpr Loop kLoops[] = {{"scan_fp32", scan<float>, nullptr},
                                    {"scan_fp16", scan<std::uint16_t>, nullptr},
                                    {"ssd_fp32", ssd<float>, nullptr},
                                    {"ssd_fp16", ssd<std::uint16_t>, nullptr},
                                    {"chunk_products", chunk_products, nullptr}};
  return kLoops;
}

}  // namespace bench
