// SPDX-License-Identifier: Apache-2.0
// Q8_0 products: those of INT8, with a scale for each group of columns.
#pragma once

#include <string_view>

#include "mamba2/kernels/avx512_vnni/int8.hpp"
#include "mamba2/kernels/x86/group_tiles.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::avx512_vnni {

struct Q8_0 : GroupTiles<Int8Products> {
  static constexpr std::string_view name = "avx512_vnni";
};

}  // namespace kernels::avx512_vnni
}  // namespace MAMBA2_ISA
}  // namespace mamba2
