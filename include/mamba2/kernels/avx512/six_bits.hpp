// SPDX-License-Identifier: Apache-2.0
// Codes of Q6_K on their way into AVX-512 registers.
#pragma once

#include <immintrin.h>

#include <cstddef>

#include "mamba2/kernels/avx512/vectors.hpp"
#include "mamba2/kernels/unroll.hpp"

namespace mamba2::inline MAMBA2_ISA::kernels::avx512 {

/// The codes of 16 columns, 4 to a register.
MAMBA2_INLINE inline void load_six_bits(const std::byte* weights, __m512i (&w)[4]) {
  const __m512i first = load_weights(weights);
  const __m512i second = load_weights(weights + 64);
  const __m512i high = load_weights(weights + 128);
  // low | (shifted & 0x30)
  const auto join = [](__m512i low, __m512i shifted) MAMBA2_INLINE {
    return _mm512_ternarylogic_epi32(low, shifted, _mm512_set1_epi8(0x30), 0xF8);
  };
  w[0] = join(low_nibbles(first), _mm512_maskz_slli_epi32(kAllLanes, high, 4));
  w[1] = join(high_nibbles(first), _mm512_maskz_slli_epi32(kAllLanes, high, 2));
  w[2] = join(low_nibbles(second), high);
  w[3] = join(high_nibbles(second), _mm512_maskz_srli_epi32(kAllLanes, high, 2));
}

}  // namespace mamba2::inline MAMBA2_ISA::kernels::avx512
