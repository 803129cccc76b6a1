// SPDX-License-Identifier: Apache-2.0
// SMMLA: 2 rows x 8 columns of weights times 8 columns of 2 tokens, from the layouts of SDOT.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

#include "mamba2/kernels/neon_dotprod/dot.hpp"
#include "mamba2/kernels/unroll.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::neon_i8mm {

/// 16 columns of 4 rows: the first 8 and the last 8 of two rows each.
struct Rows4 {
  int8x16_t rows_0[2];  // and 1
  int8x16_t rows_2[2];  // and 3

  /// From 4 columns of 4 rows to a register, as weights are packed for SDOT.
  MAMBA2_INLINE explicit Rows4(const int8x16_t (&w)[4])
      : rows_0{zip<0>(w[0], w[1]), zip<0>(w[2], w[3])},
        rows_2{zip<1>(w[0], w[1]), zip<1>(w[2], w[3])} {}

 private:
  template <int kHalf>
  MAMBA2_INLINE static int8x16_t zip(int8x16_t columns_0, int8x16_t columns_4) {
    const int32x4_t a = vreinterpretq_s32_s8(columns_0);
    const int32x4_t b = vreinterpretq_s32_s8(columns_4);
    return vreinterpretq_s8_s32(kHalf == 0 ? vzip1q_s32(a, b) : vzip2q_s32(a, b));
  }
};

/// 16 columns of 2 tokens: the first 8 and the last 8.
struct Tokens2 {
  int8x16_t codes[2];

  MAMBA2_INLINE Tokens2(const std::int8_t* first, const std::int8_t* second) {
    const int64x2_t a = vreinterpretq_s64_s8(vld1q_s8(first));
    const int64x2_t b = vreinterpretq_s64_s8(vld1q_s8(second));
    codes[0] = vreinterpretq_s8_s64(vzip1q_s64(a, b));
    codes[1] = vreinterpretq_s8_s64(vzip2q_s64(a, b));
  }
};

/// Sums of 4 rows for two tokens. In the first: row 0 times both tokens, row 1 times both; in the
/// second rows 2 and 3.
MAMBA2_INLINE inline void add(const Rows4& w, const Tokens2& v, int32x4_t& rows_0,
                              int32x4_t& rows_2) {
  rows_0 = vmmlaq_s32(vmmlaq_s32(rows_0, w.rows_0[0], v.codes[0]), w.rows_0[1], v.codes[1]);
  rows_2 = vmmlaq_s32(vmmlaq_s32(rows_2, w.rows_2[0], v.codes[0]), w.rows_2[1], v.codes[1]);
}

/// Of such sums those of one token, 0 or 1: a lane is a row.
MAMBA2_INLINE inline int32x4_t of_token(std::size_t token, int32x4_t rows_0, int32x4_t rows_2) {
  return token == 0 ? vuzp1q_s32(rows_0, rows_2) : vuzp2q_s32(rows_0, rows_2);
}

/// From so many tokens on products take SMMLA; fewer are bound by memory, and take SDOT.
inline constexpr std::size_t kManyTokens = 4;

/// What the Products of neon::GroupTiles and neon::KTiles share here. Many tokens have their sums
/// in pairs: in sums[2 * i] those of rows 0 and 1 for the tokens 2 * i and the next, in
/// sums[2 * i + 1] of rows 2 and 3.
struct MatrixProducts : neon_dotprod::DotProducts {
  template <std::size_t kTokens>
  static void start(const std::int32_t (&from)[kTokens], int32x4_t (&sums)[kTokens][1]) {
    DotProducts::start(from, sums);
    if constexpr (kTokens >= kManyTokens) {
#pragma GCC unroll 4
      for (std::size_t t = 0; t < kTokens; t += 2) {
        sums[t][0] = sums[t + 1][0] = vzip1q_s32(sums[t][0], sums[t + 1][0]);
      }
    }
  }

  template <std::size_t kTokens, std::size_t kChains>
  static int32x4_t total(const int32x4_t (&sums)[kTokens][kChains], std::size_t t) {
    if constexpr (kTokens < kManyTokens) {
      return DotProducts::total(sums, t);
    } else {
      const std::size_t i = t / 2 * 2;
      return of_token(t % 2, sums[i][0], sums[i + 1][0]);
    }
  }
  using DotProducts::to_float;
  template <std::size_t kTokens, std::size_t kChains>
  static float32x4_t to_float(const int32x4_t (&sums)[kTokens][kChains], std::size_t t) {
    return to_float(total(sums, t));
  }

  /// sums += 16 columns of 4 rows times the codes of tokens.
  template <std::size_t kTokens, std::size_t kChains>
  static void dot(const int8x16_t (&w)[4], const std::int8_t* codes, std::size_t x_stride,
                  int32x4_t (&sums)[kTokens][kChains]) {
    if constexpr (kTokens < kManyTokens) {
      DotProducts::dot(w, codes, x_stride, sums);
    } else {
      static_assert(kTokens % 2 == 0 && kChains == 1);
      const Rows4 rows(w);
#pragma GCC unroll 4
      for (std::size_t t = 0; t < kTokens; t += 2) {
        add(rows, Tokens2(codes + t * x_stride, codes + (t + 1) * x_stride), sums[t][0],
            sums[t + 1][0]);
      }
    }
  }
};

}  // namespace kernels::neon_i8mm
}  // namespace MAMBA2_ISA
}  // namespace mamba2
