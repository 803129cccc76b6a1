// SPDX-License-Identifier: Apache-2.0
// INT4 products with VPMADDUBSW, which multiplies unsigned by signed bytes: weights are stored + 8.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <string_view>

#include "mamba2/kernels/avx2/vectors.hpp"
#include "mamba2/kernels/unroll.hpp"
#include "mamba2/kernels/x86/group_tiles.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::avx2 {

struct Int4Products : Vectors {
  static constexpr int kBias = 8;
  static constexpr std::size_t kTokens = 4;
  static constexpr std::size_t chains(std::size_t) { return 1; }

  /// sums += weights times x, over `columns` columns. Exact: a 16-bit lane gets 4 columns of every
  /// 8, and what it holds for 32 columns is at most 16 products of 15 * 127, 30480.
  template <std::size_t kBands, std::size_t kTokens>
  MAMBA2_INLINE static void add_products(const std::byte* weights, std::size_t band_bytes,
                                         const std::byte* x, std::size_t x_stride,
                                         std::size_t columns, Sums (&sums)[1][kBands][kTokens]) {
    const std::byte* const end = x + columns;
    do {
      prefetch_inputs<kTokens>(x, x_stride);
      __m256i pairs[kBands][kTokens];
      unroll<kBands, kTokens>([&](auto b, auto t)
                                  MAMBA2_INLINE { pairs[b][t] = _mm256_setzero_si256(); });
      const std::byte* const block_end = x + 32;
      do {
        unroll<kBands>([&](auto b) MAMBA2_INLINE { prefetch(weights + b * band_bytes); });
        unroll<2>([&](auto) MAMBA2_INLINE {
          __m256i low[kBands];
          __m256i high[kBands];
          unroll<kBands>([&](auto b) MAMBA2_INLINE {
            const __m256i w = load_weights(weights + b * band_bytes);
            low[b] = low_nibbles(w);
            high[b] = high_nibbles(w);
          });
          unroll<kTokens>([&](auto t) MAMBA2_INLINE {
            const __m256i first = broadcast_codes(x + t * x_stride);
            const __m256i second = broadcast_codes(x + t * x_stride + 4);
            unroll<kBands>([&](auto b) MAMBA2_INLINE {
              pairs[b][t] = dot_pairs(pairs[b][t], low[b], first);
              pairs[b][t] = dot_pairs(pairs[b][t], high[b], second);
            });
          });
          weights += 4 * kRows;
          x += 8;
        });
      } while (x != block_end);
      unroll<kBands, kTokens>([&](auto b, auto t) MAMBA2_INLINE {
        sums[0][b][t] = add_pairs(sums[0][b][t], pairs[b][t]);
      });
    } while (x != end);
  }
};

struct Int4 : GroupTiles<Int4Products> {
  static constexpr std::string_view name = "avx2";
};

}  // namespace kernels::avx2
}  // namespace MAMBA2_ISA
}  // namespace mamba2
