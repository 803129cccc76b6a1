// SPDX-License-Identifier: Apache-2.0
// Q8_0 products with SDOT by element: 4 rows x 4 columns of weights times 4 codes of a token.
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

template <class Dot = DotProducts>
struct Q8_0Products : Dot {
  template <std::size_t kTokens, std::size_t kChains>
  static void add(const std::byte* band, const std::int8_t* codes, std::size_t x_stride,
                  int32x4_t (&sums)[kTokens][kChains]) {
#pragma GCC unroll 2
    for (std::size_t first = 0; first < 32; first += 16) {
      const std::byte* weights = band + 4 * first;
      neon::prefetch(weights);
      int8x16_t w[4];
#pragma GCC unroll 4
      for (std::size_t j = 0; j < 4; ++j) {
        w[j] = vld1q_s8(reinterpret_cast<const std::int8_t*>(weights) + 16 * j);
      }
      Dot::dot(w, codes + first, x_stride, sums);
      neon::fence(sums);
    }
    neon::pin(sums);
  }
};

struct Q8_0 : neon::GroupTiles<Q8_0Products<>> {
  static constexpr std::string_view name = "neon_dotprod";
};

}  // namespace kernels::neon_dotprod
}  // namespace MAMBA2_ISA
}  // namespace mamba2
