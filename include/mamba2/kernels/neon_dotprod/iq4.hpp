// SPDX-License-Identifier: Apache-2.0
// IQ4_NL and IQ4_XS products: values are looked up, and multiplied with SDOT by element.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mamba2/kernels/neon/group_tiles.hpp"
#include "mamba2/kernels/neon/iq4.hpp"
#include "mamba2/kernels/neon/k_tiles.hpp"
#include "mamba2/kernels/neon/tile.hpp"
#include "mamba2/kernels/neon_dotprod/dot.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::neon_dotprod {

template <class Dot = DotProducts>
struct IQ4Products : Dot {
  static constexpr std::size_t kGroup = 32;
  static constexpr std::size_t kBits = 4;
  static constexpr std::int32_t kBias = 0;

  template <std::size_t kTokens, std::size_t kChains>
  static void add(const std::byte* band, const std::int8_t* codes, std::size_t x_stride,
                  int32x4_t (&sums)[kTokens][kChains]) {
    neon::prefetch(band);
#pragma GCC unroll 2
    for (std::size_t first = 0; first < 32; first += 16) {
      int8x16_t w[4];
      neon::load_iq4_values(band + 2 * first, w);
      Dot::dot(w, codes + first, x_stride, sums);
      neon::fence(sums);
    }
    neon::pin(sums);
  }
};

struct IQ4_NL : neon::GroupTiles<IQ4Products<>> {
  static constexpr std::string_view name = "neon_dotprod";
};

struct IQ4_XS : neon::KTiles<IQ4Products<>> {
  static constexpr std::string_view name = "neon_dotprod";
};

}  // namespace kernels::neon_dotprod
}  // namespace MAMBA2_ISA
}  // namespace mamba2
