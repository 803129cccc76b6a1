// SPDX-License-Identifier: Apache-2.0
// Registers of BF16 numbers: storage only, arithmetic is FP32.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <xsimd/xsimd.hpp>

#include "mamba2/core/half.hpp"

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

MAMBA2_INTRINSICS_BEGIN

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels {

/// A register's worth of BF16 numbers as floats. Exact.
[[nodiscard]] inline xsimd::batch<float> load_bf16(const std::uint16_t* bits) {
#if defined(__AVX512F__)
  const __m256i packed = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bits));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(packed), 16));
#elif defined(__AVX2__)
  const __m128i packed = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bits));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(packed), 16));
#elif defined(__aarch64__)
  return vreinterpretq_f32_u16(
      vzip1q_u16(vdupq_n_u16(0), vcombine_u16(vld1_u16(bits), vdup_n_u16(0))));
#else
  std::array<float, xsimd::batch<float>::size> values;
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = bf16_to_float(bits[i]);
  return xsimd::batch<float>::load_unaligned(values.data());
#endif
}

}  // namespace kernels
}  // namespace MAMBA2_ISA
}  // namespace mamba2

MAMBA2_INTRINSICS_END
