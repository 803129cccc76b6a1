// SPDX-License-Identifier: Apache-2.0
// Q4_K products for cores without dot product instructions (Armv8.0): SMLAL, sums in 16 bits.
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

/// 16 bits are enough: a lane gets 8 of 32 columns, and 8 * 15 * 127 < 2^15.
struct Q4KProducts : ShortProducts {
  static constexpr std::size_t kGroup = 32;
  static constexpr std::size_t kBits = 4;
  static constexpr std::int32_t kBias = 0;
  static constexpr bool kMins = true;

  template <std::size_t kTokens>
  static void add(const std::byte* band, const std::int8_t* codes, std::size_t x_stride,
                  ShortSums (&sums)[kTokens]) {
    prefetch(band);
#pragma GCC unroll 2
    for (std::size_t first = 0; first < kGroup; first += 16) {
      int8x16_t w[4];
      load_nibbles(band + 2 * first, w);
#pragma GCC unroll 4
      for (std::size_t t = 0; t < kTokens; ++t) {
        sums[t].add(w, vld1q_s8(codes + t * x_stride + first));
      }
    }
  }
};

struct Q4_K : KTiles<Q4KProducts> {
  static constexpr std::string_view name = "neon";
};

}  // namespace kernels::neon
}  // namespace MAMBA2_ISA
}  // namespace mamba2
