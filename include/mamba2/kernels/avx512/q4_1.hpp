// SPDX-License-Identifier: Apache-2.0
// Q4_1 products: those of INT4, whose codes are unsigned here.
#pragma once

#include <string_view>

#include "mamba2/kernels/avx512/int4.hpp"
#include "mamba2/kernels/x86/group_tiles.hpp"
#include "mamba2/kernels/x86/k_tiles.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::avx512 {

struct Q4_1 : GroupTiles<WithMins<Int4Products>> {
  static constexpr std::string_view name = "avx512";
};

}  // namespace kernels::avx512
}  // namespace MAMBA2_ISA
}  // namespace mamba2
