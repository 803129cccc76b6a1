// SPDX-License-Identifier: Apache-2.0
// Products with weights of the types Q4_K and Q6_K on ARM: all but the instructions that multiply.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "mamba2/core/views.hpp"
#include "mamba2/kernels/k_layout.hpp"
#include "mamba2/kernels/neon/tile.hpp"

namespace mamba2::inline MAMBA2_ISA::kernels::neon {

/// The codes of 16 columns, unsigned numbers in the halves of bytes: 4 columns to a register.
inline void load_nibbles(const std::byte* from, int8x16_t (&w)[4]) {
  const auto* weights = reinterpret_cast<const std::uint8_t*>(from);
  const uint8x16_t columns_0 = vld1q_u8(weights);
  const uint8x16_t columns_8 = vld1q_u8(weights + 16);
  const uint8x16_t low = vdupq_n_u8(15);
  w[0] = vreinterpretq_s8_u8(vandq_u8(columns_0, low));
  w[1] = vreinterpretq_s8_u8(vshrq_n_u8(columns_0, 4));
  w[2] = vreinterpretq_s8_u8(vandq_u8(columns_8, low));
  w[3] = vreinterpretq_s8_u8(vshrq_n_u8(columns_8, 4));
}

/// The codes of 16 columns of Q6_K, less 32: 4 columns to a register.
inline void load_six_bits(const std::byte* from, int8x16_t (&w)[4]) {
  const auto* weights = reinterpret_cast<const std::uint8_t*>(from);
  const uint8x16_t columns_0 = vld1q_u8(weights);
  const uint8x16_t columns_4 = vld1q_u8(weights + 16);
  const uint8x16_t columns_8 = vld1q_u8(weights + 32);
  const uint8x16_t low = vdupq_n_u8(63);
  w[0] = vreinterpretq_s8_u8(vandq_u8(columns_0, low));
  w[1] = vreinterpretq_s8_u8(vandq_u8(columns_4, low));
  w[2] = vreinterpretq_s8_u8(vandq_u8(columns_8, low));
  const uint8x16_t high = vsriq_n_u8(vsriq_n_u8(columns_0, columns_4, 2), columns_8, 4);
  w[3] = vreinterpretq_s8_u8(vshrq_n_u8(high, 2));
#pragma GCC unroll 4
  for (std::size_t j = 0; j < 4; ++j) w[j] = vsubq_s8(w[j], vdupq_n_s8(32));
}

/// What `Products` says for an instruction set and a type, besides what GroupTiles names, is
///   kGroup   columns that share a scale: 32 in Q4_K, 16 in Q6_K
///   kMins    whether there are minima, as in Q4_K
/// Its add() is for the columns of a group.
template <class Products>
struct KTiles {
  static constexpr std::size_t kRows = 4;

  /// y = x m^T: bands of a matrix m with `rows` rows, x made ready, y (x.tokens, rows).
  static void multiply(const KLayout& layout, const std::byte* bands, std::size_t rows,
                       const Inputs& x, MutableRows y) {
    for_tiles<KTiles, 1, Products::kTokens>(layout, bands, rows, x, y);
  }

  /// A band times kTokens tokens, x_stride bytes apart; y has as many columns as the band has rows
  /// that are not filling.
  template <std::size_t kBands, std::size_t kTokens>
  static void tile(const KLayout& layout, const std::byte* band, const std::byte* x,
                   std::size_t x_stride, const MutableRows& y) {
    static_assert(kBands == 1);
    constexpr std::size_t kGroups = KLayout::kChunk / Products::kGroup;
    const std::size_t group_bytes = layout.group_bytes(kRows);
    const std::int8_t* codes = KLayout::codes(x);
    float32x4_t totals[kTokens] = {};
    for (std::size_t first = 0; first < layout.cols; first += KLayout::kSuperBlock) {
      const float32x4_t d = load_halves(band);
      const float32x4_t dmin = load_halves(band + 2 * kRows);
      band += 4 * kRows;
      for (std::size_t k = first; k < first + KLayout::kSuperBlock; k += KLayout::kChunk) {
        const std::byte* bytes = band;
        band += 4 * kRows;
        for (std::size_t i = 0; i < kGroups; ++i, bytes += kRows) {
          typename Products::template Sums<kTokens, Products::kGroup> sums;
          Products::clear(sums);
          Products::add(band, codes, x_stride, sums);
          band += group_bytes;
          codes += Products::kGroup;
          const std::size_t column = k + i * Products::kGroup;
          const float32x4_t scale = vmulq_f32(d, load_bytes(bytes));
          const float32x4_t min = vmulq_f32(dmin, load_bytes(bytes + 2 * kRows * Products::kMins));
#pragma GCC unroll 8
          for (std::size_t t = 0; t < kTokens; ++t) {
            const std::byte* input = x + t * x_stride;
            const float input_scale = layout.scales(input)[column / KLayout::kInputGroup];
            totals[t] =
                vfmaq_f32(totals[t], Products::to_float(sums, t), vmulq_n_f32(scale, input_scale));
            if constexpr (Products::kMins) {
              totals[t] =
                  vfmsq_n_f32(totals[t], min, layout.value_sums(input)[column / Products::kGroup]);
            }
          }
        }
      }
    }
#pragma GCC unroll 8
    for (std::size_t t = 0; t < kTokens; ++t) store(totals[t], y[t], y.cols);
  }

 private:
  /// A signed byte for each row.
  static float32x4_t load_bytes(const std::byte* from) {
    std::int32_t four;
    std::memcpy(&four, from, sizeof four);
    const int8x8_t bytes = vreinterpret_s8_s32(vdup_n_s32(four));
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(bytes))));
  }
};

}  // namespace mamba2::inline MAMBA2_ISA::kernels::neon
