// SPDX-License-Identifier: Apache-2.0
// Codes of Q6_K on their way into AVX-512 registers.
#pragma once

#include <immintrin.h>

#include <cstddef>

#include "mamba2/kernels/avx512/vectors.hpp"
#include "mamba2/kernels/unroll.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::avx512 {

/// The codes of 16 columns, 4 to a register.
MAMBA2_INLINE inline void load_six_bits(const std::byte* weights, __m512i (&w)[4]) {
  const __m512i low = _mm512_set1_epi8(63);
  __m512i bytes[3];
  unroll<3>([&](auto i) MAMBA2_INLINE {
    bytes[i] = load_weights(weights + 64 * i);
    w[i] = _mm512_and_si512(bytes[i], low);
  });
  // mask ? a : b, bit by bit
  const auto select = [](int mask, __m512i a, __m512i b) MAMBA2_INLINE {
    return _mm512_ternarylogic_epi32(_mm512_set1_epi8(static_cast<char>(mask)), a, b, 0xCA);
  };
  const __m512i high = _mm512_maskz_srli_epi32(kAllLanes, bytes[0], 2);
  const __m512i middle = _mm512_maskz_srli_epi32(kAllLanes, bytes[1], 4);
  const __m512i lowest = _mm512_maskz_srli_epi32(kAllLanes, bytes[2], 6);
  w[3] = _mm512_and_si512(select(0x03, lowest, select(0x0C, middle, high)), low);
}

}  // namespace kernels::avx512
}  // namespace MAMBA2_ISA
}  // namespace mamba2
