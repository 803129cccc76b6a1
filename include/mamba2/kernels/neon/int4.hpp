// SPDX-License-Identifier: Apache-2.0
// INT4 products for cores without dot product instructions (Armv8.0): SMLAL, sums in 16 bits.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mamba2/kernels/neon/group_tiles.hpp"
#include "mamba2/kernels/neon/short_sums.hpp"
#include "mamba2/kernels/neon/tile.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::neon {

/// 16 bits are enough: of the 128 columns that a group may have a lane gets 32, and
/// 32 * 8 * 127 < 2^15.
struct Int4Products : ShortProducts {
  template <std::size_t kTokens>
  static void add(const std::byte* band, const std::int8_t* codes, std::size_t x_stride,
                  ShortSums (&sums)[kTokens]) {
    prefetch(band);
    add_half(band, codes, x_stride, sums);
    add_half(band + 32, codes + 16, x_stride, sums);
  }

 private:
  /// sums += 16 columns of weights times the codes of tokens.
  template <std::size_t kTokens>
  static void add_half(const std::byte* band, const std::int8_t* codes, std::size_t x_stride,
                       ShortSums (&sums)[kTokens]) {
    const auto* weights = reinterpret_cast<const std::int8_t*>(band);
    const int8x16_t columns_0 = vld1q_s8(weights);
    const int8x16_t columns_8 = vld1q_s8(weights + 16);
    const int8x16_t w[4] = {low_half(columns_0), vshrq_n_s8(columns_0, 4), low_half(columns_8),
                            vshrq_n_s8(columns_8, 4)};
#pragma GCC unroll 4
    for (std::size_t t = 0; t < kTokens; ++t) sums[t].add(w, vld1q_s8(codes + t * x_stride));
  }
  /// The signed number in the low half of every byte.
  static int8x16_t low_half(int8x16_t bytes) { return vshrq_n_s8(vshlq_n_s8(bytes, 4), 4); }
};

struct Int4 : GroupTiles<Int4Products> {
  static constexpr std::string_view name = "neon";
};

}  // namespace kernels::neon
}  // namespace MAMBA2_ISA
}  // namespace mamba2
