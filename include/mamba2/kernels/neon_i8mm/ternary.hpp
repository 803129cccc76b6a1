// SPDX-License-Identifier: Apache-2.0
// Products with weights of 2 bits by SMMLA, for many tokens; few go by SDOT.
#pragma once

#include <string_view>

#include "mamba2/kernels/neon/group_tiles.hpp"
#include "mamba2/kernels/neon/two_bits.hpp"
#include "mamba2/kernels/neon_dotprod/ternary.hpp"
#include "mamba2/kernels/neon_i8mm/matrices.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::neon_i8mm {

struct Ternary : neon::TernaryTiles<neon_dotprod::TernaryProducts<MatrixProducts>> {
  static constexpr std::string_view name = "neon_i8mm";
};

struct Q2_0 : neon::GroupTiles<neon_dotprod::TernaryProducts<MatrixProducts>> {
  static constexpr std::string_view name = "neon_i8mm";
  static constexpr int kBias = 1;
};

}  // namespace kernels::neon_i8mm
}  // namespace MAMBA2_ISA
}  // namespace mamba2
