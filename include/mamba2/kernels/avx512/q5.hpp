// SPDX-License-Identifier: Apache-2.0
// Q5_0, Q5_1 and Q5_K products.
#pragma once

#include <string_view>

#include "mamba2/kernels/avx512/few_bits.hpp"
#include "mamba2/kernels/x86/group_tiles.hpp"
#include "mamba2/kernels/x86/k_tiles.hpp"
#include "mamba2/kernels/x86/pair_products.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::avx512 {

struct Q5_0 : GroupTiles<FiveBitProducts<Pairs>> {
  static constexpr std::string_view name = "avx512";
};

struct Q5_1 : GroupTiles<WithMins<FiveBitProducts<Pairs>>> {
  static constexpr std::string_view name = "avx512";
};

struct Q5_K : KTiles<WithMins<FiveBitProducts<Pairs>>> {
  static constexpr std::string_view name = "avx512";
};

}  // namespace kernels::avx512
}  // namespace MAMBA2_ISA
}  // namespace mamba2
