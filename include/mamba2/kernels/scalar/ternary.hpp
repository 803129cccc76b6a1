// SPDX-License-Identifier: Apache-2.0
// Products with weights of 2 bits without any vector instruction: what the others are compared
// with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mamba2/core/half.hpp"
#include "mamba2/core/views.hpp"
#include "mamba2/kernels/group_layout.hpp"
#include "mamba2/kernels/int8_layout.hpp"
#include "mamba2/kernels/scalar/group_rows.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::scalar {

/// The sum over `columns` columns of what codes stand for, times inputs; weights: those of a row in
/// a band of kRows, from a multiple of 16 columns on.
template <std::size_t kRows>
[[nodiscard]] std::int32_t dot_two_bits(const std::byte* weights, const std::int8_t* inputs,
                                        std::size_t columns) {
  std::int32_t sum = 0;
  for (std::size_t k = 0; k < columns; ++k) {
    const auto byte = static_cast<int>(weights[k / 16 * (4 * kRows) + k % 4]);
    sum += ((byte >> k % 16 / 4 * 2 & 3) - 1) * inputs[k];
  }
  return sum;
}

/// Weights with a scale for each row.
struct Ternary {
  static constexpr std::string_view name = "scalar";
  static constexpr std::size_t kRows = 4;

  /// y = x m^T: bands of a matrix m with `rows` rows, x made ready, y (x.tokens, rows).
  static void multiply(const Int8Layout& layout, const std::byte* bands, std::size_t rows,
                       const Inputs& x, MutableRows y) {
    for (std::size_t r = 0; r < rows; ++r) {
      const std::byte* band = bands + r / kRows * layout.band_bytes(kRows);
      const auto* scales =
          reinterpret_cast<const float*>(band + layout.code_bytes(kRows, layout.cols));
      for (std::size_t t = 0; t < x.tokens; ++t) {
        const std::int32_t sum =
            dot_two_bits<kRows>(band + r % kRows * 4, Int8Layout::codes(x[t]), layout.cols);
        y[t][r] = scales[r % kRows] * (*layout.scales(x[t]) * static_cast<float>(sum));
      }
    }
  }
};

/// Weights with a scale for each group of columns.
struct Q2_0 {
  static constexpr std::string_view name = "scalar";
  static constexpr std::size_t kRows = 4;
  static constexpr int kBias = 1;

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
    const auto* scales =
        reinterpret_cast<const std::uint16_t*>(chunk + layout.code_bytes(kRows, layout.chunk()));
    const std::int32_t sum = dot_two_bits<kRows>(chunk + layout.code_bytes(kRows, begin) + r * 4,
                                                 GroupLayout::codes(input) + first, layout.group);
    return fp16_to_float(scales[begin / layout.group * kRows + r]) *
           layout.scales(input)[first / layout.input_group] * static_cast<float>(sum);
  }
};

}  // namespace kernels::scalar
}  // namespace MAMBA2_ISA
}  // namespace mamba2
