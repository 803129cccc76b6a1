// SPDX-License-Identifier: Apache-2.0
// Q4_K products with SDOT by element: 4 rows x 4 columns of weights times 4 codes of a token.
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

template <class Dot = DotProducts>
struct Q4KProducts : Dot {
  static constexpr std::size_t kGroup = 32;
  static constexpr std::size_t kBits = 4;
  static constexpr std::int32_t kBias = 0;
  static constexpr bool kMins = true;

  template <std::size_t kTokens, std::size_t kChains>
  static void add(const std::byte* band, const std::int8_t* codes, std::size_t x_stride,
                  int32x4_t (&sums)[kTokens][kChains]) {
    neon::prefetch(band);
#pragma GCC unroll 2
    for (std::size_t first = 0; first < kGroup; first += 16) {
      int8x16_t w[4];
      neon::load_nibbles(band + 2 * first, w);
      Dot::dot(w, codes + first, x_stride, sums);
      neon::pin(sums);
    }
  }
};

struct Q4_K : neon::KTiles<Q4KProducts<>> {
  static constexpr std::string_view name = "neon_dotprod";
};

}  // namespace kernels::neon_dotprod
}  // namespace MAMBA2_ISA
}  // namespace mamba2
