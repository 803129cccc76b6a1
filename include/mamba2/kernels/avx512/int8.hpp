// SPDX-License-Identifier: Apache-2.0
// INT8 products with VPMADDUBSW, which multiplies unsigned by signed bytes: |w| times a sign(w).
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cstddef>
#include <string_view>

#include "mamba2/core/views.hpp"
#include "mamba2/kernels/avx512/pairs.hpp"
#include "mamba2/kernels/avx512/vectors.hpp"
#include "mamba2/kernels/int8_layout.hpp"
#include "mamba2/kernels/tiles.hpp"
#include "mamba2/kernels/unroll.hpp"

MAMBA2_INTRINSICS_BEGIN

namespace mamba2::inline MAMBA2_ISA::kernels::avx512 {

struct Int8 {
  static constexpr std::string_view name = "avx512";
  static constexpr std::size_t kRows = 16;
  static constexpr int kBias = 0;

  /// y = x m^T: bands of a matrix m with `rows` rows, x made ready, y (x.tokens, rows).
  static void multiply(const Int8Layout& layout, const std::byte* bands, std::size_t rows,
                       const Inputs& x, MutableRows y) {
    for_tiles<kRows, 2, 8>(bands, layout.band_bytes(kRows), rows, x, y,
                           [&](auto n, auto tokens, const std::byte* band, const Inputs& from,
                               const MutableRows& to) { tile<n, tokens>(layout, band, from, to); });
  }

 private:
  /// kBands bands times kTokens tokens.
  template <std::size_t kBands, std::size_t kTokens>
  static void tile(const Int8Layout& layout, const std::byte* bands, const Inputs& x,
                   const MutableRows& y) {
    const std::size_t bytes = layout.band_bytes(kRows);
    __m512 totals[kBands][kTokens];
    unroll<kBands, kTokens>([&](auto b, auto t)
                                MAMBA2_INLINE { totals[b][t] = _mm512_setzero_ps(); });
    for (std::size_t g = 0; g < layout.groups(); ++g) {
      Int32x16 sums[kBands][kTokens];
      unroll<kBands, kTokens>([&](auto b, auto t) MAMBA2_INLINE { sums[b][t] = Int32x16{}; });
      const std::size_t first = g * layout.group;
      const std::size_t columns = std::min(layout.group, layout.cols - first);
      add_products(bands + first * kRows, bytes, x.data + first, x.stride, columns, sums);
      unroll<kBands, kTokens>([&](auto b, auto t) MAMBA2_INLINE {
        totals[b][t] = _mm512_fmadd_ps(to_float(sums[b][t]), _mm512_set1_ps(layout.scales(x[t])[g]),
                                       totals[b][t]);
      });
    }
    unroll<kBands>([&](auto b) MAMBA2_INLINE {
      const __m512 scales = _mm512_loadu_ps(bands + b * bytes + kRows * layout.cols);
      unroll<kTokens>([&](auto t) MAMBA2_INLINE {
        store(_mm512_mul_ps(totals[b][t], scales), y[t] + b * kRows, y.cols - b * kRows);
      });
    });
  }

  /// sums += weights times x, over `columns` columns. Exact: the sum of two products, at most
  /// 2 * 127 * 127 = 32258, fits into 16 bits; that of three would not.
  template <std::size_t kBands, std::size_t kTokens>
  MAMBA2_INLINE static void add_products(const std::byte* weights, std::size_t band_bytes,
                                         const std::byte* x, std::size_t x_stride,
                                         std::size_t columns, Int32x16 (&sums)[kBands][kTokens]) {
    const std::byte* const end = x + columns;
    do {
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
            sums[b][t] = add_pairs(sums[b][t], _mm512_maddubs_epi16(magnitudes[b], s));
          });
        });
        weights += 4 * kRows;
        x += 4;
      });
    } while (x != end);
  }
};

}  // namespace mamba2::inline MAMBA2_ISA::kernels::avx512

MAMBA2_INTRINSICS_END
