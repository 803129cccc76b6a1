// SPDX-License-Identifier: Apache-2.0
// INT8 products with VPMADDUBSW, which multiplies unsigned by signed bytes: |w| times a sign(w).
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cstddef>
#include <string_view>

#include "mamba2/core/views.hpp"
#include "mamba2/kernels/avx2/vectors.hpp"
#include "mamba2/kernels/int8_layout.hpp"
#include "mamba2/kernels/tiles.hpp"
#include "mamba2/kernels/unroll.hpp"

namespace mamba2::inline MAMBA2_ISA::kernels::avx2 {

struct Int8 {
  static constexpr std::string_view name = "avx2";
  static constexpr std::size_t kRows = 8;
  static constexpr int kBias = 0;

  /// y = x m^T: bands of a matrix m with `rows` rows, x made ready, y (x.tokens, rows).
  static void multiply(const Int8Layout& layout, const std::byte* bands, std::size_t rows,
                       const Inputs& x, MutableRows y) {
    for_tiles<kRows, 2, 4>(bands, layout.band_bytes(kRows), rows, x, y,
                           [&](auto n, auto tokens, const std::byte* band, const Inputs& from,
                               const MutableRows& to) { tile<n, tokens>(layout, band, from, to); });
  }

 private:
  /// kBands bands times kTokens tokens.
  template <std::size_t kBands, std::size_t kTokens>
  static void tile(const Int8Layout& layout, const std::byte* bands, const Inputs& x,
                   const MutableRows& y) {
    const std::size_t bytes = layout.band_bytes(kRows);
    __m256 totals[kBands][kTokens];
    unroll<kBands, kTokens>([&](auto b, auto t)
                                MAMBA2_INLINE { totals[b][t] = _mm256_setzero_ps(); });
    for (std::size_t g = 0; g < layout.groups(); ++g) {
      __m256i sums[kBands][kTokens];
      unroll<kBands, kTokens>([&](auto b, auto t)
                                  MAMBA2_INLINE { sums[b][t] = _mm256_setzero_si256(); });
      const std::size_t first = g * layout.group;
      const std::size_t columns = std::min(layout.group, layout.cols - first);
      add_products(bands + first * kRows, bytes, x.data + first, x.stride, columns, sums);
      unroll<kBands, kTokens>([&](auto b, auto t) MAMBA2_INLINE {
        totals[b][t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[b][t]),
                                       _mm256_set1_ps(layout.scales(x[t])[g]), totals[b][t]);
      });
    }
    unroll<kBands>([&](auto b) MAMBA2_INLINE {
      const auto* scales = reinterpret_cast<const float*>(bands + b * bytes + kRows * layout.cols);
      const __m256 scale = _mm256_loadu_ps(scales);
      unroll<kTokens>([&](auto t) MAMBA2_INLINE {
        store(_mm256_mul_ps(totals[b][t], scale), y[t] + b * kRows, y.cols - b * kRows);
      });
    });
  }

  /// sums += weights times x, over `columns` columns. Exact: the sum of two products, at most
  /// 2 * 127 * 127 = 32258, fits into 16 bits; that of three would not.
  template <std::size_t kBands, std::size_t kTokens>
  MAMBA2_INLINE static void add_products(const std::byte* weights, std::size_t band_bytes,
                                         const std::byte* x, std::size_t x_stride,
                                         std::size_t columns, __m256i (&sums)[kBands][kTokens]) {
    const std::byte* const end = x + columns;
    do {
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
            sums[b][t] = add_pairs(sums[b][t], pairs);
          });
        });
        weights += 4 * kRows;
        x += 4;
      });
    } while (x != end);
  }
};

}  // namespace mamba2::inline MAMBA2_ISA::kernels::avx2
