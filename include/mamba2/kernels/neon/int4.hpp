// SPDX-License-Identifier: Apache-2.0
// INT4 products for cores without dot product instructions (Armv8.0): SMLAL, sums in 16 bits.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mamba2/core/views.hpp"
#include "mamba2/kernels/int4_layout.hpp"
#include "mamba2/kernels/neon/tile.hpp"

namespace mamba2::inline MAMBA2_ISA::kernels::neon {

struct Int4 {
  static constexpr std::string_view name = "neon";
  static constexpr std::size_t kRows = 4;
  static constexpr int kBias = 0;

  /// y = x m^T: bands of a matrix m with `rows` rows, x made ready, y (x.tokens, rows).
  static void multiply(const Int4Layout& layout, const std::byte* bands, std::size_t rows,
                       const Inputs& x, MutableRows y) {
    for_tiles<Int4, 1, 4>(layout, bands, rows, x, y);
  }

  /// A band times kTokens tokens, x_stride bytes apart; y has as many columns as the band has rows
  /// that are not filling.
  template <std::size_t kBands, std::size_t kTokens>
  static void tile(const Int4Layout& layout, const std::byte* band, const std::byte* x,
                   std::size_t x_stride, const MutableRows& y) {
    static_assert(kBands == 1);
    const std::size_t chunk = layout.chunk();
    const bool grouped = layout.input_group == layout.group;
    float32x4_t totals[kTokens] = {};
    const std::int8_t* codes = Int4Layout::codes(x);
    std::size_t input_group = 0;
    for (std::size_t first = 0; first < layout.cols; first += chunk) {
      const std::byte* scales = band + kRows * chunk / 2;
      for (std::size_t i = 0; i < chunk; i += layout.group) {
        Sums sums[kTokens] = {};
        std::size_t k = 0;
        do {
          prefetch(band);
          add<0>(band, codes, x_stride, sums);
          add<16>(band, codes, x_stride, sums);
          band += kRows * 32 / 2;
          codes += 32;
          k += 32;
        } while (k < layout.group);
        const float32x4_t scale = load_halves(scales);
        scales += kRows * sizeof(std::uint16_t);
#pragma GCC unroll 4
        for (std::size_t t = 0; t < kTokens; ++t) {
          const float input_scale = layout.scales(x + t * x_stride)[input_group];
          totals[t] =
              vfmaq_f32(totals[t], vcvtq_f32_s32(sums[t].rows()), vmulq_n_f32(scale, input_scale));
        }
        if (grouped) ++input_group;
      }
      band = scales;
    }
#pragma GCC unroll 4
    for (std::size_t t = 0; t < kTokens; ++t) store(totals[t], y[t], y.cols);
  }

 private:
  /// The sums of 4 rows within a group, each in four lanes that are yet to be added. 16 bits are
  /// enough: of the 128 columns that a group may have a lane gets 32, and 32 * 8 * 127 < 2^15.
  struct Sums {
    int16x8_t rows_0;  // and 1
    int16x8_t rows_2;  // and 3

    /// += 4 rows x 4 columns of weights times a token's codes, the same in every 4 lanes.
    void add(int8x16_t w, int8x16_t v) {
      rows_0 = vmlal_s8(rows_0, vget_low_s8(w), vget_low_s8(v));
      rows_2 = vmlal_high_s8(rows_2, w, v);
    }
    [[nodiscard]] int32x4_t rows() const {
      return vpaddq_s32(vpaddlq_s16(rows_0), vpaddlq_s16(rows_2));
    }
  };

  /// sums += 16 columns of the band, from kFirst on, times the codes of tokens.
  template <std::size_t kFirst, std::size_t kTokens>
  static void add(const std::byte* band, const std::int8_t* codes, std::size_t x_stride,
                  Sums (&sums)[kTokens]) {
    const auto* weights = reinterpret_cast<const std::int8_t*>(band) + kRows * kFirst / 2;
    const int8x16_t columns_0 = vld1q_s8(weights);
    const int8x16_t columns_8 = vld1q_s8(weights + 16);
    const int8x16_t w[4] = {low_half(columns_0), vshrq_n_s8(columns_0, 4), low_half(columns_8),
                            vshrq_n_s8(columns_8, 4)};
#pragma GCC unroll 4
    for (std::size_t t = 0; t < kTokens; ++t) {
      const int8x16_t v = vld1q_s8(codes + t * x_stride + kFirst);
      sums[t].add(w[0], broadcast<0>(v));
      sums[t].add(w[1], broadcast<1>(v));
      sums[t].add(w[2], broadcast<2>(v));
      sums[t].add(w[3], broadcast<3>(v));
    }
  }
  /// The signed number in the low half of every byte.
  static int8x16_t low_half(int8x16_t bytes) { return vshrq_n_s8(vshlq_n_s8(bytes, 4), 4); }
};

}  // namespace mamba2::inline MAMBA2_ISA::kernels::neon
