// SPDX-License-Identifier: Apache-2.0
// Codes of 2 bits on their way into AVX-512 registers.
#pragma once

#include <immintrin.h>

#include <cstddef>

#include "mamba2/kernels/avx512/vectors.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::avx512 {

/// The codes of 16 columns, 4 to a register: as they are, and 4, 16 and 64 times what they are.
MAMBA2_INLINE inline void mask_two_bits(__m512i bytes, __m512i (&w)[4]) {
  asm("" : "+v"(bytes));  // GCC would load them for each
  w[0] = _mm512_and_si512(bytes, _mm512_set1_epi8(0x03));
  w[1] = _mm512_and_si512(bytes, _mm512_set1_epi8(0x0C));
  w[2] = _mm512_and_si512(bytes, _mm512_set1_epi8(0x30));
  w[3] = _mm512_and_si512(bytes, _mm512_set1_epi8(static_cast<char>(0xC0)));
}

/// All as they are.
MAMBA2_INLINE inline void unpack_two_bits(__m512i bytes, __m512i (&w)[4]) {
  const __m512i low = _mm512_set1_epi8(3);
  w[0] = _mm512_and_si512(bytes, low);
  w[1] = _mm512_and_si512(_mm512_maskz_srli_epi32(kAllLanes, bytes, 2), low);
  w[2] = _mm512_and_si512(_mm512_maskz_srli_epi32(kAllLanes, bytes, 4), low);
  w[3] = _mm512_and_si512(_mm512_maskz_srli_epi32(kAllLanes, bytes, 6), low);
}

}  // namespace kernels::avx512
}  // namespace MAMBA2_ISA
}  // namespace mamba2
