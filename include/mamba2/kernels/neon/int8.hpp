// SPDX-License-Identifier: Apache-2.0
// INT8 products for cores without dot product instructions (Armv8.0): SMULL, SMLAL and SADALP.
#pragma once

#include <arm_neon.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mamba2/core/views.hpp"
#include "mamba2/kernels/int8_layout.hpp"
#include "mamba2/kernels/neon/tile.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::neon {

struct Int8 {
  static constexpr std::string_view name = "neon";
  static constexpr std::size_t kRows = 4;
  static constexpr int kBias = 0;

  /// y = x m^T: bands of a matrix m with `rows` rows, x made ready, y (x.tokens, rows).
  static void multiply(const Int8Layout& layout, const std::byte* bands, std::size_t rows,
                       const Inputs& x, MutableRows y) {
    for_tiles<Int8, 2, 4>(layout, bands, rows, x, y);
  }

  /// kBands bands times kTokens tokens, x_stride bytes apart, all sums in registers; y has as many
  /// columns as the bands have rows that are not filling.
  template <std::size_t kBands, std::size_t kTokens>
  static void tile(const Int8Layout& layout, const std::byte* bands, const std::byte* x,
                   std::size_t x_stride, const MutableRows& y) {
    const std::size_t bytes = layout.band_bytes(kRows);
    const std::size_t groups = layout.groups();
    float32x4_t totals[kBands][kTokens] = {};
    for (std::size_t g = 0; g < groups; ++g) {
      Sums sums[kBands][kTokens] = {};
      const std::size_t end = std::min(layout.cols, (g + 1) * layout.group);
      for (std::size_t k = g * layout.group; k < end; k += 16) {
        add<kBands, kTokens>(bands + k * kRows, bytes, x + k, x_stride, sums);
      }
#pragma GCC unroll 4
      for (std::size_t t = 0; t < kTokens; ++t) {
        const float scale = layout.scales(x + t * x_stride)[g];
#pragma GCC unroll 2
        for (std::size_t b = 0; b < kBands; ++b) {
          const float32x4_t sum = vcvtq_f32_s32(sums[b][t].total());
          totals[b][t] = vfmaq_n_f32(totals[b][t], sum, scale);
        }
      }
    }
#pragma GCC unroll 2
    for (std::size_t b = 0; b < kBands; ++b) {
      const float32x4_t scales =
          vld1q_f32(reinterpret_cast<const float*>(bands + b * bytes + kRows * layout.cols));
#pragma GCC unroll 4
      for (std::size_t t = 0; t < kTokens; ++t) {
        store(vmulq_f32(totals[b][t], scales), y[t] + b * kRows, y.cols - b * kRows);
      }
    }
  }

  /// The sums of 4 rows, each in two lanes that are yet to be added: that of the even and of the
  /// odd pairs of columns.
  struct Sums {
    int32x4_t rows_0;  // and 1
    int32x4_t rows_2;  // and 3

    /// += 4 rows x 8 columns of weights times a token's codes, those of 4 columns in every 4 lanes.
    /// Two products fit into the 16 bits that SMLAL adds in: 2 * 127 * 127 = 32258 < 2^15. Three
    /// do not, so the next step is 32 bits.
    void add(int8x16_t w_0, int8x16_t w_4, int8x16_t v_0, int8x16_t v_4) {
      rows_0 = vpadalq_s16(rows_0, vmlal_s8(vmull_s8(vget_low_s8(w_0), vget_low_s8(v_0)),
                                            vget_low_s8(w_4), vget_low_s8(v_4)));
      rows_2 = vpadalq_s16(rows_2, vmlal_high_s8(vmull_high_s8(w_0, v_0), w_4, v_4));
    }
    [[nodiscard]] int32x4_t total() const { return vpaddq_s32(rows_0, rows_2); }
  };

  /// sums += 16 columns of bands, `bytes` apart, times the codes of tokens, x_stride apart.
  template <std::size_t kBands, std::size_t kTokens>
  static void add(const std::byte* bands, std::size_t bytes, const std::byte* x,
                  std::size_t x_stride, Sums (&sums)[kBands][kTokens]) {
    int8x16_t w[kBands][4];
#pragma GCC unroll 2
    for (std::size_t b = 0; b < kBands; ++b) {
      prefetch(bands + b * bytes);
      const auto* codes = reinterpret_cast<const std::int8_t*>(bands + b * bytes);
#pragma GCC unroll 4
      for (std::size_t j = 0; j < 4; ++j) w[b][j] = vld1q_s8(codes + 16 * j);
    }
#pragma GCC unroll 4
    for (std::size_t t = 0; t < kTokens; ++t) {
      const int8x16_t v = vld1q_s8(Int8Layout::codes(x + t * x_stride));
      const int8x16_t v_0 = broadcast<0>(v);
      const int8x16_t v_4 = broadcast<1>(v);
      const int8x16_t v_8 = broadcast<2>(v);
      const int8x16_t v_12 = broadcast<3>(v);
#pragma GCC unroll 2
      for (std::size_t b = 0; b < kBands; ++b) {
        sums[b][t].add(w[b][0], w[b][1], v_0, v_4);
        sums[b][t].add(w[b][2], w[b][3], v_8, v_12);
      }
    }
  }
};

}  // namespace kernels::neon
}  // namespace MAMBA2_ISA
}  // namespace mamba2
