// SPDX-License-Identifier: Apache-2.0
// INT8 products with VPMADDUBSW, which multiplies unsigned by signed bytes: |w| times a sign(w).
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <string_view>

#include "mamba2/kernels/avx512/pairs.hpp"
#include "mamba2/kernels/avx512/vectors.hpp"
#include "mamba2/kernels/unroll.hpp"
#include "mamba2/kernels/x86/int8_tiles.hpp"

MAMBA2_INTRINSICS_BEGIN

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::avx512 {

struct Int8Products : Vectors {
  static constexpr int kBias = 0;
  static constexpr std::size_t kTokens = 8;
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
      unroll<2>([&](auto) MAMBA2_INLINE {
        __m512i magnitudes[kBands];
        __mmask64 negative[kBands];
        unroll<kBands>([&](auto b) MAMBA2_INLINE {
          const __m512i w = load_weights(weights + b * band_bytes);
          magnitudes[b] = _mm512_abs_epi8(w);
          negative[b] = _mm512_movepi8_mask(w);
        });
        unroll<kTokens>([&](auto t) MAMBA2_INLINE {
          const __m512i v = broadcast_codes(x + t * x_stride);
          unroll<kBands>([&](auto b) MAMBA2_INLINE {
            const __m512i s = _mm512_mask_sub_epi8(v, negative[b], _mm512_setzero_si512(), v);
            sums[0][b][t] = add_pairs(sums[0][b][t], _mm512_maddubs_epi16(magnitudes[b], s));
          });
        });
        weights += 4 * kRows;
        x += 4;
      });
    } while (x != end);
  }
};

struct Int8 : Int8Tiles<Int8Products> {
  static constexpr std::string_view name = "avx512";
};

}  // namespace kernels::avx512
}  // namespace MAMBA2_ISA
}  // namespace mamba2

MAMBA2_INTRINSICS_END
