// SPDX-License-Identifier: Apache-2.0
// Q5_0, Q5_1 and Q5_K products with VPMADDUBSW, which multiplies unsigned by signed bytes: codes of
// Q5_0 are stored + 16.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <string_view>

#include "mamba2/kernels/avx2/vectors.hpp"
#include "mamba2/kernels/unroll.hpp"
#include "mamba2/kernels/x86/group_tiles.hpp"
#include "mamba2/kernels/x86/k_tiles.hpp"

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

struct Q5Products : Vectors {
  static constexpr int kBias = 16;
  static constexpr std::size_t kTokens = 4;
  static constexpr std::size_t chains(std::size_t) { return 1; }

  /// sums += weights times x, over the columns of one group. Exact: a 16-bit lane holds at most 8
  /// products of 31 * 127, 31496.
  template <std::size_t kBands, std::size_t kTokens>
  MAMBA2_INLINE static void add_products(const std::byte* weights, std::size_t band_bytes,
                                         const std::byte* x, std::size_t x_stride, std::size_t,
                                         Sums (&sums)[1][kBands][kTokens]) {
    prefetch_inputs<kTokens>(x, x_stride);
    unroll<2>([&](auto half) MAMBA2_INLINE {
      __m256i pairs[kBands][kTokens];
      unroll<kBands, kTokens>([&](auto b, auto t)
                                  MAMBA2_INLINE { pairs[b][t] = _mm256_setzero_si256(); });
      unroll<4>([&](auto i) MAMBA2_INLINE {
        constexpr std::size_t kIndex = 4 * half + i;
        __m256i w[kBands];
        unroll<kBands>(
            [&](auto b) MAMBA2_INLINE { w[b] = load_five_bits<kIndex>(weights + b * band_bytes); });
        unroll<kTokens>([&](auto t) MAMBA2_INLINE {
          const __m256i v = broadcast_codes(x + t * x_stride + 4 * kIndex);
          unroll<kBands>([&](auto b)
                             MAMBA2_INLINE { pairs[b][t] = dot_pairs(pairs[b][t], w[b], v); });
        });
      });
      unroll<kBands, kTokens>([&](auto b, auto t) MAMBA2_INLINE {
        sums[0][b][t] = add_pairs(sums[0][b][t], pairs[b][t]);
      });
    });
  }
};

struct Q5_0 : GroupTiles<Q5Products> {
  static constexpr std::string_view name = "avx2";
};

struct Q5_1 : GroupTiles<WithMins<Q5Products>> {
  static constexpr std::string_view name = "avx2";
};

struct Q5_K : KTiles<WithMins<Q5Products>> {
  static constexpr std::string_view name = "avx2";
};

}  // namespace kernels::avx2
}  // namespace MAMBA2_ISA
}  // namespace mamba2
