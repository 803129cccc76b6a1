// SPDX-License-Identifier: Apache-2.0
// What the AVX-512 kernels share: vectors of integers, weights on their way in, results on theirs
// out.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "mamba2/kernels/simd.hpp"
#include "mamba2/kernels/unroll.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::avx512 {

/// 16 integers. Accumulators have this type and not __m512i: to GCC a change of the lanes' type is
/// a register copy, one for every addition in a tile that fills the registers.
using Int32x16 = std::int32_t __attribute__((vector_size(64)));

// Masked forms, with all lanes chosen: of the plain ones GCC 12 says that they read what has not
// been written.
inline constexpr __mmask16 kAllLanes = 0xFFFF;

/// The high 4 bits of all bytes.
[[nodiscard]] inline __m512i high_nibbles(__m512i v) {
  return _mm512_and_si512(_mm512_maskz_srli_epi32(kAllLanes, v, 4), _mm512_set1_epi8(15));
}
[[nodiscard]] inline __m512i low_nibbles(__m512i v) {
  return _mm512_and_si512(v, _mm512_set1_epi8(15));
}

/// Asks for weights that are needed soon.
MAMBA2_INLINE inline void prefetch(const std::byte* weights) {
  kernels::prefetch<kIntoL2>(weights + kWeightsAhead);
}

/// 64 bytes of weights.
[[nodiscard]] inline __m512i load_weights(const std::byte* weights) {
  prefetch(weights);
  return _mm512_loadu_si512(weights);
}

/// The same 4 codes in all lanes.
[[nodiscard]] inline __m512i broadcast_codes(const std::byte* codes) {
  std::int32_t four;
  std::memcpy(&four, codes, sizeof four);
  return _mm512_set1_epi32(four);
}

/// Stores the first `count` lanes, 16 at most.
inline void store(__m512 v, float* to, std::size_t count) {
  if (count >= 16) {
    _mm512_storeu_ps(to, v);
  } else {
    _mm512_mask_storeu_ps(to, static_cast<__mmask16>((1U << count) - 1U), v);
  }
}

/// A register for a band of 16 rows, in the words of Int8Tiles and the like.
struct Vectors {
  static constexpr bool kMins = false;
  static constexpr std::size_t kRows = 16;
  using Floats = __m512;
  using Sums = Int32x16;

  static Floats fill(float value) { return _mm512_set1_ps(value); }
  static Sums all(std::int32_t value) { return reinterpret_cast<Sums>(_mm512_set1_epi32(value)); }
  static Floats to_float(Sums v) {
    return _mm512_maskz_cvtepi32_ps(kAllLanes, reinterpret_cast<__m512i>(v));
  }
  /// a * b + c
  static Floats multiply_add(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
  /// Floats, among the weights.
  static Floats load_row_scales(const std::byte* scales) {
    prefetch(scales);
    return _mm512_loadu_ps(scales);
  }
  /// c - a * b
  static Floats subtract_product(Floats c, Floats a, Floats b) { return _mm512_fnmadd_ps(a, b, c); }
  static void prefetch(const std::byte* weights) { avx512::prefetch(weights); }
  /// FP16.
  static Floats load_halves(const std::byte* from) {
    return _mm512_maskz_cvtph_ps(kAllLanes,
                                 _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  }
  /// FP16, among the weights.
  static Floats load_scales(const std::byte* scales) {
    prefetch(scales);
    return load_halves(scales);
  }
  /// Signed bytes.
  static Floats load_bytes(const std::byte* from) {
    return to_float(reinterpret_cast<Sums>(_mm512_maskz_cvtepi8_epi32(
        kAllLanes, _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)))));
  }
  static void store(Floats v, float* to, std::size_t count) { avx512::store(v, to, count); }
};

}  // namespace kernels::avx512
}  // namespace MAMBA2_ISA
}  // namespace mamba2
