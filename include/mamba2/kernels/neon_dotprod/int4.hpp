// SPDX-License-Identifier: Apache-2.0
// INT4 products with SDOT by element: 4 rows x 4 columns of weights times 4 codes of a token.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mamba2/core/views.hpp"
#include "mamba2/kernels/int4_layout.hpp"
#include "mamba2/kernels/neon/tile.hpp"

namespace mamba2::inline MAMBA2_ISA::kernels::neon_dotprod {

struct Int4 {
  static constexpr std::string_view name = "neon_dotprod";
  static constexpr std::size_t kRows = 4;
  static constexpr int kBias = 0;

  /// y = x m^T: bands of a matrix m with `rows` rows, x made ready, y (x.tokens, rows).
  static void multiply(const Int4Layout& layout, const std::byte* bands, std::size_t rows,
                       const Inputs& x, MutableRows y) {
    neon::for_tiles<Int4, 1, 8>(layout, bands, rows, x, y);
  }

  /// A band times kTokens tokens, x_stride bytes apart; y has as many columns as the band has rows
  /// that are not filling. A tile of 8 tokens has its sums within the group and their totals over
  /// all groups in registers; few tokens have a sum split into kChains, as SDOTs that add to the
  /// same one start 2 or 3 cycles apart.
  template <std::size_t kBands, std::size_t kTokens>
  static void tile(const Int4Layout& layout, const std::byte* band, const std::byte* x,
                   std::size_t x_stride, const MutableRows& y) {
    static_assert(kBands == 1);
    constexpr std::size_t kChains = kTokens < 3 ? 2 : 1;
    const std::size_t chunk = layout.chunk();
    const bool grouped = layout.input_group == layout.group;
    float32x4_t totals[kTokens] = {};
    const std::int8_t* codes = Int4Layout::codes(x);
    std::size_t input_group = 0;
    for (std::size_t first = 0; first < layout.cols; first += chunk) {
      const std::byte* scales = band + kRows * chunk / 2;
      for (std::size_t i = 0; i < chunk; i += layout.group) {
        int32x4_t sums[kTokens][kChains];
        clear(sums);
        std::size_t k = 0;
        do {  // at least once: a loop that might not run costs copies of all the sums
          neon::prefetch(band);
          add<0>(band, codes, x_stride, sums);
          add<16>(band, codes, x_stride, sums);
          neon::pin(sums);
          band += kRows * 32 / 2;
          codes += 32;
          k += 32;
        } while (k < layout.group);
        const float32x4_t scale = neon::load_halves(scales);
        scales += kRows * sizeof(std::uint16_t);
#pragma GCC unroll 8
        for (std::size_t t = 0; t < kTokens; ++t) {
          const float input_scale = layout.scales(x + t * x_stride)[input_group];
          totals[t] = vfmaq_f32(totals[t], to_float(neon::sum_of(sums[t])),
                                vmulq_n_f32(scale, input_scale));
        }
        if (grouped) ++input_group;
      }
      band = scales;
    }
#pragma GCC unroll 8
    for (std::size_t t = 0; t < kTokens; ++t) {
      neon::store(vmulq_n_f32(totals[t], 1.0F / 16.0F), y[t], y.cols);
    }
  }

 private:
  // The bits of the float 1.5 * 2^23 + i are those of 1.5 * 2^23, plus i, where |i| < 2^22: a sum
  // that starts there becomes a float by a subtraction, which is exact, goes to both vector pipes
  // and takes half as long there as SCVTF, which goes to one.
  // Sums are 16 times too large, see add(): up to 128 columns * (16 * 8) * 127 < 2^21.
  static constexpr float kFloatZero = 0x1.8p23F;

  template <std::size_t kTokens, std::size_t kChains>
  static void clear(int32x4_t (&sums)[kTokens][kChains]) {
#pragma GCC unroll 8
    for (std::size_t t = 0; t < kTokens; ++t) {
      sums[t][0] = vreinterpretq_s32_f32(vdupq_n_f32(kFloatZero));
#pragma GCC unroll 2
      for (std::size_t c = 1; c < kChains; ++c) sums[t][c] = vdupq_n_s32(0);
    }
  }
  static float32x4_t to_float(int32x4_t sum) {
    return vsubq_f32(vreinterpretq_f32_s32(sum), vdupq_n_f32(kFloatZero));
  }

  /// sums += 16 columns of the band, from kFirst on, times the codes of tokens. Weights count 16
  /// times: in the high half of a byte a code is a signed number of 8 bits without more ado, and
  /// the 16 comes off again by a multiplication at the end.
  template <std::size_t kFirst, std::size_t kTokens, std::size_t kChains>
  static void add(const std::byte* band, const std::int8_t* codes, std::size_t x_stride,
                  int32x4_t (&sums)[kTokens][kChains]) {
    const auto* weights = reinterpret_cast<const std::uint8_t*>(band) + kRows * kFirst / 2;
    const uint8x16_t columns_0 = vld1q_u8(weights);
    const uint8x16_t columns_8 = vld1q_u8(weights + 16);
    const uint8x16_t high = vdupq_n_u8(0xF0);
    const int8x16_t w[4] = {vreinterpretq_s8_u8(vshlq_n_u8(columns_0, 4)),
                            vreinterpretq_s8_u8(vandq_u8(columns_0, high)),
                            vreinterpretq_s8_u8(vshlq_n_u8(columns_8, 4)),
                            vreinterpretq_s8_u8(vandq_u8(columns_8, high))};
#pragma GCC unroll 8
    for (std::size_t t = 0; t < kTokens; ++t) {
      const int8x16_t v = vld1q_s8(codes + t * x_stride + kFirst);
      sums[t][0] = vdotq_laneq_s32(sums[t][0], w[0], v, 0);
      sums[t][1 % kChains] = vdotq_laneq_s32(sums[t][1 % kChains], w[1], v, 1);
      sums[t][0] = vdotq_laneq_s32(sums[t][0], w[2], v, 2);
      sums[t][1 % kChains] = vdotq_laneq_s32(sums[t][1 % kChains], w[3], v, 3);
    }
  }
};

}  // namespace mamba2::inline MAMBA2_ISA::kernels::neon_dotprod
