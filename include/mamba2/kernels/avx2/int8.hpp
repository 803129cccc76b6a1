// SPDX-License-Identifier: Apache-2.0
// INT8 products with VPMADDUBSW, which multiplies unsigned by signed bytes: |w| times a sign(w).
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <string_view>

#include "mamba2/kernels/avx2/vectors.hpp"
#include "mamba2/kernels/unroll.hpp"
#include "mamba2/kernels/x86/int8_tiles.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::avx2 {

struct Int8Products : Vectors {
  static constexpr int kBias = 0;
  static constexpr std::size_t kTokens = 4;
  static constexpr std::size_t chains(std::size_t) { return 1; }

  /// sums += weights times x, over `columns` columns. Exact: the sum of two products, at most
  /// 2 * 127 * 127 = 32258, fits into 16 bits; that of three would not.
  template <std::size_t kBands, std::size_t kTokens>
  MAMBA2_INLINE static void add_products(const std::byte* weights, std::size_t band_bytes,
                                         const std::byte* x, std::size_t x_stride,
                                         std::size_t columns, Sums (&sums)[1][kBands][kTokens]) {
    const std::byte* const end = x + columns;
    do {
      prefetch_inputs<kTokens>(x, x_stride);
      unroll<kBands>([&](auto b) MAMBA2_INLINE { prefetch(weights + b * band_bytes); });
      unroll<2>([&](auto) MAMBA2_INLINE {
        __m256i w[kBands];
        __m256i magnitudes[kBands];
        unroll<kBands>([&](auto b) MAMBA2_INLINE {
          w[b] = load_weights(weights + b * band_bytes);
          magnitudes[b] = _mm256_abs_epi8(w[b]);
        });
        unroll<kTokens>([&](auto t) MAMBA2_INLINE {
          const __m256i v = broadcast_codes(x + t * x_stride);
          unroll<kBands>([&](auto b) MAMBA2_INLINE {
            const __m256i pairs = _mm256_maddubs_epi16(magnitudes[b], _mm256_sign_epi8(v, w[b]));
            sums[0][b][t] = add_pairs(sums[0][b][t], pairs);
          });
        });
        weights += 4 * kRows;
        x += 4;
      });
    } while (x != end);
  }
};

struct Int8 : Int8Tiles<Int8Products> {
  static constexpr std::string_view name = "avx2";
};

}  // namespace kernels::avx2
}  // namespace MAMBA2_ISA
}  // namespace mamba2
