// SPDX-License-Identifier: Apache-2.0
// INT8 activations for products with weights in groups of columns.
#pragma once

#include <cstddef>
#include <cstdint>

#include "mamba2/core/views.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels {

/// An input: cols codes in -127..127; then, from a 64-byte boundary on, a float for each
/// input_group columns, their scale; then an int32 for each `group` columns, the sum of their
/// codes. Padding columns have code 0.
struct CodedInputs {
  std::size_t cols;         ///< padded as the weights are
  std::size_t group;        ///< columns of a sum
  std::size_t input_group;  ///< columns that share a scale: one or several groups

  [[nodiscard]] constexpr std::size_t groups() const { return cols / group; }
  [[nodiscard]] constexpr std::size_t input_groups() const { return cols / input_group; }
  [[nodiscard]] constexpr std::size_t scales_offset() const { return detail::round_up(cols, 64); }
  [[nodiscard]] constexpr std::size_t input_bytes() const {
    return detail::round_up(
        scales_offset() + input_groups() * sizeof(float) + groups() * sizeof(std::int32_t), 64);
  }

  [[nodiscard]] static const std::int8_t* codes(const std::byte* input) {
    return reinterpret_cast<const std::int8_t*>(input);
  }
  [[nodiscard]] const float* scales(const std::byte* input) const {
    return reinterpret_cast<const float*>(input + scales_offset());
  }
  [[nodiscard]] const std::int32_t* sums(const std::byte* input) const {
    return reinterpret_cast<const std::int32_t*>(scales(input) + input_groups());
  }
  /// For weights with minima the sums of an input are floats: those of its values, scale and all.
  [[nodiscard]] const float* value_sums(const std::byte* input) const {
    return scales(input) + input_groups();
  }
};

}  // namespace kernels
}  // namespace MAMBA2_ISA
}  // namespace mamba2
