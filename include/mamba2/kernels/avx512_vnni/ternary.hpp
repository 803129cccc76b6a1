// SPDX-License-Identifier: Apache-2.0
// Products with weights of 2 bits by VPDPBUSD, which multiplies unsigned by signed bytes: codes are
// stored + 1.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <string_view>

#include "mamba2/kernels/avx512/two_bits.hpp"
#include "mamba2/kernels/avx512/vectors.hpp"
#include "mamba2/kernels/avx512_vnni/dot.hpp"
#include "mamba2/kernels/unroll.hpp"
#include "mamba2/kernels/x86/group_tiles.hpp"
#include "mamba2/kernels/x86/int8_tiles.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::avx512_vnni {

struct TernaryProducts : avx512::Vectors {
  static constexpr int kBias = 1;
  static constexpr std::size_t kTokens = 8;
  /// One for each of the four codes of a byte in a small tile.
  static constexpr std::size_t chains(std::size_t sums) { return sums <= 4 ? 4 : 1; }

  /// sums += weights times x, over `columns` columns. A small tile does not move codes to the low
  /// bits of their bytes: that a code counts 4, 16 or 64 times is taken off its sum at the end,
  /// which is exact. A large tile has no registers for four sums each, and moves them once for all
  /// of its tokens.
  template <std::size_t kBands, std::size_t kTokens, std::size_t kChains>
  MAMBA2_INLINE static void add_products(const std::byte* weights, std::size_t band_bytes,
                                         const std::byte* x, std::size_t x_stride,
                                         std::size_t columns,
                                         Sums (&sums)[kChains][kBands][kTokens]) {
    const std::byte* const end = x + columns;
    do {
      prefetch_inputs<kTokens>(x, x_stride);
      __m512i w[kBands][4];
      unroll<kBands>([&](auto b) MAMBA2_INLINE {
        const __m512i bytes = avx512::load_weights(weights + b * band_bytes);
        if constexpr (kChains == 4) {
          avx512::mask_two_bits(bytes, w[b]);
        } else {
          avx512::unpack_two_bits(bytes, w[b]);
        }
      });
      unroll<4, kTokens>([&](auto i, auto t) MAMBA2_INLINE {
        const __m512i v = avx512::broadcast_codes(x + t * x_stride + 4 * i);
        unroll<kBands>([&](auto b) MAMBA2_INLINE {
          Sums& sum = sums[i % kChains][b][t];
          sum = dot(sum, w[b][i], v);
        });
      });
      weights += 4 * kRows;
      x += 16;
    } while (x != end);
    if constexpr (kChains == 4) {
      unroll<kBands, kTokens>([&](auto b, auto t) MAMBA2_INLINE {
        sums[1][b][t] >>= 2;
        sums[2][b][t] >>= 4;
        sums[3][b][t] >>= 6;
      });
    }
  }
};

struct Ternary : Int8Tiles<TernaryProducts> {
  static constexpr std::string_view name = "avx512_vnni";
};

struct Q2_0 : GroupTiles<TernaryProducts> {
  static constexpr std::string_view name = "avx512_vnni";
};

}  // namespace kernels::avx512_vnni
}  // namespace MAMBA2_ISA
}  // namespace mamba2
