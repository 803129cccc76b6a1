// SPDX-License-Identifier: Apache-2.0
// INT4 products with SDOT by element: 4 rows x 4 columns of weights times 4 codes of a token.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mamba2/kernels/neon/group_tiles.hpp"
#include "mamba2/kernels/neon/tile.hpp"
#include "mamba2/kernels/neon_dotprod/dot.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::neon_dotprod {

/// Weights count 16 times: in the high half of a byte a code is a signed number of 8 bits without
/// more ado, and the 16 comes off again by a multiplication at the end.
template <class Dot = DotProducts>
struct Int4Products : Dot {
  static constexpr float kUnit = 16.0F;

  template <std::size_t kTokens, std::size_t kChains>
  static void add(const std::byte* band, const std::int8_t* codes, std::size_t x_stride,
                  int32x4_t (&sums)[kTokens][kChains]) {
    neon::prefetch(band);
    add_half(band, codes, x_stride, sums);
    neon::fence(sums);
    add_half(band + 32, codes + 16, x_stride, sums);
    neon::fence(sums);
    neon::pin(sums);
  }

 private:
  template <std::size_t kTokens, std::size_t kChains>
  static void add_half(const std::byte* band, const std::int8_t* codes, std::size_t x_stride,
                       int32x4_t (&sums)[kTokens][kChains]) {
    const auto* weights = reinterpret_cast<const std::uint8_t*>(band);
    const uint8x16_t columns_0 = vld1q_u8(weights);
    const uint8x16_t columns_8 = vld1q_u8(weights + 16);
    const uint8x16_t high = vdupq_n_u8(0xF0);
    const int8x16_t w[4] = {vreinterpretq_s8_u8(vshlq_n_u8(columns_0, 4)),
                            vreinterpretq_s8_u8(vandq_u8(columns_0, high)),
                            vreinterpretq_s8_u8(vshlq_n_u8(columns_8, 4)),
                            vreinterpretq_s8_u8(vandq_u8(columns_8, high))};
    Dot::dot(w, codes, x_stride, sums);
  }
};

struct Int4 : neon::GroupTiles<Int4Products<>> {
  static constexpr std::string_view name = "neon_dotprod";
};

}  // namespace kernels::neon_dotprod
}  // namespace MAMBA2_ISA
}  // namespace mamba2
