// SPDX-License-Identifier: Apache-2.0
// IQ4_NL and IQ4_XS products without any vector instruction: what the others are compared with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mamba2/core/views.hpp"
#include "mamba2/formats/blocks.hpp"
#include "mamba2/kernels/k_layout.hpp"
#include "mamba2/kernels/scalar/coded_blocks.hpp"
#include "mamba2/kernels/scalar/k_groups.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::scalar {

struct IQ4_NL : CodedBlocks<4, false, detail::iq4_value> {
  static constexpr std::string_view name = "scalar";
};

struct IQ4_XS {
  static constexpr std::string_view name = "scalar";
  static constexpr std::size_t kRows = kKRows;

  /// y = x m^T: bands of a matrix m with `rows` rows, x made ready, y (x.tokens, rows).
  static void multiply(const KLayout& layout, const std::byte* bands, std::size_t rows,
                       const Inputs& x, MutableRows y) {
    multiply_k(layout, bands, rows, x, y,
               [&layout](const KGroup& group, const std::byte* input, std::size_t g) {
                 const std::int8_t* codes = KLayout::codes(input) + g * layout.group;
                 std::int32_t sum = 0;
                 for (std::size_t k = 0; k < layout.group; ++k) {
                   sum += detail::iq4_value(group.code<4>(k)) * codes[k];
                 }
                 const float scale = group.d * static_cast<float>(group.first);
                 return scale * layout.scales(input)[g] * static_cast<float>(sum);
               });
  }
};

}  // namespace kernels::scalar
}  // namespace MAMBA2_ISA
}  // namespace mamba2
