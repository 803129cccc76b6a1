// SPDX-License-Identifier: Apache-2.0
// Q5_0, Q5_1 and Q5_K products for cores without dot product instructions (Armv8.0): SMLAL, sums in
// 16 bits.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mamba2/kernels/neon/five_bits.hpp"
#include "mamba2/kernels/neon/group_tiles.hpp"
#include "mamba2/kernels/neon/k_tiles.hpp"
#include "mamba2/kernels/neon/short_sums.hpp"
#include "mamba2/kernels/neon/tile.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::neon {

/// 16 bits are enough: a lane gets 8 of 32 columns, and 8 * 31 * 127 < 2^15. kSigned: whether codes
/// are, and there are no minima.
template <bool kSigned>
struct Q5Products : ShortProducts {
  static constexpr std::size_t kGroup = 32;
  static constexpr std::size_t kBits = 5;
  static constexpr std::int32_t kBias = 0;
  static constexpr bool kMins = !kSigned;

  template <std::size_t kTokens>
  static void add(const std::byte* band, const std::int8_t* codes, std::size_t x_stride,
                  ShortSums (&sums)[kTokens]) {
    prefetch(band);
    prefetch(band + 40);
    int8x16_t w[2][4];
    kSigned ? load_signed_five_bits(band, w) : load_unsigned_five_bits(band, w);
#pragma GCC unroll 2
    for (std::size_t half = 0; half < 2; ++half) {
#pragma GCC unroll 4
      for (std::size_t t = 0; t < kTokens; ++t) {
        sums[t].add(w[half], vld1q_s8(codes + t * x_stride + 16 * half));
      }
    }
  }
};

struct Q5_0 : GroupTiles<Q5Products<true>> {
  static constexpr std::string_view name = "neon";
};

struct Q5_1 : GroupTiles<Q5Products<false>> {
  static constexpr std::string_view name = "neon";
};

struct Q5_K : KTiles<Q5Products<false>> {
  static constexpr std::string_view name = "neon";
};

}  // namespace kernels::neon
}  // namespace MAMBA2_ISA
}  // namespace mamba2
