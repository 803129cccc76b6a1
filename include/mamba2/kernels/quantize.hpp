// SPDX-License-Identifier: Apache-2.0
// From floats to INT8 codes.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "mamba2/kernels/simd.hpp"

#if defined(__AVX512F__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

MAMBA2_INTRINSICS_BEGIN

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels {

/// Stores whole numbers in -128..127, a byte each.
inline void store_codes(const Floats& whole, std::int8_t* to) {
#if defined(__AVX512F__)
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to),
                   _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(whole)));
#elif defined(__aarch64__)
  const int16x4_t narrow = vqmovn_s32(vcvtq_s32_f32(whole));
  vst1_lane_s32(reinterpret_cast<std::int32_t*>(to),
                vreinterpret_s32_s8(vqmovn_s16(vcombine_s16(narrow, narrow))), 0);
#else
  std::array<float, kLanes> lanes;
  store(whole, lanes.data());
  for (std::size_t i = 0; i < kLanes; ++i) to[i] = static_cast<std::int8_t>(lanes[i]);
#endif
}

/// Loads a register's worth of bytes as whole numbers.
[[nodiscard]] inline Floats load_codes(const std::int8_t* from) {
#if defined(__AVX512F__)
  return _mm512_cvtepi32_ps(
      _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
#elif defined(__aarch64__)
  const int8x8_t bytes = vreinterpret_s8_s32(
      vld1_lane_s32(reinterpret_cast<const std::int32_t*>(from), vdup_n_s32(0), 0));
  return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(bytes))));
#else
  std::array<float, kLanes> lanes;
  for (std::size_t i = 0; i < kLanes; ++i) lanes[i] = static_cast<float>(from[i]);
  return load(lanes.data());
#endif
}

/// value = step * code, code in -127..127.
struct Int8Scale {
  /// Where all values are smaller, they count as 0: the inverse would be infinite.
  static constexpr float kTiny = 1e-36F;

  float step;     ///< max|x| / 127, or 0; NaN if a value is NaN or infinite
  float inverse;  ///< 127 / max|x|, or 0
};

/// The scale of n values, by the largest magnitude.
[[nodiscard]] inline Int8Scale int8_scale(const float* x, std::size_t n) {
  Floats largest(0.0F);
  Floats zeros(0.0F);  // x * 0 is NaN for what is not finite; a maximum may drop it
  for_each_vector(n, [&](std::size_t i, auto lanes) {
    const Floats v = lanes.load(x + i);
    largest = xsimd::max(largest, xsimd::abs(v));
    zeros = multiply_add(v, Floats(0.0F), zeros);
  });
  std::array<float, kLanes> lanes;
  store(largest, lanes.data());
  const float most = *std::max_element(lanes.begin(), lanes.end()) + sum(zeros);
  if (most < Int8Scale::kTiny) return {0.0F, 0.0F};
  return {most / 127.0F, 127.0F / most};
}

/// codes = round(x * inverse), in -128..127. Returns their sum.
template <class Round>
std::int32_t rounded_codes(const float* x, std::size_t n, float inverse, std::int8_t* codes,
                           Round round) {
  // Exact: whole numbers, far from 2^24 in each lane.
  Floats sums(0.0F);
  const auto quantize = [&](const Floats& v) {
    const Floats code = round(v * Floats(inverse));
    return xsimd::select(code == code, code, Floats(0.0F));  // the scale is NaN, that is enough
  };
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Floats whole = quantize(load(x + i));
    sums += whole;
    store_codes(whole, codes + i);
  }
  if (i < n) {
    const Floats whole = quantize(FirstLanes{n % kLanes}.load(x + i));
    sums += whole;
    std::array<std::int8_t, kLanes> rest;
    store_codes(whole, rest.data());
    std::copy_n(rest.begin(), n % kLanes, codes + i);
  }
  return static_cast<std::int32_t>(sum(sums));
}

/// codes = x * inverse, rounded half to even. Returns their sum.
inline std::int32_t int8_codes(const float* x, std::size_t n, float inverse, std::int8_t* codes) {
  return rounded_codes(x, n, inverse, codes, [](const Floats& v) { return nearest(v); });
}

/// Quantizes n values to codes, gives their sum and returns their scale.
[[nodiscard]] inline float quantize_int8(const float* x, std::size_t n, std::int8_t* codes,
                                         std::int32_t& sum_of_codes) {
  const Int8Scale scale = int8_scale(x, n);
  sum_of_codes = int8_codes(x, n, scale.inverse, codes);
  return scale.step;
}

}  // namespace kernels
}  // namespace MAMBA2_ISA
}  // namespace mamba2

MAMBA2_INTRINSICS_END
