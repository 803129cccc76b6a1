// SPDX-License-Identifier: Apache-2.0
// INT4 products with VPDPBUSD, which multiplies unsigned by signed bytes: weights are stored + 8.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mamba2/core/views.hpp"
#include "mamba2/kernels/avx512/vectors.hpp"
#include "mamba2/kernels/avx512_vnni/dot.hpp"
#include "mamba2/kernels/int4_layout.hpp"
#include "mamba2/kernels/tiles.hpp"
#include "mamba2/kernels/unroll.hpp"

namespace mamba2::inline MAMBA2_ISA::kernels::avx512_vnni {

struct Int4 {
  static constexpr std::string_view name = "avx512_vnni";
  static constexpr std::size_t kRows = 16;
  static constexpr int kBias = 8;

  /// y = x m^T: bands of a matrix m with `rows` rows, x made ready, y (x.tokens, rows).
  static void multiply(const Int4Layout& layout, const std::byte* bands, std::size_t rows,
                       const Inputs& x, MutableRows y) {
    for_tiles<kRows, 2, 8>(
        bands, layout.band_bytes(kRows), rows, x, y,
        [&](auto n, auto tokens, const std::byte* band, const Inputs& from, const MutableRows& to) {
          // A chunk has its scales at the end. Where memory is the limit it must be read in one go:
          // the prefetchers of CPUs do not follow back and forth. A larger tile has no registers
          // for the sums of two groups.
          const bool grouped = layout.input_groups() > 1;
          if constexpr (n * tokens <= 4) {
            if (layout.chunk() == 2 * layout.group) {
              return grouped ? tile<n, tokens, 2, true>(layout, band, from, to)
                             : tile<n, tokens, 2, false>(layout, band, from, to);
            }
          }
          grouped ? tile<n, tokens, 1, true>(layout, band, from, to)
                  : tile<n, tokens, 1, false>(layout, band, from, to);
        });
  }

 private:
  using Int32x16 = avx512::Int32x16;

  /// kBands bands times kTokens tokens, kGroups groups at a time; kGrouped: the inputs have a scale
  /// for every group, too, and not one for all of them, which can wait until the end.
  template <std::size_t kBands, std::size_t kTokens, std::size_t kGroups, bool kGrouped>
  static void tile(const Int4Layout& layout, const std::byte* bands, const Inputs& x,
                   const MutableRows& y) {
    // Of a small tile, the low and the high half bytes have sums of their own: additions overlap.
    constexpr std::size_t kChains = kBands * kTokens < 8 ? 2 : 1;
    constexpr std::size_t kScaleBytes = kRows * sizeof(std::uint16_t);
    const std::size_t bytes = layout.band_bytes(kRows);
    const std::size_t group_bytes = kRows * layout.group / 2;
    __m512 totals[kBands][kTokens];
    unroll<kBands, kTokens>([&](auto b, auto t)
                                MAMBA2_INLINE { totals[b][t] = _mm512_setzero_ps(); });
    const std::byte* weights = bands;
    for (std::size_t g = 0; g < layout.groups();) {
      const std::byte* scales = weights + kRows * layout.chunk() / 2;
      const std::size_t chunk_end = g + layout.chunk() / layout.group;
      for (; g < chunk_end; g += kGroups) {
        Int32x16 sums[kGroups][kChains][kBands][kTokens];
        unroll<kGroups>([&](auto i) MAMBA2_INLINE {
          unroll<kBands, kTokens>([&](auto b, auto t) MAMBA2_INLINE {
            sums[i][0][b][t] = avx512::all(-kBias * layout.sums(x[t])[g + i]);
            unroll<kChains - 1>([&](auto c) MAMBA2_INLINE { sums[i][c + 1][b][t] = Int32x16{}; });
          });
          add_products(weights, bytes, x.data + (g + i) * layout.group, x.stride, layout.group,
                       sums[i]);
          weights += group_bytes;
        });
        unroll<kGroups>([&](auto i) MAMBA2_INLINE {
          __m512 scale[kBands];
          unroll<kBands>([&](auto b)
                             MAMBA2_INLINE { scale[b] = avx512::load_scales(scales + b * bytes); });
          unroll<kBands, kTokens>([&](auto b, auto t) MAMBA2_INLINE {
            unroll<kChains - 1>([&](auto c)
                                    MAMBA2_INLINE { sums[i][0][b][t] += sums[i][c + 1][b][t]; });
            __m512 factor = scale[b];
            if constexpr (kGrouped) {
              factor = _mm512_mul_ps(factor, _mm512_set1_ps(layout.scales(x[t])[g + i]));
            }
            totals[b][t] =
                _mm512_fmadd_ps(avx512::to_float(sums[i][0][b][t]), factor, totals[b][t]);
          });
          scales += kScaleBytes;
        });
      }
      weights = scales;
    }
    unroll<kBands, kTokens>([&](auto b, auto t) MAMBA2_INLINE {
      if constexpr (!kGrouped) {
        totals[b][t] = _mm512_mul_ps(totals[b][t], _mm512_set1_ps(*layout.scales(x[t])));
      }
      avx512::store(totals[b][t], y[t] + b * kRows, y.cols - b * kRows);
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

}  // namespace mamba2::inline MAMBA2_ISA::kernels::avx512_vnni
