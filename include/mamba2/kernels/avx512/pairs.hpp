// SPDX-License-Identifier: Apache-2.0
// Sums of products where there is no VNNI: VPMADDUBSW to 16 bits, VPMADDWD to 32.
#pragma once

#include <immintrin.h>

#include "mamba2/kernels/avx512/vectors.hpp"

MAMBA2_INTRINSICS_BEGIN

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::avx512 {

// GCC does not see through the asm statements. It would add many vectors in an order of its own
// otherwise, for which a large tile has no registers.

/// sums + the dot products of 2 unsigned and 2 signed bytes, in lanes of 16 bits.
[[nodiscard]] inline __m512i dot_pairs(__m512i sums, __m512i u, __m512i s) {
  sums = _mm512_add_epi16(sums, _mm512_maddubs_epi16(u, s));
  asm("" : "+v"(sums));
  return sums;
}

/// sums + the sums of neighbouring pairs of 16-bit numbers.
[[nodiscard]] inline Int32x16 add_pairs(Int32x16 sums, __m512i pairs) {
  sums += reinterpret_cast<Int32x16>(_mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
  asm("" : "+v"(sums));
  return sums;
}

}  // namespace kernels::avx512
}  // namespace MAMBA2_ISA
}  // namespace mamba2

MAMBA2_INTRINSICS_END
