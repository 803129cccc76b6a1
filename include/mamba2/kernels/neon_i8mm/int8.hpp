// SPDX-License-Identifier: Apache-2.0
// INT8 products with SMMLA, for many tokens; few go by SDOT.
#pragma once

#include <arm_neon.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mamba2/core/views.hpp"
#include "mamba2/kernels/int8_layout.hpp"
#include "mamba2/kernels/neon/tile.hpp"
#include "mamba2/kernels/neon_dotprod/int8.hpp"
#include "mamba2/kernels/neon_i8mm/matrices.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::neon_i8mm {

struct Int8 {
  static constexpr std::string_view name = "neon_i8mm";
  static constexpr std::size_t kRows = 4;
  static constexpr int kBias = 0;

  /// y = x m^T: bands of a matrix m with `rows` rows, x made ready, y (x.tokens, rows).
  static void multiply(const Int8Layout& layout, const std::byte* bands, std::size_t rows,
                       const Inputs& x, MutableRows y) {
    neon::for_tiles<Int8, 2, 8>(layout, bands, rows, x, y);
  }

  /// kBands bands times kTokens tokens, x_stride bytes apart, all sums in registers; y has as many
  /// columns as the bands have rows that are not filling.
  template <std::size_t kBands, std::size_t kTokens>
  static void tile(const Int8Layout& layout, const std::byte* bands, const std::byte* x,
                   std::size_t x_stride, const MutableRows& y) {
    if constexpr (kTokens < kManyTokens) {
      neon_dotprod::Int8::tile<kBands, kTokens>(layout, bands, x, x_stride, y);
    } else {
      many<kBands, kTokens>(layout, bands, x, x_stride, y);
    }
  }

 private:
  template <std::size_t kBands, std::size_t kTokens>
  static void many(const Int8Layout& layout, const std::byte* bands, const std::byte* x,
                   std::size_t x_stride, const MutableRows& y) {
    static_assert(kTokens % 2 == 0);
    const std::size_t bytes = layout.band_bytes(kRows);
    const std::size_t groups = layout.groups();
    float32x4_t totals[kBands][kTokens] = {};
    for (std::size_t g = 0; g < groups; ++g) {
      int32x4_t sums[kBands][kTokens] = {};  // of pairs of tokens, see MatrixProducts
      const std::size_t end = std::min(layout.cols, (g + 1) * layout.group);
      for (std::size_t k = g * layout.group; k < end; k += 16) {
        add_columns<kBands, kTokens>(bands + k * kRows, bytes, x + k, x_stride, sums);
      }
#pragma GCC unroll 8
      for (std::size_t t = 0; t < kTokens; ++t) {
        const float scale = layout.scales(x + t * x_stride)[g];
#pragma GCC unroll 2
        for (std::size_t b = 0; b < kBands; ++b) {
          const int32x4_t sum = of_token(t % 2, sums[b][t / 2 * 2], sums[b][t / 2 * 2 + 1]);
          totals[b][t] = vfmaq_n_f32(totals[b][t], vcvtq_f32_s32(sum), scale);
        }
      }
    }
#pragma GCC unroll 2
    for (std::size_t b = 0; b < kBands; ++b) {
      const float32x4_t scales =
          vld1q_f32(reinterpret_cast<const float*>(bands + b * bytes + kRows * layout.cols));
#pragma GCC unroll 8
      for (std::size_t t = 0; t < kTokens; ++t) {
        neon::store(vmulq_f32(totals[b][t], scales), y[t] + b * kRows, y.cols - b * kRows);
      }
    }
  }

  /// sums += 16 columns of bands, `bytes` apart, times the codes of tokens, x_stride apart.
  template <std::size_t kBands, std::size_t kTokens>
  MAMBA2_INLINE static void add_columns(const std::byte* bands, std::size_t bytes,
                                        const std::byte* x, std::size_t x_stride,
                                        int32x4_t (&sums)[kBands][kTokens]) {
    int8x16_t w[kBands][4];
    unroll<kBands>([&](auto b) MAMBA2_INLINE {
      neon::prefetch(bands + b * bytes);
      const auto* codes = reinterpret_cast<const std::int8_t*>(bands + b * bytes);
      unroll<4>([&](auto j) MAMBA2_INLINE { w[b][j] = vld1q_s8(codes + 16 * j); });
    });
    const auto* codes = reinterpret_cast<const std::int8_t*>(x);
    unroll<kTokens / 2>([&](auto pair) MAMBA2_INLINE {
      constexpr std::size_t t = 2 * pair;
      const Tokens2 v(codes + t * x_stride, codes + (t + 1) * x_stride);
      unroll<kBands>([&](auto b)
                         MAMBA2_INLINE { add(Rows4(w[b]), v, sums[b][t], sums[b][t + 1]); });
    });
    neon::pin(sums);
  }
};

}  // namespace kernels::neon_i8mm
}  // namespace MAMBA2_ISA
}  // namespace mamba2
