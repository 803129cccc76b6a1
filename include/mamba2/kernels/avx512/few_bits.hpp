// SPDX-License-Identifier: Apache-2.0
// Codes of 2 and of 5 bits, in the words of TwoBitProducts and FiveBitProducts.
#pragma once

#include <immintrin.h>

#include <cstddef>

#include "mamba2/kernels/avx512/five_bits.hpp"
#include "mamba2/kernels/avx512/pairs.hpp"
#include "mamba2/kernels/avx512/vectors.hpp"

MAMBA2_INTRINSICS_BEGIN

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::avx512 {

struct Pairs : Vectors {
  using Bytes = __m512i;

  static Bytes zero() { return _mm512_setzero_si512(); }
  static Bytes load_weights(const std::byte* weights) { return avx512::load_weights(weights); }
  static Bytes broadcast_codes(const std::byte* codes) { return avx512::broadcast_codes(codes); }
  static Bytes dot_pairs(Bytes sums, Bytes u, Bytes s) { return avx512::dot_pairs(sums, u, s); }
  static Sums add_pairs(Sums sums, Bytes pairs) { return avx512::add_pairs(sums, pairs); }
  /// Of a byte with four codes, the kIndex'th from the lowest bits on.
  template <std::size_t kIndex>
  MAMBA2_INLINE static Bytes two_bits(Bytes w) {
    if constexpr (kIndex > 0) w = _mm512_srli_epi16(w, 2 * kIndex);
    return _mm512_and_si512(w, _mm512_set1_epi8(3));
  }
  /// The codes of the columns from 4 * kIndex on, of 32.
  template <std::size_t kIndex>
  MAMBA2_INLINE static Bytes five_bits(const std::byte* weights) {
    return load_five_bits<kIndex>(weights);
  }
};

}  // namespace kernels::avx512
}  // namespace MAMBA2_ISA
}  // namespace mamba2

MAMBA2_INTRINSICS_END
