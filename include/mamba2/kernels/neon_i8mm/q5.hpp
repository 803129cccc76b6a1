// SPDX-License-Identifier: Apache-2.0
// Q5_0, Q5_1 and Q5_K products with SMMLA, for many tokens; few go by SDOT.
#pragma once

#include <string_view>

#include "mamba2/kernels/neon/group_tiles.hpp"
#include "mamba2/kernels/neon/k_tiles.hpp"
#include "mamba2/kernels/neon_dotprod/q5.hpp"
#include "mamba2/kernels/neon_i8mm/matrices.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::neon_i8mm {

struct Q5_0 : neon::GroupTiles<neon_dotprod::Q5Products<true, MatrixProducts>> {
  static constexpr std::string_view name = "neon_i8mm";
};

struct Q5_1 : neon::GroupTiles<neon_dotprod::Q5Products<false, MatrixProducts>> {
  static constexpr std::string_view name = "neon_i8mm";
};

struct Q5_K : neon::KTiles<neon_dotprod::Q5Products<false, MatrixProducts>> {
  static constexpr std::string_view name = "neon_i8mm";
};

}  // namespace kernels::neon_i8mm
}  // namespace MAMBA2_ISA
}  // namespace mamba2
