// SPDX-License-Identifier: Apache-2.0
// Q6_K products with VPMADDUBSW, which multiplies unsigned by signed bytes: codes are stored + 32.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <string_view>

#include "mamba2/kernels/avx2/vectors.hpp"
#include "mamba2/kernels/unroll.hpp"
#include "mamba2/kernels/x86/k_tiles.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::avx2 {

/// The codes of 16 columns, 4 to a register.
MAMBA2_INLINE inline void load_six_bits(const std::byte* weights, __m256i (&w)[4]) {
  prefetch(weights);
  prefetch(weights + 64);
  const __m256i first = load_weights(weights);
  const __m256i second = load_weights(weights + 32);
  const __m256i third = load_weights(weights + 64);
  const auto bits = [](int mask, __m256i from) MAMBA2_INLINE {
    return _mm256_and_si256(from, _mm256_set1_epi8(static_cast<char>(mask)));
  };
  w[0] = bits(0x3F, first);
  w[1] = bits(0x3F, second);
  w[2] = bits(0x3F, third);
  w[3] = _mm256_or_si256(bits(0x30, _mm256_srli_epi16(first, 2)),
                         _mm256_or_si256(bits(0x0C, _mm256_srli_epi16(second, 4)),
                                         bits(0x03, _mm256_srli_epi16(third, 6))));
}

struct Q6KProducts : Vectors {
  static constexpr int kBias = 32;
  static constexpr bool kMins = false;
  static constexpr std::size_t kGroup = 16;
  static constexpr std::size_t kTokens = 4;
  static constexpr std::size_t chains(std::size_t) { return 1; }

  /// sums += weights times x, over the columns of one group. Exact: a 16-bit lane holds at most 4
  /// products of 63 * 127, 32004.
  template <std::size_t kBands, std::size_t kTokens>
  MAMBA2_INLINE static void add_products(const std::byte* weights, std::size_t band_bytes,
                                         const std::byte* x, std::size_t x_stride, std::size_t,
                                         Sums (&sums)[1][kBands][kTokens]) {
    prefetch_inputs<kTokens>(x, x_stride);
    __m256i w[kBands][4];
    unroll<kBands>([&](auto b) MAMBA2_INLINE { load_six_bits(weights + b * band_bytes, w[b]); });
    unroll<kTokens, 2>([&](auto t, auto half) MAMBA2_INLINE {
      constexpr std::size_t kFirst = 2 * half;
      const __m256i first = broadcast_codes(x + t * x_stride + 4 * kFirst);
      const __m256i second = broadcast_codes(x + t * x_stride + 4 * kFirst + 4);
      unroll<kBands>([&](auto b) MAMBA2_INLINE {
        const __m256i pairs = _mm256_maddubs_epi16(w[b][kFirst], first);
        sums[0][b][t] = add_pairs(sums[0][b][t], dot_pairs(pairs, w[b][kFirst + 1], second));
      });
    });
  }
};

struct Q6_K : KTiles<Q6KProducts> {
  static constexpr std::string_view name = "avx2";
};

}  // namespace kernels::avx2
}  // namespace MAMBA2_ISA
}  // namespace mamba2
