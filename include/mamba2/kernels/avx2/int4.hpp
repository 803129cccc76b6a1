// SPDX-License-Identifier: Apache-2.0
// INT4 products with VPMADDUBSW, which multiplies unsigned by signed bytes: weights are stored + 8.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mamba2/core/views.hpp"
#include "mamba2/kernels/avx2/vectors.hpp"
#include "mamba2/kernels/int4_layout.hpp"
#include "mamba2/kernels/tiles.hpp"
#include "mamba2/kernels/unroll.hpp"

namespace mamba2::inline MAMBA2_ISA::kernels::avx2 {

struct Int4 {
  static constexpr std::string_view name = "avx2";
  static constexpr std::size_t kRows = 8;
  static constexpr int kBias = 8;

  /// y = x m^T: bands of a matrix m with `rows` rows, x made ready, y (x.tokens, rows).
  static void multiply(const Int4Layout& layout, const std::byte* bands, std::size_t rows,
                       const Inputs& x, MutableRows y) {
    for_tiles<kRows, 2, 4>(
        bands, layout.band_bytes(kRows), rows, x, y,
        [&](auto n, auto tokens, const std::byte* band, const Inputs& from, const MutableRows& to) {
          // A chunk has its scales at the end. Where memory is the limit it must
          // be read in one go: the prefetchers of CPUs do not follow back and
          // forth. A larger tile has no registers for the sums of two groups.
          if constexpr (n * tokens <= 4) {
            if (layout.chunk() == 2 * layout.group) {
              return tile<n, tokens, 2>(layout, band, from, to);
            }
          }
          tile<n, tokens, 1>(layout, band, from, to);
        });
  }

 private:
  /// kBands bands times kTokens tokens, kGroups groups at a time.
  template <std::size_t kBands, std::size_t kTokens, std::size_t kGroups>
  static void tile(const Int4Layout& layout, const std::byte* bands, const Inputs& x,
                   const MutableRows& y) {
    constexpr std::size_t kScaleBytes = kRows * sizeof(std::uint16_t);
    const std::size_t bytes = layout.band_bytes(kRows);
    const std::size_t group_bytes = kRows * layout.group / 2;
    const bool grouped = layout.input_groups() > 1;
    __m256 totals[kBands][kTokens];
    unroll<kBands, kTokens>([&](auto b, auto t)
                                MAMBA2_INLINE { totals[b][t] = _mm256_setzero_ps(); });
    const std::byte* weights = bands;
    for (std::size_t g = 0; g < layout.groups();) {
      const std::byte* scales = weights + kRows * layout.chunk() / 2;
      const std::size_t chunk_end = g + layout.chunk() / layout.group;
      for (; g < chunk_end; g += kGroups) {
        __m256i sums[kGroups][kBands][kTokens];
        unroll<kGroups>([&](auto i) MAMBA2_INLINE {
          unroll<kBands, kTokens>([&](auto b, auto t) MAMBA2_INLINE {
            sums[i][b][t] = _mm256_set1_epi32(-kBias * layout.sums(x[t])[g + i]);
          });
          add_products(weights, bytes, x.data + (g + i) * layout.group, x.stride, layout.group,
                       sums[i]);
          weights += group_bytes;
        });
        unroll<kGroups>([&](auto i) MAMBA2_INLINE {
          __m256 scale[kBands];
          unroll<kBands>([&](auto b) MAMBA2_INLINE { scale[b] = load_scales(scales + b * bytes); });
          unroll<kBands, kTokens>([&](auto b, auto t) MAMBA2_INLINE {
            const float input_scale = layout.scales(x[t])[grouped ? g + i : 0];
            totals[b][t] =
                _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[i][b][t]),
                                _mm256_mul_ps(scale[b], _mm256_set1_ps(input_scale)), totals[b][t]);
          });
          scales += kScaleBytes;
        });
      }
      weights = scales;
    }
    unroll<kBands, kTokens>([&](auto b, auto t) MAMBA2_INLINE {
      store(totals[b][t], y[t] + b * kRows, y.cols - b * kRows);
    });
  }

  /// sums += weights times x, over `columns` columns. Exact: a 16-bit lane gets 4 columns of every
  /// 8, and what it holds for 32 columns is at most 16 products of 15 * 127, 30480.
  template <std::size_t kBands, std::size_t kTokens>
  MAMBA2_INLINE static void add_products(const std::byte* weights, std::size_t band_bytes,
                                         const std::byte* x, std::size_t x_stride,
                                         std::size_t columns, __m256i (&sums)[kBands][kTokens]) {
    const std::byte* const end = x + columns;
    do {
      __m256i pairs[kBands][kTokens];
      unroll<kBands, kTokens>([&](auto b, auto t)
                                  MAMBA2_INLINE { pairs[b][t] = _mm256_setzero_si256(); });
      const std::byte* const block_end = x + 32;
      do {
        unroll<kBands>([&](auto b) MAMBA2_INLINE { prefetch(weights + b * band_bytes); });
        unroll<2>([&](auto) MAMBA2_INLINE {
          __m256i low[kBands];
          __m256i high[kBands];
          unroll<kBands>([&](auto b) MAMBA2_INLINE {
            const __m256i w = load_weights(weights + b * band_bytes);
            low[b] = low_nibbles(w);
            high[b] = high_nibbles(w);
          });
          unroll<kTokens>([&](auto t) MAMBA2_INLINE {
            const __m256i first = broadcast_codes(x + t * x_stride);
            const __m256i second = broadcast_codes(x + t * x_stride + 4);
            unroll<kBands>([&](auto b) MAMBA2_INLINE {
              pairs[b][t] = dot_pairs(pairs[b][t], low[b], first);
              pairs[b][t] = dot_pairs(pairs[b][t], high[b], second);
            });
          });
          weights += 4 * kRows;
          x += 8;
        });
      } while (x != block_end);
      unroll<kBands, kTokens>(
          [&](auto b, auto t) MAMBA2_INLINE { sums[b][t] = add_pairs(sums[b][t], pairs[b][t]); });
    } while (x != end);
  }
};

}  // namespace mamba2::inline MAMBA2_ISA::kernels::avx2
