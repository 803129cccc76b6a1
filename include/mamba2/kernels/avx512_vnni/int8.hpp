// SPDX-License-Identifier: Apache-2.0
// INT8 products with VPDPBUSD, which multiplies unsigned by signed bytes: weights are stored + 128.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mamba2/core/views.hpp"
#include "mamba2/kernels/avx512/vectors.hpp"
#include "mamba2/kernels/avx512_vnni/dot.hpp"
#include "mamba2/kernels/int8_layout.hpp"
#include "mamba2/kernels/tiles.hpp"
#include "mamba2/kernels/unroll.hpp"

namespace mamba2::inline MAMBA2_ISA::kernels::avx512_vnni {

struct Int8 {
  static constexpr std::string_view name = "avx512_vnni";
  static constexpr std::size_t kRows = 16;
  static constexpr int kBias = 128;

  /// y = x m^T: bands of a matrix m with `rows` rows, x made ready, y (x.tokens, rows).
  static void multiply(const Int8Layout& layout, const std::byte* bands, std::size_t rows,
                       const Inputs& x, MutableRows y) {
    for_tiles<kRows, 2, 8>(bands, layout.band_bytes(kRows), rows, x, y,
                           [&](auto n, auto tokens, const std::byte* band, const Inputs& from,
                               const MutableRows& to) { tile<n, tokens>(layout, band, from, to); });
  }

 private:
  using Int32x16 = avx512::Int32x16;

  /// kBands bands times kTokens tokens.
  template <std::size_t kBands, std::size_t kTokens>
  static void tile(const Int8Layout& layout, const std::byte* bands, const Inputs& x,
                   const MutableRows& y) {
    // The sums of a small tile are split into chains of additions that overlap.
    constexpr std::size_t kChains = std::max<std::size_t>(1, 8 / (kBands * kTokens) / 2);
    const std::size_t bytes = layout.band_bytes(kRows);
    __m512 totals[kBands][kTokens];
    unroll<kBands, kTokens>([&](auto b, auto t)
                                MAMBA2_INLINE { totals[b][t] = _mm512_setzero_ps(); });
    for (std::size_t g = 0; g < layout.groups(); ++g) {
      Int32x16 sums[kChains][kBands][kTokens];
      unroll<kBands, kTokens>([&](auto b, auto t) MAMBA2_INLINE {
        sums[0][b][t] = avx512::all(-kBias * layout.sums(x[t])[g]);
        unroll<kChains - 1>([&](auto c) MAMBA2_INLINE { sums[c + 1][b][t] = Int32x16{}; });
      });
      const std::size_t first = g * layout.group;
      const std::size_t columns = std::min(layout.group, layout.cols - first);
      add_products(bands + first * kRows, bytes, x.data + first, x.stride, columns, sums);
      unroll<kBands, kTokens>([&](auto b, auto t) MAMBA2_INLINE {
        unroll<kChains - 1>([&](auto c) MAMBA2_INLINE { sums[0][b][t] += sums[c + 1][b][t]; });
        totals[b][t] = _mm512_fmadd_ps(avx512::to_float(sums[0][b][t]),
                                       _mm512_set1_ps(layout.scales(x[t])[g]), totals[b][t]);
      });
    }
    unroll<kBands>([&](auto b) MAMBA2_INLINE {
      const __m512 scales = _mm512_loadu_ps(bands + b * bytes + kRows * layout.cols);
      unroll<kTokens>([&](auto t) MAMBA2_INLINE {
        avx512::store(_mm512_mul_ps(totals[b][t], scales), y[t] + b * kRows, y.cols - b * kRows);
      });
    });
  }

  /// sums += weights times x, over `columns` columns.
  template <std::size_t kBands, std::size_t kTokens, std::size_t kChains>
  MAMBA2_INLINE static void add_products(const std::byte* weights, std::size_t band_bytes,
                                         const std::byte* x, std::size_t x_stride,
                                         std::size_t columns,
                                         Int32x16 (&sums)[kChains][kBands][kTokens]) {
    const std::byte* const end = x + columns;
    do {
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

}  // namespace mamba2::inline MAMBA2_ISA::kernels::avx512_vnni
