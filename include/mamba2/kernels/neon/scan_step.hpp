// SPDX-License-Identifier: Apache-2.0
// One token of the selective scan for one head.
#pragma once

#include <arm_neon.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "mamba2/core/half.hpp"
#include "mamba2/core/platform.hpp"
#include "mamba2/kernels/neon/tile.hpp"
#include "mamba2/kernels/unroll.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::neon {

/// 8 channels of a state.
struct Channels {
  float32x4_t low;
  float32x4_t high;
};

[[nodiscard]] inline Channels load(const float* from) {
  return {vld1q_f32(from), vld1q_f32(from + 4)};
}
inline void store(const Channels& values, float* to) {
  vst1q_f32(to, values.low);
  vst1q_f32(to + 4, values.high);
}

/// FP16 numbers whose infinities have become the largest finite number, +-65504; a NaN stays one.
[[nodiscard]] inline uint16x8_t saturate_fp16(float16x8_t halves) {
#if defined(__ARM_FEATURE_FP16_VECTOR_ARITHMETIC)
  const float16x8_t most = vreinterpretq_f16_u16(vdupq_n_u16(0x7BFF));
  return vreinterpretq_u16_f16(vmaxq_f16(vminq_f16(halves, most), vnegq_f16(most)));
#else
  // They differ by one from what they become. Three operations for 8 numbers, where clamping them
  // as floats would take four.
  const uint16x8_t bits = vreinterpretq_u16_f16(halves);
  const uint16x8_t infinity = vdupq_n_u16(0x7C00);
  const uint16x8_t magnitude = vbicq_u16(bits, vdupq_n_u16(0x8000));
  return vaddq_u16(bits, vceqq_u16(magnitude, infinity));  // all ones are -1
#endif
}

[[nodiscard]] inline Channels load(const std::uint16_t* from) {
  const float16x8_t halves = vreinterpretq_f16_u16(vld1q_u16(from));
  return {vcvt_f32_f16(vget_low_f16(halves)), vcvt_high_f32_f16(halves)};
}
inline void store(const Channels& values, std::uint16_t* to) {
  float16x8_t halves;
  // By intrinsics GCC copies the first half from register to register.
  asm("fcvtn %0.4h, %1.4s\n\tfcvtn2 %0.8h, %2.4s"
      : "=&w"(halves)
      : "w"(values.low), "w"(values.high));
  vst1q_u16(to, saturate_fp16(halves));
}

/// A token's work on kSteps rows of a state (kSteps, headdim), see scan_step(); adds to y.
/// y and dtx, 16 channels at a time, are in registers for kSteps rows, at 12 vector operations a
/// row: that they come from the L1 cache and go back for the next rows hides behind those.
template <std::size_t kSteps, class Element>
void scan_rows(float decay, const float* dtx, const float* B, const float* C, std::size_t headdim,
               Element* state, float* y) {
  static_assert(kSteps == 1 || kSteps == 4);
  constexpr std::size_t kWidth = 16;
  // In registers: as far as the compiler knows, what is stored to state and y changes B and C.
  const float32x4_t b = kSteps == 4 ? vld1q_f32(B) : vdupq_n_f32(*B);
  const float32x4_t c = kSteps == 4 ? vld1q_f32(C) : vdupq_n_f32(*C);
  const float32x4_t a = vdupq_n_f32(decay);
  std::size_t p = 0;
  for (; p + kWidth <= headdim; p += kWidth) {
    const Channels input[2] = {load(dtx + p), load(dtx + p + 8)};
    Channels sums[2] = {load(y + p), load(y + p + 8)};
    unroll<kSteps>([&](auto n) MAMBA2_INLINE {
      Element* place = state + n * headdim + p;
      prefetch(reinterpret_cast<const std::byte*>(place));
      unroll<2>([&](auto i) MAMBA2_INLINE {
        Channels s = load(place + 8 * i);
        s.low = vfmaq_laneq_f32(vmulq_f32(s.low, a), input[i].low, b, n);
        s.high = vfmaq_laneq_f32(vmulq_f32(s.high, a), input[i].high, b, n);
        store(s, place + 8 * i);
        sums[i].low = vfmaq_laneq_f32(sums[i].low, s.low, c, n);
        sums[i].high = vfmaq_laneq_f32(sums[i].high, s.high, c, n);
      });
    });
    store(sums[0], y + p);
    store(sums[1], y + p + 8);
  }
  for (; p < headdim; ++p) {
    for (std::size_t n = 0; n < kSteps; ++n) {
      Element* place = state + n * headdim + p;
      if constexpr (std::is_same_v<Element, float>) {
        *place = std::fma(dtx[p], B[n], decay * *place);
        y[p] = std::fma(*place, C[n], y[p]);
      } else {
        const float s = std::fma(dtx[p], B[n], decay * fp16_to_float(*place));
        const std::uint16_t bits = float_to_fp16(s);
        *place = static_cast<std::uint16_t>((bits & 0x7FFFU) == 0x7C00U ? bits - 1U : bits);
        y[p] = std::fma(s, C[n], y[p]);
      }
    }
  }
}

/// For all n, p: state[n][p] = decay * state[n][p] + B[n] * dtx[p], and
/// y[p] = sum_n C[n] * state[n][p].
/// dtx, the inputs times the step size, and y (headdim); B, C (d_state); state (d_state, headdim),
/// its Element float or std::uint16_t: FP16 numbers, which stop at +-65504 instead of becoming
/// infinite; y is computed before a value is rounded to FP16.
/// A lane is a channel, so that nothing is summed across lanes, and the state is one stream.
template <class Element>
void scan_step(float decay, const float* dtx, const float* B, const float* C, std::size_t d_state,
               std::size_t headdim, Element* state, float* y) {
  constexpr std::size_t kSteps = 4;
  std::fill_n(y, headdim, 0.0F);
  std::size_t n = 0;
  for (; n + kSteps <= d_state; n += kSteps, state += kSteps * headdim) {
    scan_rows<kSteps>(decay, dtx, B + n, C + n, headdim, state, y);
  }
  for (; n < d_state; ++n, state += headdim) {
    scan_rows<1>(decay, dtx, B + n, C + n, headdim, state, y);
  }
}

}  // namespace kernels::neon
}  // namespace MAMBA2_ISA
}  // namespace mamba2
