// SPDX-License-Identifier: Apache-2.0
// Q4_1 products: those of Q4_K, with a scale and a minimum for each group of columns.
#pragma once

#include <string_view>

#include "mamba2/kernels/neon/group_tiles.hpp"
#include "mamba2/kernels/neon_dotprod/q4_k.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::neon_dotprod {

struct Q4_1 : neon::GroupTiles<Q4KProducts<>> {
  static constexpr std::string_view name = "neon_dotprod";
};

}  // namespace kernels::neon_dotprod
}  // namespace MAMBA2_ISA
}  // namespace mamba2
