// SPDX-License-Identifier: Apache-2.0
// What the AVX2 kernels share: integer arithmetic, weights on their way in, results on theirs out.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "mamba2/kernels/simd.hpp"
#include "mamba2/kernels/unroll.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::avx2 {

/// 8 integers. Accumulators have this type and not __m256i, for which + means lanes of 64 bits.
using Int32x8 = std::int32_t __attribute__((vector_size(32)));

// GCC does not see through the asm statements. It would add many vectors in an order of its own
// otherwise, for which a large tile has no registers.

/// sums + the dot products of 2 unsigned and 2 signed bytes, in lanes of 16 bits.
[[nodiscard]] inline __m256i dot_pairs(__m256i sums, __m256i u, __m256i s) {
  sums = _mm256_add_epi16(sums, _mm256_maddubs_epi16(u, s));
  asm("" : "+x"(sums));
  return sums;
}

/// sums + the sums of neighbouring pairs of 16-bit numbers.
[[nodiscard]] inline Int32x8 add_pairs(Int32x8 sums, __m256i pairs) {
  sums += reinterpret_cast<Int32x8>(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  asm("" : "+x"(sums));
  return sums;
}

/// The high 4 bits of all bytes.
[[nodiscard]] inline __m256i high_nibbles(__m256i v) {
  return _mm256_and_si256(_mm256_srli_epi16(v, 4), _mm256_set1_epi8(15));
}
[[nodiscard]] inline __m256i low_nibbles(__m256i v) {
  return _mm256_and_si256(v, _mm256_set1_epi8(15));
}

/// Asks for weights that are needed soon.
MAMBA2_INLINE inline void prefetch(const std::byte* weights) {
  kernels::prefetch<kIntoL2>(weights + kWeightsAhead);
}

/// 32 bytes of weights. They are used twice, and GCC would load them twice.
[[nodiscard]] inline __m256i load_weights(const std::byte* weights) {
  __m256i w = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights));
  asm("" : "+x"(w));
  return w;
}

/// The same 4 codes in all lanes.
[[nodiscard]] inline __m256i broadcast_codes(const std::byte* codes) {
  std::int32_t four;
  std::memcpy(&four, codes, sizeof four);
  return _mm256_set1_epi32(four);
}

/// A register for a band of 8 rows, in the words of Int8Tiles and the like.
struct Vectors {
  static constexpr bool kMins = false;
  static constexpr std::size_t kRows = 8;
  using Floats = __m256;
  using Sums = Int32x8;

  static Floats fill(float value) { return _mm256_set1_ps(value); }
  static Sums all(std::int32_t value) { return reinterpret_cast<Sums>(_mm256_set1_epi32(value)); }
  static Floats to_float(Sums v) { return _mm256_cvtepi32_ps(reinterpret_cast<__m256i>(v)); }
  /// a * b + c
  static Floats multiply_add(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
  /// Floats, among the weights.
  static Floats load_row_scales(const std::byte* scales) {
    prefetch(scales);
    return _mm256_loadu_ps(reinterpret_cast<const float*>(scales));
  }
  /// c - a * b
  static Floats subtract_product(Floats c, Floats a, Floats b) { return _mm256_fnmadd_ps(a, b, c); }
  static void prefetch(const std::byte* weights) { avx2::prefetch(weights); }
  /// FP16.
  static Floats load_halves(const std::byte* from) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  }
  /// FP16, among the weights.
  static Floats load_scales(const std::byte* scales) {
    prefetch(scales);
    return load_halves(scales);
  }
  /// Signed bytes.
  static Floats load_bytes(const std::byte* from) {
    return _mm256_cvtepi32_ps(
        _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
  }
  /// Stores the first `count` lanes, 8 at most.
  static void store(Floats v, float* to, std::size_t count) {
    if (count >= kRows) {
      _mm256_storeu_ps(to, v);
    } else {
      const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
      const __m256i chosen = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), lanes);
      _mm256_maskstore_ps(to, chosen, v);
    }
  }
};

}  // namespace kernels::avx2
}  // namespace MAMBA2_ISA
}  // namespace mamba2
