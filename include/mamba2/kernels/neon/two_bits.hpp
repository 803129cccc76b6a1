// SPDX-License-Identifier: Apache-2.0
// Products with weights of 2 bits that have a scale for each row, on ARM: all but the instructions
// that multiply.
#pragma once

#include <arm_neon.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "mamba2/core/views.hpp"
#include "mamba2/kernels/int8_layout.hpp"
#include "mamba2/kernels/neon/tile.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::neon {

/// The codes of 16 columns: 4 columns to a register.
inline void load_two_bits(const std::byte* from, int8x16_t (&w)[4]) {
  const uint8x16_t bytes = vld1q_u8(reinterpret_cast<const std::uint8_t*>(from));
  const uint8x16_t low = vdupq_n_u8(3);
  w[0] = vreinterpretq_s8_u8(vandq_u8(bytes, low));
  w[1] = vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(bytes, 2), low));
  w[2] = vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(bytes, 4), low));
  w[3] = vreinterpretq_s8_u8(vshrq_n_u8(bytes, 6));
}

/// What `Products` says for an instruction set, besides what GroupTiles names:
///   kShort   columns whose sums it has room for: a multiple of 32
///   zero     makes sums zero
///   total    those of a token as whole numbers
template <class Products>
struct TernaryTiles {
  static constexpr std::size_t kRows = 4;

  /// y = x m^T: bands of a matrix m with `rows` rows, x made ready, y (x.tokens, rows).
  static void multiply(const Int8Layout& layout, const std::byte* bands, std::size_t rows,
                       const Inputs& x, MutableRows y) {
    for_tiles<TernaryTiles, 1, Products::kTokens>(layout, bands, rows, x, y);
  }

  /// A band times kTokens tokens, x_stride bytes apart; y has as many columns as the band has rows
  /// that are not filling.
  template <std::size_t kBands, std::size_t kTokens>
  static void tile(const Int8Layout& layout, const std::byte* band, const std::byte* x,
                   std::size_t x_stride, const MutableRows& y) {
    static_assert(kBands == 1);
    const std::int8_t* codes = Int8Layout::codes(x);
    const std::int8_t* const end = codes + layout.cols;
    int32x4_t totals[kTokens];
#pragma GCC unroll 8
    for (std::size_t t = 0; t < kTokens; ++t) {
      totals[t] = vdupq_n_s32(-Products::kBias * *layout.sums(x + t * x_stride));
    }
    do {
      const std::int8_t* const part =
          codes + std::min(Products::kShort, static_cast<std::size_t>(end - codes));
      typename Products::template Sums<kTokens, 0> sums;
      Products::zero(sums);
      do {
        Products::add(band, codes, x_stride, sums);
        band += 8 * kRows;
        codes += 32;
      } while (codes != part);
#pragma GCC unroll 8
      for (std::size_t t = 0; t < kTokens; ++t) {
        totals[t] = vaddq_s32(totals[t], Products::total(sums, t));
      }
    } while (codes != end);
    const float32x4_t scales = vld1q_f32(reinterpret_cast<const float*>(band));
#pragma GCC unroll 8
    for (std::size_t t = 0; t < kTokens; ++t) {
      const float32x4_t scaled =
          vmulq_n_f32(vcvtq_f32_s32(totals[t]), *layout.scales(x + t * x_stride));
      store(vmulq_f32(scaled, scales), y[t], y.cols);
    }
  }
};

}  // namespace kernels::neon
}  // namespace MAMBA2_ISA
}  // namespace mamba2
