// SPDX-License-Identifier: Apache-2.0
// Q4_1 products with SMMLA, for many tokens; few go by SDOT.
#pragma once

#include <string_view>

#include "mamba2/kernels/neon/group_tiles.hpp"
#include "mamba2/kernels/neon_dotprod/q4_k.hpp"
#include "mamba2/kernels/neon_i8mm/matrices.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::neon_i8mm {

struct Q4_1 : neon::GroupTiles<neon_dotprod::Q4KProducts<MatrixProducts>> {
  static constexpr std::string_view name = "neon_i8mm";
};

}  // namespace kernels::neon_i8mm
}  // namespace MAMBA2_ISA
}  // namespace mamba2
