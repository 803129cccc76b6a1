// SPDX-License-Identifier: Apache-2.0
// IQ4_NL and IQ4_XS products for cores without dot product instructions (Armv8.0): values are
// looked up, the rest is as in Q8_0.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mamba2/formats/blocks.hpp"
#include "mamba2/kernels/neon/group_tiles.hpp"
#include "mamba2/kernels/neon/int8.hpp"
#include "mamba2/kernels/neon/k_tiles.hpp"
#include "mamba2/kernels/neon/q8_0.hpp"
#include "mamba2/kernels/neon/tile.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::neon {

/// The values of 16 columns, 4 to a register.
inline void load_iq4_values(const std::byte* from, int8x16_t (&w)[4]) {
  const int8x16_t values = vld1q_s8(detail::kIq4Values.data());
  const auto* codes = reinterpret_cast<const std::uint8_t*>(from);
  const uint8x16_t columns_0 = vld1q_u8(codes);
  const uint8x16_t columns_8 = vld1q_u8(codes + 16);
  const uint8x16_t low = vdupq_n_u8(15);
  w[0] = vqtbl1q_s8(values, vandq_u8(columns_0, low));
  w[1] = vqtbl1q_s8(values, vshrq_n_u8(columns_0, 4));
  w[2] = vqtbl1q_s8(values, vandq_u8(columns_8, low));
  w[3] = vqtbl1q_s8(values, vshrq_n_u8(columns_8, 4));
}

struct IQ4Products : Q8_0Products {
  static constexpr std::size_t kGroup = 32;
  static constexpr std::size_t kBits = 4;
  static constexpr std::int32_t kBias = 0;

  template <std::size_t kTokens>
  static void add(const std::byte* band, const std::int8_t* codes, std::size_t x_stride,
                  Int8::Sums (&sums)[1][kTokens]) {
    prefetch(band);
#pragma GCC unroll 2
    for (std::size_t first = 0; first < 32; first += 16) {
      int8x16_t w[4];
      load_iq4_values(band + 2 * first, w);
#pragma GCC unroll 4
      for (std::size_t t = 0; t < kTokens; ++t) {
        const int8x16_t v = vld1q_s8(codes + t * x_stride + first);
        sums[0][t].add(w[0], w[1], broadcast<0>(v), broadcast<1>(v));
        sums[0][t].add(w[2], w[3], broadcast<2>(v), broadcast<3>(v));
      }
    }
  }
};

struct IQ4_NL : GroupTiles<IQ4Products> {
  static constexpr std::string_view name = "neon";
};

struct IQ4_XS : KTiles<IQ4Products> {
  static constexpr std::string_view name = "neon";
};

}  // namespace kernels::neon
}  // namespace MAMBA2_ISA
}  // namespace mamba2
