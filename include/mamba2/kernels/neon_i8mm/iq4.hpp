// SPDX-License-Identifier: Apache-2.0
// IQ4_NL and IQ4_XS products with SMMLA, for many tokens; few go by SDOT.
#pragma once

#include <string_view>

#include "mamba2/kernels/neon/group_tiles.hpp"
#include "mamba2/kernels/neon/k_tiles.hpp"
#include "mamba2/kernels/neon_dotprod/iq4.hpp"
#include "mamba2/kernels/neon_i8mm/matrices.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::neon_i8mm {

struct IQ4_NL : neon::GroupTiles<neon_dotprod::IQ4Products<MatrixProducts>> {
  static constexpr std::string_view name = "neon_i8mm";
};

struct IQ4_XS : neon::KTiles<neon_dotprod::IQ4Products<MatrixProducts>> {
  static constexpr std::string_view name = "neon_i8mm";
};

}  // namespace kernels::neon_i8mm
}  // namespace MAMBA2_ISA
}  // namespace mamba2
