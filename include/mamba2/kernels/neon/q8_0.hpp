// SPDX-License-Identifier: Apache-2.0
// Q8_0 products for cores without dot product instructions (Armv8.0): those of INT8, with a scale
// for each group of columns.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mamba2/kernels/neon/group_tiles.hpp"
#include "mamba2/kernels/neon/int8.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::neon {

struct Q8_0Products {
  static constexpr std::size_t kTokens = 4;
  static constexpr float kUnit = 1.0F;
  static constexpr std::int32_t kBias = 0;
  static constexpr bool kMins = false;
  template <std::size_t kTokens, std::size_t kGroup>
  using Sums = Int8::Sums[1][kTokens];

  template <std::size_t kTokens>
  static void clear(Int8::Sums (&sums)[1][kTokens]) {
#pragma GCC unroll 4
    for (std::size_t t = 0; t < kTokens; ++t)
      sums[0][t] = Int8::Sums{vdupq_n_s32(0), vdupq_n_s32(0)};
  }
  /// The same: no codes have a bias here.
  template <std::size_t kTokens>
  static void start(const std::int32_t (&)[kTokens], Int8::Sums (&sums)[1][kTokens]) {
    clear(sums);
  }
  template <std::size_t kTokens>
  static void add(const std::byte* band, const std::int8_t* codes, std::size_t x_stride,
                  Int8::Sums (&sums)[1][kTokens]) {
    const auto* x = reinterpret_cast<const std::byte*>(codes);
    Int8::add<1, kTokens>(band, 0, x, x_stride, sums);
    Int8::add<1, kTokens>(band + 64, 0, x + 16, x_stride, sums);
  }
  template <std::size_t kTokens>
  static float32x4_t to_float(const Int8::Sums (&sums)[1][kTokens], std::size_t t) {
    return vcvtq_f32_s32(sums[0][t].total());
  }
};

struct Q8_0 : GroupTiles<Q8_0Products> {
  static constexpr std::string_view name = "neon";
};

}  // namespace kernels::neon
}  // namespace MAMBA2_ISA
}  // namespace mamba2
