// SPDX-License-Identifier: Apache-2.0
// Sums of dot products within a group of columns.
#pragma once

#include <arm_neon.h>

#include <bit>
#include <cstddef>
#include <cstdint>

#include "mamba2/kernels/neon/tile.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::neon_dotprod {

/// What the Products of neon::GroupTiles and neon::KTiles share here. Few tokens have a sum split
/// into two chains, as SDOTs that add to the same one start 2 or 3 cycles apart; but not in small
/// groups, of which the core works on several at a time.
struct DotProducts {
  static constexpr std::size_t kTokens = 8;
  static constexpr float kUnit = 1.0F;
  static constexpr std::int32_t kBias = 0;
  static constexpr bool kMins = false;
  template <std::size_t kTokens, std::size_t kGroup>
  using Sums = int32x4_t[kTokens][kTokens < 3 && kGroup == 0 ? 2 : 1];

  // The bits of the float 1.5 * 2^23 + i are those of 1.5 * 2^23, plus i, where |i| < 2^22: a sum
  // that starts there becomes a float by a subtraction, which is exact, goes to both vector pipes
  // and takes half as long there as SCVTF, which goes to one. The largest sums are those of 128
  // INT4 codes, which count 16 times: 128 * (16 * 8) * 127 < 2^21.
  static constexpr float kFloatZero = 0x1.8p23F;
  static constexpr auto kFloatZeroBits = std::bit_cast<std::int32_t>(kFloatZero);
  static constexpr float32x4_t kFloatZeros = {kFloatZero, kFloatZero, kFloatZero, kFloatZero};

  template <std::size_t kTokens, std::size_t kChains>
  static void clear(int32x4_t (&sums)[kTokens][kChains]) {
    // Every sum is to load it: copies of a register would take the vector pipes' time.
    const volatile float32x4_t& zeros = kFloatZeros;
#pragma GCC unroll 8
    for (std::size_t t = 0; t < kTokens; ++t) {
      sums[t][0] = vreinterpretq_s32_f32(zeros);
#pragma GCC unroll 2
      for (std::size_t c = 1; c < kChains; ++c) sums[t][c] = vdupq_n_s32(0);
    }
  }
  /// The same with sums that start at `from`, a number for each token. They come from general
  /// registers by DUP, whose pipe has nothing else to do: copies of a vector would take one of the
  /// two that all the rest waits for. So the compiler must not know that they are alike.
  template <std::size_t kTokens>
  static void start(const std::int32_t (&from)[kTokens], int32x4_t (&sums)[kTokens][1]) {
#pragma GCC unroll 8
    for (std::size_t t = 0; t < kTokens; ++t) {
      std::int32_t bits = kFloatZeroBits + from[t];
      asm volatile("" : "+r"(bits));
      sums[t][0] = vdupq_n_s32(bits);
    }
  }
  /// The sums of a token.
  template <std::size_t kTokens, std::size_t kChains>
  static int32x4_t total(const int32x4_t (&sums)[kTokens][kChains], std::size_t t) {
    return neon::sum_of(sums[t]);
  }
  static float32x4_t to_float(int32x4_t total) {
    return vsubq_f32(vreinterpretq_f32_s32(total), vdupq_n_f32(kFloatZero));
  }
  template <std::size_t kTokens, std::size_t kChains>
  static float32x4_t to_float(const int32x4_t (&sums)[kTokens][kChains], std::size_t t) {
    return to_float(total(sums, t));
  }

  /// sums += 16 columns of 4 rows times the codes of tokens.
  template <std::size_t kTokens, std::size_t kChains>
  static void dot(const int8x16_t (&w)[4], const std::int8_t* codes, std::size_t x_stride,
                  int32x4_t (&sums)[kTokens][kChains]) {
#pragma GCC unroll 8
    for (std::size_t t = 0; t < kTokens; ++t) {
      const int8x16_t v = vld1q_s8(codes + t * x_stride);
      sums[t][0] = vdotq_laneq_s32(sums[t][0], w[0], v, 0);
      sums[t][1 % kChains] = vdotq_laneq_s32(sums[t][1 % kChains], w[1], v, 1);
      sums[t][0] = vdotq_laneq_s32(sums[t][0], w[2], v, 2);
      sums[t][1 % kChains] = vdotq_laneq_s32(sums[t][1 % kChains], w[3], v, 3);
    }
  }
};

}  // namespace kernels::neon_dotprod
}  // namespace MAMBA2_ISA
}  // namespace mamba2
