// SPDX-License-Identifier: Apache-2.0
// Q4_1 products for cores without dot product instructions (Armv8.0): those of Q4_K, with a scale
// and a minimum for each group of columns.
#pragma once

#include <string_view>

#include "mamba2/kernels/neon/group_tiles.hpp"
#include "mamba2/kernels/neon/q4_k.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::neon {

struct Q4_1 : GroupTiles<Q4KProducts> {
  static constexpr std::string_view name = "neon";
};

}  // namespace kernels::neon
}  // namespace MAMBA2_ISA
}  // namespace mamba2
