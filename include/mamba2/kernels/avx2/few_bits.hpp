// SPDX-License-Identifier: Apache-2.0
// Codes of 2 and of 5 bits, in the words of TwoBitProducts and FiveBitProducts.
#pragma once

#include <immintrin.h>

#include <cstddef>

#include "mamba2/kernels/avx2/vectors.hpp"

MAMBA2_INTRINSICS_BEGIN

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::avx2 {

/// The codes of the columns from 4 * kIndex on, of 32.
template <std::size_t kIndex>
[[nodiscard]] MAMBA2_INLINE inline __m256i load_five_bits(const std::byte* weights) {
  const auto bits = [](int mask, __m256i from) MAMBA2_INLINE {
    return _mm256_and_si256(from, _mm256_set1_epi8(static_cast<char>(mask)));
  };
  const auto quad = [&](std::size_t i) MAMBA2_INLINE {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights + 32 * i));
  };
  if constexpr (kIndex < 5) {
    if constexpr (kIndex % 2 == 0) prefetch(weights + 32 * kIndex);
    return bits(0x1F, quad(kIndex));
  } else if constexpr (kIndex == 7) {
    return _mm256_or_si256(bits(0x1C, _mm256_srli_epi16(quad(4), 3)),
                           _mm256_or_si256(bits(0x02, _mm256_srli_epi16(quad(1), 4)),
                                           bits(0x01, _mm256_srli_epi16(quad(3), 5))));
  } else {
    constexpr std::size_t kHigh = kIndex == 5 ? 0 : 2;
    return _mm256_or_si256(bits(0x1C, _mm256_srli_epi16(quad(kHigh), 3)),
                           bits(0x03, _mm256_srli_epi16(quad(kHigh + 1), 6)));
  }
}

struct Pairs : Vectors {
  using Bytes = __m256i;

  static Bytes zero() { return _mm256_setzero_si256(); }
  static Bytes load_weights(const std::byte* weights) { return avx2::load_weights(weights); }
  static Bytes broadcast_codes(const std::byte* codes) { return avx2::broadcast_codes(codes); }
  static Bytes dot_pairs(Bytes sums, Bytes u, Bytes s) { return avx2::dot_pairs(sums, u, s); }
  static Sums add_pairs(Sums sums, Bytes pairs) { return avx2::add_pairs(sums, pairs); }
  /// Of a byte with four codes, the kIndex'th from the lowest bits on.
  template <std::size_t kIndex>
  MAMBA2_INLINE static Bytes two_bits(Bytes w) {
    if constexpr (kIndex > 0) w = _mm256_srli_epi16(w, 2 * kIndex);
    return _mm256_and_si256(w, _mm256_set1_epi8(3));
  }
  /// The codes of the columns from 4 * kIndex on, of 32.
  template <std::size_t kIndex>
  MAMBA2_INLINE static Bytes five_bits(const std::byte* weights) {
    return load_five_bits<kIndex>(weights);
  }
};

}  // namespace kernels::avx2
}  // namespace MAMBA2_ISA
}  // namespace mamba2

MAMBA2_INTRINSICS_END
