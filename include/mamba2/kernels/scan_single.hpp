// SPDX-License-Identifier: Apache-2.0
// The selective state space recurrence where the state of a channel is one number.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

#include "mamba2/kernels/activations.hpp"
#include "mamba2/kernels/scan.hpp"
#include "mamba2/kernels/simd.hpp"
#include "mamba2/kernels/ssd.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels {

/// As scan_head() with ssm.d_state 1, channels before tokens: a channel's state stays in its lane
/// of a register. In memory it is as often as chunks end, which is when FP16 rounds it.
template <class Element>
[[gnu::flatten]] void scan_single(const Ssm& ssm, std::size_t head, const ScanRows& rows,
                                  Element* state) noexcept {
  const std::size_t group = head / (ssm.nheads / ssm.ngroups);
  const std::size_t channel = head * ssm.headdim;
  for (std::size_t begin = 0; begin < rows.x.rows; begin += kChunk) {
    const std::size_t tokens = std::min(kChunk, rows.x.rows - begin);
    const ScanRows chunk = rows.middle(begin, tokens);
    std::array<float, kChunk> decay;
    std::array<float, kChunk> input;
    for (std::size_t t = 0; t < tokens; ++t) {
      const float delta = chunk.delta[t][head];
      decay[t] = delta * ssm.A[head];
      input[t] = delta * chunk.B[t][group];
    }
    for_each_vector(tokens, [&](std::size_t t, auto lanes) {
      lanes.store(exp(lanes.load(&decay[t])), &decay[t]);
    });
    for_each_vector(ssm.headdim, [&](std::size_t p, auto lanes) {
      const Floats D = lanes.load(ssm.D + channel + p);
      Floats s = lanes.load(state + p);
      for (std::size_t t = 0; t < tokens; ++t) {
        float* x = chunk.x[t] + channel + p;
        const Floats value = lanes.load(x);
        s = multiply_add(value, Floats(input[t]), s * Floats(decay[t]));
        lanes.store(multiply_add(s, Floats(chunk.C[t][group]), value * D), x);
      }
      lanes.store(s, state + p);
    });
  }
}

}  // namespace kernels
}  // namespace MAMBA2_ISA
}  // namespace mamba2
