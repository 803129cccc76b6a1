// SPDX-License-Identifier: Apache-2.0
// The selective state space recurrence where the state of a channel is one number.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <type_traits>

#include "mamba2/core/views.hpp"
#include "mamba2/kernels/activations.hpp"
#include "mamba2/kernels/scan.hpp"
#include "mamba2/kernels/simd.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels {

/// What the heads of a block read of consecutive tokens, and where they write.
struct ScanRows {
  MutableRows x;    ///< (tokens, nheads * headdim), replaced by y
  ConstRows B;      ///< (tokens, ngroups)
  ConstRows C;      ///< (tokens, ngroups)
  ConstRows delta;  ///< (tokens, nheads)

  /// The tokens [first, first + count).
  [[nodiscard]] ScanRows middle(std::size_t first, std::size_t count) const {
    return {x.middle(first, count), B.middle(first, count), C.middle(first, count),
            delta.middle(first, count)};
  }
};

/// The tokens of rows, one after the other, for one head with ssm.d_state 1 (Mamba-2, arXiv
/// 2405.21060):   s = exp(delta A) s + B delta x,   y = C s + D x.
/// state (headdim): channels before tokens, so that it stays in a register. Each token rounds it as
/// it is stored, whether it is stored then or not.
template <class Element>
[[gnu::flatten]] void scan_single(const Ssm& ssm, std::size_t head, const ScanRows& rows,
                                  Element* state) noexcept {
  constexpr std::size_t kTokens = 64;  // at a time
  const std::size_t group = ssm.group(head);
  const std::size_t channel = head * ssm.headdim;
  for (std::size_t begin = 0; begin < rows.x.rows; begin += kTokens) {
    const std::size_t tokens = std::min(kTokens, rows.x.rows - begin);
    const ScanRows chunk = rows.middle(begin, tokens);
    std::array<float, kTokens> decay;
    std::array<float, kTokens> input;
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
        if constexpr (!std::is_same_v<Element, float>) {
          lanes.store(s, state + p);
          s = lanes.load(state + p);
        }
      }
      lanes.store(s, state + p);
    });
  }
}

}  // namespace kernels
}  // namespace MAMBA2_ISA
}  // namespace mamba2
