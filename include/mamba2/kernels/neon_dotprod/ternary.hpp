// SPDX-License-Identifier: Apache-2.0
// Products with weights of 2 bits by SDOT by element: 4 rows x 4 columns of weights times 4 codes
// of a token.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>

#include "mamba2/kernels/neon/group_tiles.hpp"
#include "mamba2/kernels/neon/tile.hpp"
#include "mamba2/kernels/neon/two_bits.hpp"
#include "mamba2/kernels/neon_dotprod/dot.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::neon_dotprod {

/// Few tokens do not move codes to the low bits of their bytes, but for the highest, which no mask
/// could leave positive: a core has one pipe that shifts and two that mask. Each of the four codes
/// of a byte has a sum, in which it counts 1, 4, 16 and 1 times: that is taken off at the end, and
/// SDOTs do not wait for each other. Many tokens move the codes once for all of them.
template <class Dot = DotProducts>
struct TernaryProducts : Dot {
  static constexpr std::int32_t kBias = 1;
  /// Sums have 32 bits, enough for every matrix: 3 * 127 * columns.
  static constexpr std::size_t kShort = std::numeric_limits<std::int32_t>::max() / 32 * 32;
  static constexpr bool few(std::size_t tokens) { return tokens < 4; }
  template <std::size_t kTokens, std::size_t kGroup>
  using Sums = int32x4_t[kTokens][few(kTokens) ? 4 : 1];

  template <std::size_t kTokens, std::size_t kChains>
  static void zero(int32x4_t (&sums)[kTokens][kChains]) {
#pragma GCC unroll 8
    for (std::size_t t = 0; t < kTokens; ++t) {
#pragma GCC unroll 4
      for (std::size_t c = 0; c < kChains; ++c) sums[t][c] = vdupq_n_s32(0);
    }
  }
  template <std::size_t kTokens, std::size_t kChains>
  static void start(const std::int32_t (&from)[kTokens], int32x4_t (&sums)[kTokens][kChains]) {
    if constexpr (kChains == 1) {
      Dot::start(from, sums);
    } else {
      int32x4_t first[kTokens][1];
      Dot::start(from, first);
      zero(sums);
#pragma GCC unroll 3
      for (std::size_t t = 0; t < kTokens; ++t) sums[t][0] = first[t][0];
    }
  }

  template <std::size_t kTokens, std::size_t kChains>
  static void add(const std::byte* band, const std::int8_t* codes, std::size_t x_stride,
                  int32x4_t (&sums)[kTokens][kChains]) {
    neon::prefetch(band);
#pragma GCC unroll 2
    for (std::size_t half = 0; half < 2; ++half) {
      int8x16_t w[4];
      if constexpr (kChains == 1) {
        neon::load_two_bits(band + 16 * half, w);
        Dot::dot(w, codes + 16 * half, x_stride, sums);
        neon::fence(sums);
      } else {
        mask(band + 16 * half, w);
        add_masked(w, codes + 16 * half, x_stride, sums);
      }
    }
    neon::pin(sums);
  }

  template <std::size_t kTokens, std::size_t kChains>
  static int32x4_t total(const int32x4_t (&sums)[kTokens][kChains], std::size_t t) {
    if constexpr (kChains == 1) {
      return Dot::total(sums, t);
    } else {
      const int32x4_t ones = vaddq_s32(sums[t][0], sums[t][3]);
      return vsraq_n_s32(vsraq_n_s32(ones, sums[t][1], 2), sums[t][2], 4);
    }
  }
  template <std::size_t kTokens, std::size_t kChains>
  static float32x4_t to_float(const int32x4_t (&sums)[kTokens][kChains], std::size_t t) {
    return Dot::to_float(total(sums, t));
  }

 private:
  /// The codes of 16 columns, 4 to a register: times 1, 4, 16 and 1.
  static void mask(const std::byte* from, int8x16_t (&w)[4]) {
    const uint8x16_t bytes = vld1q_u8(reinterpret_cast<const std::uint8_t*>(from));
    w[0] = vreinterpretq_s8_u8(vandq_u8(bytes, vdupq_n_u8(0x03)));
    w[1] = vreinterpretq_s8_u8(vandq_u8(bytes, vdupq_n_u8(0x0C)));
    w[2] = vreinterpretq_s8_u8(vandq_u8(bytes, vdupq_n_u8(0x30)));
    w[3] = vreinterpretq_s8_u8(vshrq_n_u8(bytes, 6));
  }

  template <std::size_t kTokens>
  static void add_masked(const int8x16_t (&w)[4], const std::int8_t* codes, std::size_t x_stride,
                         int32x4_t (&sums)[kTokens][4]) {
#pragma GCC unroll 3
    for (std::size_t t = 0; t < kTokens; ++t) {
      const int8x16_t v = vld1q_s8(codes + t * x_stride);
      sums[t][0] = vdotq_laneq_s32(sums[t][0], w[0], v, 0);
      sums[t][1] = vdotq_laneq_s32(sums[t][1], w[1], v, 1);
      sums[t][2] = vdotq_laneq_s32(sums[t][2], w[2], v, 2);
      sums[t][3] = vdotq_laneq_s32(sums[t][3], w[3], v, 3);
    }
  }
};

struct Ternary : neon::TernaryTiles<TernaryProducts<>> {
  static constexpr std::string_view name = "neon_dotprod";
};

struct Q2_0 : neon::GroupTiles<TernaryProducts<>> {
  static constexpr std::string_view name = "neon_dotprod";
  static constexpr int kBias = 1;
};

}  // namespace kernels::neon_dotprod
}  // namespace MAMBA2_ISA
}  // namespace mamba2
