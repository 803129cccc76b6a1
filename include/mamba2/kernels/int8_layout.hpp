// SPDX-License-Identifier: Apache-2.0
// Weights of 8 or 2 bits with a scale for each row, and INT8 activations, in memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "mamba2/core/views.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels {

/// The sizes that a product of such weights and INT8 activations goes by.
///
/// A band of kRows rows: for every 4 columns, row by row, 4 codes; or (of 2 bits) for every 16
/// columns, row by row, 4 bytes, byte j with the codes of the columns j, j + 4, j + 8 and j + 12,
/// the first in its low bits. Then the rows' scales, kRows floats. A code is round(w / scale) in
/// -127..127, plus the kernel's kBias; of 2 bits w / scale in -1..1, plus 1.
///
/// An input: cols codes in -127..127; then, from a 64-byte boundary on, a float for each group of
/// columns, its scale; then an int32 for each group, the sum of its codes, by which a kernel with
/// kBias corrects. Padding columns have code 0.
struct Int8Layout {
  std::size_t cols;      ///< padded to a multiple of kColumns
  std::size_t group;     ///< columns that share an activation scale, a multiple of kColumns or all
  std::size_t bits = 8;  ///< of a code: 8 or 2

  static constexpr std::size_t kColumns = 32;

  /// group = 0: one scale for all columns.
  [[nodiscard]] static constexpr Int8Layout of(std::size_t columns, std::size_t group,
                                               std::size_t bits = 8) {
    const std::size_t cols = detail::round_up(columns, kColumns);
    return {cols, group == 0 || group > cols ? cols : group, bits};
  }

  [[nodiscard]] constexpr std::size_t groups() const { return (cols + group - 1) / group; }
  /// Bytes of the codes of some columns.
  [[nodiscard]] constexpr std::size_t code_bytes(std::size_t rows, std::size_t columns) const {
    return rows * columns * bits / 8;
  }
  [[nodiscard]] constexpr std::size_t band_bytes(std::size_t rows) const {
    return code_bytes(rows, cols) + rows * sizeof(float);
  }
  [[nodiscard]] constexpr std::size_t scales_offset() const { return detail::round_up(cols, 64); }
  [[nodiscard]] constexpr std::size_t input_bytes() const {
    return detail::round_up(scales_offset() + groups() * (sizeof(float) + sizeof(std::int32_t)),
                            64);
  }

  [[nodiscard]] static const std::int8_t* codes(const std::byte* input) {
    return reinterpret_cast<const std::int8_t*>(input);
  }
  [[nodiscard]] const float* scales(const std::byte* input) const {
    return reinterpret_cast<const float*>(input + scales_offset());
  }
  [[nodiscard]] const std::int32_t* sums(const std::byte* input) const {
    return reinterpret_cast<const std::int32_t*>(scales(input) + groups());
  }
};

}  // namespace kernels
}  // namespace MAMBA2_ISA
}  // namespace mamba2
