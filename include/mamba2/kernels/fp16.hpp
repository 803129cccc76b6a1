// SPDX-License-Identifier: Apache-2.0
// Registers of FP16 numbers: storage only, arithmetic is FP32.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <xsimd/xsimd.hpp>

#include "mamba2/core/half.hpp"

#if defined(__AVX512F__) || defined(__F16C__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

MAMBA2_INTRINSICS_BEGIN

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels {

/// A register's worth of FP16 numbers as floats. Exact.
[[nodiscard]] inline xsimd::batch<float> load_fp16(const std::uint16_t* bits) {
#if defined(__AVX512F__)
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(bits)));
#elif defined(__AVX__) && defined(__F16C__)
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bits)));
#elif defined(__aarch64__)
  return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(bits)));
#else
  std::array<float, xsimd::batch<float>::size> values;
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = fp16_to_float(bits[i]);
  return xsimd::batch<float>::load_unaligned(values.data());
#endif
}

/// Rounds to nearest, ties to even. What is beyond the largest finite FP16 number, 65504, becomes
/// that, so that a state can recover from it; a NaN stays one.
inline void store_fp16(const xsimd::batch<float>& values, std::uint16_t* bits) {
  using Floats = xsimd::batch<float>;
  // In this order of arguments min and max give back a NaN.
  const Floats v = xsimd::max(Floats(-kMaxFp16), xsimd::min(Floats(kMaxFp16), values));
#if defined(__AVX512F__)
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(bits),
                      _mm512_maskz_cvtps_ph(0xFFFF, v, _MM_FROUND_TO_NEAREST_INT));
#elif defined(__AVX__) && defined(__F16C__)
  _mm_storeu_si128(reinterpret_cast<__m128i*>(bits), _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
#elif defined(__aarch64__)
  vst1_u16(bits, vreinterpret_u16_f16(vcvt_f16_f32(v)));
#else
  std::array<float, Floats::size> lanes;
  v.store_unaligned(lanes.data());
  for (std::size_t i = 0; i < lanes.size(); ++i) bits[i] = float_to_fp16(lanes[i]);
#endif
}

}  // namespace kernels
}  // namespace MAMBA2_ISA
}  // namespace mamba2

MAMBA2_INTRINSICS_END
