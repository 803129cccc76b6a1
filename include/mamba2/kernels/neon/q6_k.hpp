// SPDX-License-Identifier: Apache-2.0
// Q6_K products for cores without dot product instructions (Armv8.0): SMLAL, sums in 16 bits.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mamba2/kernels/neon/k_tiles.hpp"
#include "mamba2/kernels/neon/short_sums.hpp"
#include "mamba2/kernels/neon/tile.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::neon {

/// 16 bits are enough: a lane gets 4 of 16 columns, and 4 * 32 * 127 < 2^15.
struct Q6KProducts : ShortProducts {
  static constexpr std::size_t kGroup = 16;
  static constexpr std::size_t kBits = 6;
  static constexpr std::int32_t kBias = 0;
  static constexpr bool kMins = false;

  template <std::size_t kTokens>
  static void add(const std::byte* band, const std::int8_t* codes, std::size_t x_stride,
                  ShortSums (&sums)[kTokens]) {
    prefetch(band);
    int8x16_t w[4];
    load_six_bits(band, w);
#pragma GCC unroll 4
    for (std::size_t j = 0; j < 4; ++j) w[j] = vsubq_s8(w[j], vdupq_n_s8(32));
#pragma GCC unroll 4
    for (std::size_t t = 0; t < kTokens; ++t) sums[t].add(w, vld1q_s8(codes + t * x_stride));
  }
};

struct Q6_K : KTiles<Q6KProducts> {
  static constexpr std::string_view name = "neon";
};

}  // namespace kernels::neon
}  // namespace MAMBA2_ISA
}  // namespace mamba2
