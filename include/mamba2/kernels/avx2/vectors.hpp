// SPDX-License-Identifier: Apache-2.0
// What the AVX2 kernels share: integer arithmetic, weights on their way in, results on theirs out.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "mamba2/core/views.hpp"
#include "mamba2/kernels/unroll.hpp"

namespace mamba2::inline MAMBA2_ISA::kernels::avx2 {

// GCC does not see through the asm statements. It would add many vectors in an order of its own
// otherwise, for which a large tile has no registers.

/// sums + the dot products of 2 unsigned and 2 signed bytes, in lanes of 16 bits.
[[nodiscard]] inline __m256i dot_pairs(__m256i sums, __m256i u, __m256i s) {
  sums = _mm256_add_epi16(sums, _mm256_maddubs_epi16(u, s));
  asm("" : "+x"(sums));
  return sums;
}

/// sums + the sums of neighbouring pairs of 16-bit numbers.
[[nodiscard]] inline __m256i add_pairs(__m256i sums, __m256i pairs) {
  sums = _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
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

/// Asks for the line that is needed soon, past the end of a band too: the next one follows there.
MAMBA2_INLINE inline void prefetch(const std::byte* weights) {
  constexpr std::size_t kAhead = 1024;
  _mm_prefetch(reinterpret_cast<const char*>(weights) + kAhead, _MM_HINT_T1);
}

/// 32 bytes of weights. They are used twice, and GCC would load them twice.
[[nodiscard]] inline __m256i load_weights(const std::byte* weights) {
  __m256i w = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights));
  asm("" : "+x"(w));
  return w;
}

/// 8 FP16 scales among the weights.
[[nodiscard]] inline __m256 load_scales(const std::byte* scales) {
  prefetch(scales);
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(scales)));
}

/// The same 4 codes in all lanes.
[[nodiscard]] inline __m256i broadcast_codes(const std::byte* codes) {
  std::int32_t four;
  std::memcpy(&four, codes, sizeof four);
  return _mm256_set1_epi32(four);
}

/// Stores the first `count` lanes, 8 at most.
inline void store(__m256 v, float* to, std::size_t count) {
  if (count >= 8) {
    _mm256_storeu_ps(to, v);
  } else {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i chosen = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), lanes);
    _mm256_maskstore_ps(to, chosen, v);
  }
}

}  // namespace mamba2::inline MAMBA2_ISA::kernels::avx2
