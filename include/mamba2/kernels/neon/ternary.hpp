// SPDX-License-Identifier: Apache-2.0
// Products with weights of 2 bits for cores without dot product instructions (Armv8.0): SMLAL, sums
// in 16 bits.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mamba2/kernels/neon/group_tiles.hpp"
#include "mamba2/kernels/neon/short_sums.hpp"
#include "mamba2/kernels/neon/tile.hpp"
#include "mamba2/kernels/neon/two_bits.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::neon {

/// 16 bits are enough for 256 columns: of them a lane gets 64, and 64 * 2 * 127 < 2^15. Codes are
/// made signed, as such sums have no room for what they start with.
struct TernaryProducts : ShortProducts {
  static constexpr std::size_t kShort = 256;

  template <std::size_t kTokens>
  static void zero(ShortSums (&sums)[kTokens]) {
    clear(sums);
  }
  template <std::size_t kTokens>
  static void add(const std::byte* band, const std::int8_t* codes, std::size_t x_stride,
                  ShortSums (&sums)[kTokens]) {
    prefetch(band);
    add_half(band, codes, x_stride, sums);
    add_half(band + 16, codes + 16, x_stride, sums);
  }
  template <std::size_t kTokens>
  static int32x4_t total(const ShortSums (&sums)[kTokens], std::size_t t) {
    return sums[t].total();
  }

 private:
  /// sums += 16 columns of weights times the codes of tokens.
  template <std::size_t kTokens>
  static void add_half(const std::byte* band, const std::int8_t* codes, std::size_t x_stride,
                       ShortSums (&sums)[kTokens]) {
    int8x16_t w[4];
    load_two_bits(band, w);
#pragma GCC unroll 4
    for (std::size_t j = 0; j < 4; ++j) w[j] = vsubq_s8(w[j], vdupq_n_s8(1));
#pragma GCC unroll 4
    for (std::size_t t = 0; t < kTokens; ++t) sums[t].add(w, vld1q_s8(codes + t * x_stride));
  }
};

struct Ternary : TernaryTiles<TernaryProducts> {
  static constexpr std::string_view name = "neon";
};

struct Q2_0 : GroupTiles<TernaryProducts> {
  static constexpr std::string_view name = "neon";
  static constexpr int kBias = 1;
};

}  // namespace kernels::neon
}  // namespace MAMBA2_ISA
}  // namespace mamba2
