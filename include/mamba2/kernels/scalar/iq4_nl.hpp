// SPDX-License-Identifier: Apache-2.0
// IQ4_NL products without any vector instruction: what the others are compared with.
#pragma once

#include <string_view>

#include "mamba2/formats/blocks.hpp"
#include "mamba2/kernels/scalar/coded_blocks.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::scalar {

struct IQ4_NL : CodedBlocks<4, false, detail::iq4_value> {
  static constexpr std::string_view name = "scalar";
};

}  // namespace kernels::scalar
}  // namespace MAMBA2_ISA
}  // namespace mamba2
