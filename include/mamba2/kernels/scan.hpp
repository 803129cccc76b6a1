// SPDX-License-Identifier: Apache-2.0
// The selective state space recurrence.
#pragma once

#include <cmath>
#include <cstddef>

#include "mamba2/core/views.hpp"
#include "mamba2/kernels/activations.hpp"
#include "mamba2/kernels/simd.hpp"

namespace mamba2::inline MAMBA2_ISA::kernels {

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
};

/// delta = clamp(softplus(dt + dt_bias), dt_min, dt_max). dt, delta (tokens, nheads).
inline void step_sizes(const Ssm& ssm, ConstRows dt, MutableRows delta) noexcept {
  for (std::size_t t = 0; t < dt.rows; ++t) {
    for (std::size_t h = 0; h < ssm.nheads; ++h) {
      const float step = softplus(dt[t][h] + ssm.dt_bias[h]);
      delta[t][h] = step < ssm.dt_min ? ssm.dt_min : (step > ssm.dt_max ? ssm.dt_max : step);
    }
  }
}

/// One row of the state, for one token: state = decay * state + input * B; returns state . C.
[[nodiscard]] inline float scan_row(float decay, float input, const float* B, const float* C,
                                    std::size_t d_state, float* state) noexcept {
  const Floats decays(decay);
  const Floats inputs(input);
  Floats dot(0.0F);
  std::size_t n = 0;
  for (; n + kLanes <= d_state; n += kLanes) {
    const Floats s = xsimd::fma(inputs, load(B + n), decays * load(state + n));
    s.store_unaligned(state + n);
    dot = xsimd::fma(s, load(C + n), dot);
  }
  float y = sum(dot);
  for (; n < d_state; ++n) {
    state[n] = decay * state[n] + input * B[n];
    y += state[n] * C[n];
  }
  return y;
}

/// For every head h, token by token (Mamba-2, arXiv 2405.21060):
///   S = exp(delta A) S + (delta x) B^T,   y = S C + D x.
/// x, y (tokens, nheads * headdim); B, C (tokens, ngroups * d_state); delta (tokens, nheads);
/// state (nheads, headdim, d_state). y may be x.
/// Tokens run inside heads: the state of one head stays in the cache for all of them.
inline void selective_scan(const Ssm& ssm, ConstRows x, ConstRows B, ConstRows C, ConstRows delta,
                           float* state, MutableRows y) noexcept {
  const std::size_t heads_per_group = ssm.nheads / ssm.ngroups;
  for (std::size_t h = 0; h < ssm.nheads; ++h) {
    const std::size_t group = h / heads_per_group * ssm.d_state;
    for (std::size_t t = 0; t < x.rows; ++t) {
      const float step = delta[t][h];
      const float decay = std::exp(step * ssm.A[h]);
      for (std::size_t c = h * ssm.headdim; c < (h + 1) * ssm.headdim; ++c) {
        const float input = x[t][c];
        y[t][c] = ssm.D[c] * input + scan_row(decay, step * input, B[t] + group, C[t] + group,
                                              ssm.d_state, state + c * ssm.d_state);
      }
    }
  }
}

}  // namespace mamba2::inline MAMBA2_ISA::kernels
