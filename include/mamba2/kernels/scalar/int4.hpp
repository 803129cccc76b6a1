// SPDX-License-Identifier: Apache-2.0
// INT4 products without any vector instruction: what the others are compared with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mamba2/core/half.hpp"
#include "mamba2/core/views.hpp"
#include "mamba2/kernels/group_layout.hpp"
#include "mamba2/kernels/scalar/group_rows.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::scalar {

struct Int4 {
  static constexpr std::string_view name = "scalar";
  static constexpr std::size_t kRows = 4;
  static constexpr int kBias = 0;

  /// y = x m^T: bands of a matrix m with `rows` rows, x made ready, y (x.tokens, rows).
  static void multiply(const GroupLayout& layout, const std::byte* bands, std::size_t rows,
                       const Inputs& x, MutableRows y) {
    multiply_groups<kRows>(layout, bands, rows, x, y, group);
  }

 private:
  static float group(const GroupLayout& layout, const std::byte* band, std::size_t r, std::size_t g,
                     const std::byte* input) {
    const std::size_t first = g * layout.group;
    const std::byte* chunk = band + first / layout.chunk() * layout.chunk_bytes(kRows);
    const std::size_t begin = first % layout.chunk();
    const auto* codes = reinterpret_cast<const std::uint8_t*>(chunk);
    const auto* scales = reinterpret_cast<const std::uint16_t*>(chunk + kRows * layout.chunk() / 2);
    std::int32_t sum = 0;
    for (std::size_t i = 0; i < layout.group; ++i) {
      const std::size_t k = begin + i;
      const int byte = codes[(k / 8 * kRows + r) * 4 + k % 4];
      const int nibble = k % 8 < 4 ? byte & 15 : byte >> 4;
      const int code = nibble < 8 ? nibble : nibble - 16;
      sum += code * GroupLayout::codes(input)[first + i];
    }
    return fp16_to_float(scales[begin / layout.group * kRows + r]) *
           layout.scales(input)[first / layout.input_group] * static_cast<float>(sum);
  }
};

}  // namespace kernels::scalar
}  // namespace MAMBA2_ISA
}  // namespace mamba2
