// SPDX-License-Identifier: Apache-2.0
// Q5_0, Q5_1 and Q5_K products with SDOT by element: 4 rows x 4 columns of weights times 4 codes of
// a token.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mamba2/kernels/neon/five_bits.hpp"
#include "mamba2/kernels/neon/group_tiles.hpp"
#include "mamba2/kernels/neon/k_tiles.hpp"
#include "mamba2/kernels/neon/tile.hpp"
#include "mamba2/kernels/neon_dotprod/dot.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::neon_dotprod {

/// kSigned: whether codes are, and there are no minima. They count 8 times then: in the high bits
/// of a byte they are numbers of 8 bits without more ado, as in INT4.
template <bool kSigned, class Dot = DotProducts>
struct Q5Products : Dot {
  static constexpr float kUnit = kSigned ? 8.0F : 1.0F;
  static constexpr std::size_t kGroup = 32;
  static constexpr std::size_t kBits = 5;
  static constexpr std::int32_t kBias = 0;
  static constexpr bool kMins = !kSigned;

  template <std::size_t kTokens, std::size_t kChains>
  static void add(const std::byte* band, const std::int8_t* codes, std::size_t x_stride,
                  int32x4_t (&sums)[kTokens][kChains]) {
    neon::prefetch(band);
    neon::prefetch(band + 40);
    int8x16_t w[2][4];
    kSigned ? neon::load_scaled_five_bits(band, w) : neon::load_unsigned_five_bits(band, w);
    Dot::dot(w[0], codes, x_stride, sums);
    neon::fence(sums);
    Dot::dot(w[1], codes + 16, x_stride, sums);
    neon::fence(sums);
    neon::pin(sums);
  }
};

struct Q5_0 : neon::GroupTiles<Q5Products<true>> {
  static constexpr std::string_view name = "neon_dotprod";
};

struct Q5_1 : neon::GroupTiles<Q5Products<false>> {
  static constexpr std::string_view name = "neon_dotprod";
};

struct Q5_K : neon::KTiles<Q5Products<false>> {
  static constexpr std::string_view name = "neon_dotprod";
};

}  // namespace kernels::neon_dotprod
}  // namespace MAMBA2_ISA
}  // namespace mamba2
