// SPDX-License-Identifier: Apache-2.0
// INT4 products with VPDPBUSD, which multiplies unsigned by signed bytes: weights are stored + 8.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <string_view>

#include "mamba2/kernels/avx512/vectors.hpp"
#include "mamba2/kernels/avx512_vnni/dot.hpp"
#include "mamba2/kernels/unroll.hpp"
#include "mamba2/kernels/x86/group_tiles.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::avx512_vnni {

struct Int4Products : avx512::Vectors {
  static constexpr int kBias = 8;
  static constexpr std::size_t kTokens = 8;
  /// Of a small tile, to overlap additions.
  static constexpr std::size_t chains(std::size_t sums) { return sums < 8 ? 2 : 1; }

  /// sums += weights times x, over `columns` columns.
  template <std::size_t kBands, std::size_t kTokens, std::size_t kChains>
  MAMBA2_INLINE static void add_products(const std::byte* weights, std::size_t band_bytes,
                                         const std::byte* x, std::size_t x_stride,
                                         std::size_t columns,
                                         Sums (&sums)[kChains][kBands][kTokens]) {
    const std::byte* const end = x + columns;
    do {
      prefetch_inputs<kTokens>(x, x_stride);
      __m512i low[kBands];
      __m512i high[kBands];
      unroll<kBands>([&](auto b) MAMBA2_INLINE {
        const __m512i w = avx512::load_weights(weights + b * band_bytes);
        low[b] = avx512::low_nibbles(w);
        high[b] = avx512::high_nibbles(w);
      });
      unroll<kTokens>([&](auto t) MAMBA2_INLINE {
        const __m512i first = avx512::broadcast_codes(x + t * x_stride);
        const __m512i second = avx512::broadcast_codes(x + t * x_stride + 4);
        unroll<kBands>([&](auto b) MAMBA2_INLINE {
          sums[0][b][t] = dot(sums[0][b][t], low[b], first);
          sums[kChains - 1][b][t] = dot(sums[kChains - 1][b][t], high[b], second);
        });
      });
      weights += 4 * kRows;
      x += 8;
    } while (x != end);
  }
};

struct Int4 : GroupTiles<Int4Products> {
  static constexpr std::string_view name = "avx512_vnni";
};

}  // namespace kernels::avx512_vnni
}  // namespace MAMBA2_ISA
}  // namespace mamba2
