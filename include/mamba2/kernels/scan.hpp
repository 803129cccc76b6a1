// SPDX-License-Identifier: Apache-2.0
// What the selective state space recurrence is given: its constants, and the step sizes.
#pragma once

#include <algorithm>
#include <cstddef>

#include "mamba2/core/views.hpp"
#include "mamba2/kernels/activations.hpp"
#include "mamba2/kernels/simd.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels {

/// The constants of a block's SSM.
struct Ssm {
  std::size_t nheads;
  std::size_t headdim;
  std::size_t d_state;
  std::size_t ngroups;   ///< consecutive heads share the B and C of their group
  const float* A;        ///< (nheads), negative: -exp(A_log)
  const float* D;        ///< (nheads * headdim): the skip weight of every channel
  const float* dt_bias;  ///< (nheads)
  float dt_min;          ///< bounds of the step size
  float dt_max;

  /// Of B and C, that of a head.
  [[nodiscard]] std::size_t group(std::size_t head) const noexcept {
    return head / (nheads / ngroups);
  }
};

/// dt becomes the step size delta = clamp(softplus(dt + dt_bias), dt_min, dt_max), for the heads
/// [first, first + dt.cols). dt (tokens, dt.cols).
[[gnu::flatten]] inline void step_sizes(const Ssm& ssm, std::size_t first,
                                        MutableRows dt) noexcept {
  for (std::size_t t = 0; t < dt.rows; ++t) {
    for_each_vector(dt.cols, [&](std::size_t h, auto lanes) {
      const Floats step = softplus(lanes.load(dt[t] + h) + lanes.load(ssm.dt_bias + first + h));
      // In this order, as a NaN must stay one: x86 returns the second operand then.
      const Floats low = xsimd::max(Floats(ssm.dt_min), step);
      lanes.store(xsimd::min(Floats(ssm.dt_max), low), dt[t] + h);
    });
  }
}

}  // namespace kernels
}  // namespace MAMBA2_ISA
}  // namespace mamba2
