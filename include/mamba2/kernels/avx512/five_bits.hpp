// SPDX-License-Identifier: Apache-2.0
// Codes of 5 bits on their way into AVX-512 registers.
#pragma once

#include <immintrin.h>

#include <cstddef>

#include "mamba2/kernels/avx512/vectors.hpp"

MAMBA2_INTRINSICS_BEGIN

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::avx512 {

/// The codes of the columns from 4 * kIndex on, of 32. Weights are asked for ahead where they are
/// loaded first.
template <std::size_t kIndex>
[[nodiscard]] MAMBA2_INLINE inline __m512i load_five_bits(const std::byte* weights) {
  const __m512i low = _mm512_set1_epi8(31);
  if constexpr (kIndex < 5) {
    return _mm512_and_si512(load_weights(weights + 64 * kIndex), low);
  } else {
    // mask ? a : b, bit by bit
    const auto select = [](int mask, __m512i a, __m512i b) MAMBA2_INLINE {
      return _mm512_ternarylogic_epi32(_mm512_set1_epi8(static_cast<char>(mask)), a, b, 0xCA);
    };
    const auto quad = [&](std::size_t i, unsigned shift) MAMBA2_INLINE {
      return _mm512_maskz_srli_epi32(kAllLanes, _mm512_loadu_si512(weights + 64 * i), shift);
    };
    __m512i rest;
    if constexpr (kIndex == 7) {
      rest = select(0x02, quad(1, 4), quad(3, 5));
    } else {
      rest = quad(kIndex == 5 ? 1 : 3, 6);
    }
    const __m512i high = quad(kIndex == 5 ? 0 : kIndex == 6 ? 2 : 4, 3);
    return _mm512_and_si512(select(0x1C, high, rest), low);
  }
}

}  // namespace kernels::avx512
}  // namespace MAMBA2_ISA
}  // namespace mamba2

MAMBA2_INTRINSICS_END
