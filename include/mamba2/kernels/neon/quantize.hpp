// SPDX-License-Identifier: Apache-2.0
// From floats to INT8 codes.
#pragma once

#include <arm_neon.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "mamba2/core/platform.hpp"

namespace mamba2::inline MAMBA2_ISA::kernels::neon {

/// The largest of n magnitudes; a NaN is larger than any.
[[nodiscard]] inline float largest_magnitude(const float* x, std::size_t n) {
  // FMAX takes 2 cycles and two start in each: 4 chains.
  float32x4_t chains[4] = {};
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) {
#pragma GCC unroll 4
    for (std::size_t j = 0; j < 4; ++j) {
      chains[j] = vmaxq_f32(chains[j], vabsq_f32(vld1q_f32(x + i + 4 * j)));
    }
  }
  for (; i < n; ++i) chains[0] = vmaxq_f32(chains[0], vdupq_n_f32(std::fabs(x[i])));
  return vmaxvq_f32(vmaxq_f32(vmaxq_f32(chains[0], chains[1]), vmaxq_f32(chains[2], chains[3])));
}

/// Quantizes n values, returns their scale, max|x| / 127, and gives the sum of their codes,
/// round(x / scale), half to even, in -127..127 even where the scale vanishes, so that its inverse
/// is infinite.
[[nodiscard]] inline float quantize_int8(const float* x, std::size_t n, std::int8_t* codes,
                                         std::int32_t& sum) {
  const float largest = largest_magnitude(x, n);
  const float inverse = largest == 0.0F ? 0.0F : 127.0F / largest;
  int32x4_t sums = vdupq_n_s32(0);
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    // FCVTNS rounds half to even, whatever the rounding mode.
    int32x4_t wide[4];
#pragma GCC unroll 4
    for (std::size_t j = 0; j < 4; ++j) {
      wide[j] = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + i + 4 * j), inverse));
    }
    const int16x8_t low = vqmovn_high_s32(vqmovn_s32(wide[0]), wide[1]);
    const int16x8_t high = vqmovn_high_s32(vqmovn_s32(wide[2]), wide[3]);
    const int8x16_t narrow = vmaxq_s8(vqmovn_high_s16(vqmovn_s16(low), high), vdupq_n_s8(-127));
    vst1q_s8(codes + i, narrow);
    sums = vpadalq_s16(sums, vpaddlq_s8(narrow));
  }
  sum = vaddvq_s32(sums);
  for (; i < n; ++i) {
    codes[i] = static_cast<std::int8_t>(std::clamp(vcvtns_s32_f32(x[i] * inverse), -127, 127));
    sum += codes[i];
  }
  return largest / 127.0F;
}

}  // namespace mamba2::inline MAMBA2_ISA::kernels::neon
