// SPDX-License-Identifier: Apache-2.0
// The selective state space recurrence, token by token.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

#include "mamba2/core/views.hpp"
#include "mamba2/kernels/activations.hpp"
#include "mamba2/kernels/simd.hpp"
#include "mamba2/kernels/unroll.hpp"
#if defined(__aarch64__)
#include "mamba2/kernels/neon/scan_step.hpp"
#endif

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
};

/// What the heads of a block read of consecutive tokens, and where they write.
struct ScanRows {
  MutableRows x;    ///< (tokens, nheads * headdim), replaced by y
  ConstRows B;      ///< (tokens, ngroups * d_state)
  ConstRows C;      ///< (tokens, ngroups * d_state)
  ConstRows delta;  ///< (tokens, nheads)

  /// The tokens [first, first + count).
  [[nodiscard]] ScanRows middle(std::size_t first, std::size_t count) const {
    return {x.middle(first, count), B.middle(first, count), C.middle(first, count),
            delta.middle(first, count)};
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

/// One token for the channels [first, first + kVectors registers) of a head; in the last register
/// perhaps not all lanes. x becomes y.
template <std::size_t kVectors, class Element, class Lanes>
void scan_channels(const Ssm& ssm, float decay, float delta, const float* B, const float* C,
                   const float* D, Lanes lanes, Element* state, float* x) noexcept {
  Floats input[kVectors];
  Floats y[kVectors];
  unroll<kVectors>([&](auto v) MAMBA2_INLINE {
    const Floats value = lanes.load(x + v * kLanes);
    input[v] = value * Floats(delta);
    y[v] = value * lanes.load(D + v * kLanes);
  });
  for (std::size_t n = 0; n < ssm.d_state; ++n, state += ssm.headdim) {
    const Floats b(B[n]);
    const Floats c(C[n]);
    unroll<kVectors>([&](auto v) MAMBA2_INLINE {
      Element* place = state + v * kLanes;
      const Floats s = multiply_add(input[v], b, lanes.load(place) * Floats(decay));
      lanes.store(s, place);
      y[v] = multiply_add(s, c, y[v]);
    });
  }
  unroll<kVectors>([&](auto v) MAMBA2_INLINE { lanes.store(y[v], x + v * kLanes); });
}

/// One token for all channels of a head: state (d_state, headdim), x (headdim) becomes y.
template <class Element>
void scan_token(const Ssm& ssm, float decay, float delta, const float* B, const float* C,
                const float* D, Element* state, float* x) noexcept {
#if defined(__aarch64__)
  constexpr std::size_t kMaxHeaddim = 256;
  if (ssm.headdim <= kMaxHeaddim) {
    std::array<float, kMaxHeaddim> input;
    std::array<float, kMaxHeaddim> y;
    for_each_vector(ssm.headdim, [&](std::size_t p, auto lanes) {
      lanes.store(lanes.load(x + p) * Floats(delta), &input[p]);
    });
    neon::scan_step(decay, input.data(), B, C, ssm.d_state, ssm.headdim, state, y.data());
    for_each_vector(ssm.headdim, [&](std::size_t p, auto lanes) {
      lanes.store(multiply_add(lanes.load(x + p), lanes.load(D + p), lanes.load(&y[p])), x + p);
    });
    return;
  }
#endif
  constexpr std::size_t kVectors = 4;
  std::size_t p = 0;
  for (; p + kVectors * kLanes <= ssm.headdim; p += kVectors * kLanes) {
    scan_channels<kVectors>(ssm, decay, delta, B, C, D + p, AllLanes{}, state + p, x + p);
  }
  for_each_vector(ssm.headdim - p, [&](std::size_t i, auto lanes) {
    scan_channels<1>(ssm, decay, delta, B, C, D + p + i, lanes, state + p + i, x + p + i);
  });
}

/// The tokens of rows, one after the other, for one head (Mamba-2, arXiv 2405.21060):
///   S = exp(delta A) S + B (delta x)^T,   y = S C + D x.
/// state (d_state, headdim) of the head: lanes are channels, so that nothing is summed across them.
template <class Element>
void scan_head(const Ssm& ssm, std::size_t head, const ScanRows& rows, Element* state) noexcept {
  const std::size_t group = head / (ssm.nheads / ssm.ngroups) * ssm.d_state;
  for (std::size_t t = 0; t < rows.x.rows; ++t) {
    const float delta = rows.delta[t][head];
    const float decay = first_lane(exp(Floats(delta * ssm.A[head])));
    scan_token(ssm, decay, delta, rows.B[t] + group, rows.C[t] + group, ssm.D + head * ssm.headdim,
               state, rows.x[t] + head * ssm.headdim);
  }
}

}  // namespace kernels
}  // namespace MAMBA2_ISA
}  // namespace mamba2
