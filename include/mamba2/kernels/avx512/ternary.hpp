// SPDX-License-Identifier: Apache-2.0
// Products with weights of 2 bits.
#pragma once

#include <string_view>

#include "mamba2/kernels/avx512/few_bits.hpp"
#include "mamba2/kernels/x86/group_tiles.hpp"
#include "mamba2/kernels/x86/int8_tiles.hpp"
#include "mamba2/kernels/x86/pair_products.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::avx512 {

struct Ternary : Int8Tiles<TwoBitProducts<Pairs>> {
  static constexpr std::string_view name = "avx512";
};

struct Q2_0 : GroupTiles<TwoBitProducts<Pairs>> {
  static constexpr std::string_view name = "avx512";
};

}  // namespace kernels::avx512
}  // namespace MAMBA2_ISA
}  // namespace mamba2
