// SPDX-License-Identifier: Apache-2.0
// INT8 products with VPDPBUSD, which multiplies unsigned by signed bytes: weights are stored + 128.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <string_view>

#include "mamba2/kernels/avx512/vectors.hpp"
#include "mamba2/kernels/avx512_vnni/dot.hpp"
#include "mamba2/kernels/unroll.hpp"
#include "mamba2/kernels/x86/int8_tiles.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::avx512_vnni {

struct Int8Products : avx512::Vectors {
  static constexpr int kBias = 128;
  static constexpr std::size_t kTokens = 8;
  /// Of a small tile, to overlap additions. Three tokens with weights from the L2 cache, Sapphire
  /// Rapids: 24 to 26 GB/s with one chain each, 32 to 35 with two.
  static constexpr std::size_t chains(std::size_t sums) {
    return sums <= 2 ? 4 : (sums <= 8 ? 2 : 1);
  }

  /// sums += weights times x, over `columns` columns.
  template <std::size_t kBands, std::size_t kTokens, std::size_t kChains>
  MAMBA2_INLINE static void add_products(const std::byte* weights, std::size_t band_bytes,
                                         const std::byte* x, std::size_t x_stride,
                                         std::size_t columns,
                                         Sums (&sums)[kChains][kBands][kTokens]) {
    const std::byte* const end = x + columns;
    do {
      prefetch_inputs<kTokens>(x, x_stride);
      unroll<kChains>([&](auto c) MAMBA2_INLINE {
        __m512i w[kBands];
        unroll<kBands>(
            [&](auto b) MAMBA2_INLINE { w[b] = avx512::load_weights(weights + b * band_bytes); });
        unroll<kTokens>([&](auto t) MAMBA2_INLINE {
          const __m512i v = avx512::broadcast_codes(x + t * x_stride);
          unroll<kBands>([&](auto b)
                             MAMBA2_INLINE { sums[c][b][t] = dot(sums[c][b][t], w[b], v); });
        });
        weights += 4 * kRows;
        x += 4;
      });
    } while (x != end);
  }
};

struct Int8 : Int8Tiles<Int8Products> {
  static constexpr std::string_view name = "avx512_vnni";
};

}  // namespace kernels::avx512_vnni
}  // namespace MAMBA2_ISA
}  // namespace mamba2
