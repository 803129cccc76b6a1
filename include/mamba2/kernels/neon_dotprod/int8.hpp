// SPDX-License-Identifier: Apache-2.0
// INT8 products with SDOT by element: 4 rows x 4 columns of weights times 4 codes of a token.
#pragma once

#include <arm_neon.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mamba2/core/views.hpp"
#include "mamba2/kernels/int8_layout.hpp"
#include "mamba2/kernels/neon/tile.hpp"
#include "mamba2/kernels/token_tiles.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::neon_dotprod {

struct Int8 {
  static constexpr std::string_view name = "neon_dotprod";
  static constexpr std::size_t kRows = 4;
  static constexpr int kBias = 0;

  /// y = x m^T: bands of a matrix m with `rows` rows, x made ready, y (x.tokens, rows).
  static void multiply(const Int8Layout& layout, const std::byte* bands, std::size_t rows,
                       const Inputs& x, MutableRows y) {
    neon::for_tiles<Int8, 2, 8>(layout, bands, rows, x, y);
  }

  /// kBands bands times kTokens tokens, x_stride bytes apart, all sums in registers; y has as many
  /// columns as the bands have rows that are not filling.
  /// An SDOT adds to a sum 2 or 3 cycles after the one before, and two of them start in a cycle:
  /// it takes 4 to 6 sums to keep them going, so few tokens have theirs split into kChains.
  template <std::size_t kBands, std::size_t kTokens>
  static void tile(const Int8Layout& layout, const std::byte* bands, const std::byte* x,
                   std::size_t x_stride, const MutableRows& y) {
    constexpr std::size_t kChains = kTokens < 3 ? 4 : kTokens < 5 && kBands == 1 ? 2 : 1;
    const std::size_t bytes = layout.band_bytes(kRows);
    const std::size_t groups = layout.groups();
    float32x4_t totals[kBands][kTokens] = {};
    for (std::size_t g = 0; g < groups; ++g) {
      int32x4_t sums[kBands][kTokens][kChains] = {};
      const std::size_t end = std::min(layout.cols, (g + 1) * layout.group);
      for (std::size_t k = g * layout.group; k < end; k += 16) {
        int8x16_t w[kBands][4];
#pragma GCC unroll 2
        for (std::size_t b = 0; b < kBands; ++b) load(bands + b * bytes + k * kRows, w[b]);
#pragma GCC unroll 8
        for (std::size_t t = 0; t < kTokens; ++t) {
          const int8x16_t v = vld1q_s8(Int8Layout::codes(x + t * x_stride) + k);
#pragma GCC unroll 2
          for (std::size_t b = 0; b < kBands; ++b) dot<kChains>(w[b], v, sums[b][t]);
          // Codes of all tokens at a time would leave too few registers.
          if constexpr (kBands * kTokens == 16) {
            if (t == 3) pin_first<4>(sums, k);
          }
        }
        neon::pin(sums);
      }
#pragma GCC unroll 8
      for (std::size_t t = 0; t < kTokens; ++t) {
        const float scale = layout.scales(x + t * x_stride)[g];
#pragma GCC unroll 2
        for (std::size_t b = 0; b < kBands; ++b) {
          const float32x4_t sum = vcvtq_f32_s32(neon::sum_of<kChains>(sums[b][t]));
          totals[b][t] = vfmaq_n_f32(totals[b][t], sum, scale);
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

 private:
  /// The weights of 16 columns.
  static void load(const std::byte* weights, int8x16_t (&w)[4]) {
    neon::prefetch(weights);
    const auto* codes = reinterpret_cast<const std::int8_t*>(weights);
#pragma GCC unroll 4
    for (std::size_t j = 0; j < 4; ++j) w[j] = vld1q_s8(codes + 16 * j);
  }

  /// Has what is loaded from column k on wait for the sums of the first kCount tokens.
  template <std::size_t kCount, std::size_t kBands, std::size_t kTokens, std::size_t kChains>
  static void pin_first(int32x4_t (&sums)[kBands][kTokens][kChains], std::size_t& k) {
#pragma GCC unroll 4
    for (std::size_t t = 0; t < kCount; ++t) {
#pragma GCC unroll 2
      for (std::size_t b = 0; b < kBands; ++b) neon::pin(sums[b][t][0], k);
    }
  }

  /// Lane r of the sums += weights of row r . the token's codes v, 16 columns.
  template <std::size_t kChains>
  static void dot(const int8x16_t (&w)[4], int8x16_t v, int32x4_t (&sums)[kChains]) {
    sums[0 % kChains] = vdotq_laneq_s32(sums[0 % kChains], w[0], v, 0);
    sums[1 % kChains] = vdotq_laneq_s32(sums[1 % kChains], w[1], v, 1);
    sums[2 % kChains] = vdotq_laneq_s32(sums[2 % kChains], w[2], v, 2);
    sums[3 % kChains] = vdotq_laneq_s32(sums[3 % kChains], w[3], v, 3);
  }
};

}  // namespace kernels::neon_dotprod
}  // namespace MAMBA2_ISA
}  // namespace mamba2
