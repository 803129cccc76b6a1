// SPDX-License-Identifier: Apache-2.0
// Q8_0 products with SMMLA, for many tokens; few go by SDOT.
#pragma once

#include <string_view>

#include "mamba2/kernels/neon/group_tiles.hpp"
#include "mamba2/kernels/neon_dotprod/q8_0.hpp"
#include "mamba2/kernels/neon_i8mm/matrices.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::neon_i8mm {

struct Q8_0 : neon::GroupTiles<neon_dotprod::Q8_0Products<MatrixProducts>> {
  static constexpr std::string_view name = "neon_i8mm";
};

}  // namespace kernels::neon_i8mm
}  // namespace MAMBA2_ISA
}  // namespace mamba2
