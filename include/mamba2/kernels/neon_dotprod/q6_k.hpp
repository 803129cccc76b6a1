// SPDX-License-Identifier: Apache-2.0
// Q6_K products with SDOT by element: 4 rows x 4 columns of weights times 4 codes of a token.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mamba2/kernels/neon/k_tiles.hpp"
#include "mamba2/kernels/neon/tile.hpp"
#include "mamba2/kernels/neon_dotprod/dot.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::neon_dotprod {

/// Sums are far from 2^22: 32 * 16 * 127 where they start, and 63 * 16 * 127 more.
template <class Dot = DotProducts>
struct Q6KProducts : Dot {
  static constexpr std::size_t kGroup = 16;
  static constexpr std::size_t kBits = 6;
  static constexpr std::int32_t kBias = 32;
  static constexpr bool kMins = false;

  template <std::size_t kTokens, std::size_t kChains>
  static void add(const std::byte* band, const std::int8_t* codes, std::size_t x_stride,
                  int32x4_t (&sums)[kTokens][kChains]) {
    neon::prefetch(band);
    int8x16_t w[4];
    neon::load_six_bits(band, w);
    Dot::dot(w, codes, x_stride, sums);
    neon::pin(sums);
  }
};

struct Q6_K : neon::KTiles<Q6KProducts<>> {
  static constexpr std::string_view name = "neon_dotprod";
};

}  // namespace kernels::neon_dotprod
}  // namespace MAMBA2_ISA
}  // namespace mamba2
