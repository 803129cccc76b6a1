// SPDX-License-Identifier: Apache-2.0
// Q4_1 products without any vector instruction: what the others are compared with.
#pragma once

#include <string_view>

#include "mamba2/kernels/scalar/coded_blocks.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::scalar {

struct Q4_1 : CodedBlocks<4, true, unsigned_code> {
  static constexpr std::string_view name = "scalar";
};

}  // namespace kernels::scalar
}  // namespace MAMBA2_ISA
}  // namespace mamba2
