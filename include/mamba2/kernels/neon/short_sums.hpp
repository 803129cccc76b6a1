// SPDX-License-Identifier: Apache-2.0
// Sums of products with small weights for cores without dot product instructions: SMLAL.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

#include "mamba2/kernels/neon/tile.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::neon {

/// The sums of 4 rows within a group, each in four lanes that are yet to be added, of 16 bits.
struct ShortSums {
  int16x8_t rows_0;  // and 1
  int16x8_t rows_2;  // and 3

  /// += 4 rows x 4 columns of weights times a token's codes, the same in every 4 lanes.
  void add(int8x16_t w, int8x16_t v) {
    rows_0 = vmlal_s8(rows_0, vget_low_s8(w), vget_low_s8(v));
    rows_2 = vmlal_high_s8(rows_2, w, v);
  }
  /// += the same for 16 columns.
  void add(const int8x16_t (&w)[4], int8x16_t v) {
    add(w[0], broadcast<0>(v));
    add(w[1], broadcast<1>(v));
    add(w[2], broadcast<2>(v));
    add(w[3], broadcast<3>(v));
  }
  [[nodiscard]] int32x4_t total() const {
    return vpaddq_s32(vpaddlq_s16(rows_0), vpaddlq_s16(rows_2));
  }
};

/// What the Products with such sums share.
struct ShortProducts {
  static constexpr std::size_t kTokens = 4;
  static constexpr float kUnit = 1.0F;
  static constexpr std::int32_t kBias = 0;
  static constexpr bool kMins = false;
  template <std::size_t kTokens, std::size_t kGroup>
  using Sums = ShortSums[kTokens];

  template <std::size_t kTokens>
  static void clear(ShortSums (&sums)[kTokens]) {
#pragma GCC unroll 4
    for (std::size_t t = 0; t < kTokens; ++t) sums[t] = ShortSums{vdupq_n_s16(0), vdupq_n_s16(0)};
  }
  /// The same: sums of 16 bits have no room for anything else.
  template <std::size_t kTokens>
  static void start(const std::int32_t (&)[kTokens], ShortSums (&sums)[kTokens]) {
    clear(sums);
  }
  template <std::size_t kTokens>
  static float32x4_t to_float(const ShortSums (&sums)[kTokens], std::size_t t) {
    return vcvtq_f32_s32(sums[t].total());
  }
};

}  // namespace kernels::neon
}  // namespace MAMBA2_ISA
}  // namespace mamba2
