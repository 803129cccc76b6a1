// SPDX-License-Identifier: Apache-2.0
// Products with weights of 2 bits by VPMADDUBSW, which multiplies unsigned by signed bytes: codes
// are stored + 1.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cstddef>
#include <string_view>

#include "mamba2/kernels/avx2/vectors.hpp"
#include "mamba2/kernels/unroll.hpp"
#include "mamba2/kernels/x86/group_tiles.hpp"
#include "mamba2/kernels/x86/int8_tiles.hpp"

MAMBA2_INTRINSICS_BEGIN

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::avx2 {

struct TernaryProducts : Vectors {
  static constexpr int kBias = 1;
  static constexpr std::size_t kTokens = 4;
  static constexpr std::size_t chains(std::size_t) { return 1; }
  /// Columns whose sums fit into 16 bits: a lane gets half of them, 64 * 3 * 127 = 24384.
  static constexpr std::size_t kShort = 128;

  /// sums += weights times x, over `columns` columns.
  template <std::size_t kBands, std::size_t kTokens>
  MAMBA2_INLINE static void add_products(const std::byte* weights, std::size_t band_bytes,
                                         const std::byte* x, std::size_t x_stride,
                                         std::size_t columns, Sums (&sums)[1][kBands][kTokens]) {
    const std::byte* const end = x + columns;
    do {
      const std::byte* const part =
          x + std::min<std::size_t>(kShort, static_cast<std::size_t>(end - x));
      __m256i pairs[kBands][kTokens];
      unroll<kBands, kTokens>([&](auto b, auto t)
                                  MAMBA2_INLINE { pairs[b][t] = _mm256_setzero_si256(); });
      do {
        prefetch_inputs<kTokens>(x, x_stride);
        __m256i w[kBands];
        unroll<kBands>([&](auto b)
                           MAMBA2_INLINE { w[b] = load_weights(weights + b * band_bytes); });
        unroll<4>([&](auto i) MAMBA2_INLINE {
          __m256i codes[kBands];
          unroll<kBands>([&](auto b) MAMBA2_INLINE {
            codes[b] = i == 0 ? w[b] : _mm256_srli_epi16(w[b], 2 * i);
            codes[b] = _mm256_and_si256(codes[b], _mm256_set1_epi8(3));
          });
          unroll<kTokens>([&](auto t) MAMBA2_INLINE {
            const __m256i v = broadcast_codes(x + t * x_stride + 4 * i);
            unroll<kBands>(
                [&](auto b) MAMBA2_INLINE { pairs[b][t] = dot_pairs(pairs[b][t], codes[b], v); });
          });
        });
        weights += 4 * kRows;
        x += 16;
      } while (x != part);
      unroll<kBands, kTokens>([&](auto b, auto t) MAMBA2_INLINE {
        sums[0][b][t] = add_pairs(sums[0][b][t], pairs[b][t]);
      });
    } while (x != end);
  }
};

struct Ternary : Int8Tiles<TernaryProducts> {
  static constexpr std::string_view name = "avx2";
};

struct Q2_0 : GroupTiles<TernaryProducts> {
  static constexpr std::string_view name = "avx2";
};

}  // namespace kernels::avx2
}  // namespace MAMBA2_ISA
}  // namespace mamba2

MAMBA2_INTRINSICS_END
