// SPDX-License-Identifier: Apache-2.0
// INT4 weights with their INT8 activations in memory.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "mamba2/core/views.hpp"

namespace mamba2::inline MAMBA2_ISA::kernels {

/// The sizes that a product of INT4 weights and INT8 activations goes by.
///
/// A band of kRows rows is a sequence of chunks of columns. A chunk: for every 8 columns, row by
/// row, 4 bytes, byte j with the code of column j in its low half and of column j + 4 in its high
/// half; then for every group of columns the rows' scales, kRows FP16 numbers. A code is
/// round(w / scale) in -8..7, plus the kernel's kBias, modulo 16.
///
/// An input: cols codes in -127..127; then, from a 64-byte boundary on, a float for each
/// input_group columns, their scale; then an int32 for each `group` columns, the sum of their
/// codes, by which a kernel with kBias corrects. Padding columns have code 0.
struct Int4Layout {
  std::size_t cols;         ///< padded to whole chunks
  std::size_t group;        ///< columns that share a weight scale: 32, 64 or 128
  std::size_t input_group;  ///< columns that share an activation scale: `group`, or all

  [[nodiscard]] static constexpr std::size_t chunk_of(std::size_t group) {
    return std::max<std::size_t>(group, 64);
  }
  [[nodiscard]] static constexpr Int4Layout of(std::size_t columns, std::size_t group,
                                               bool grouped_inputs) {
    const std::size_t cols = detail::round_up(columns, chunk_of(group));
    return {cols, group, grouped_inputs ? group : cols};
  }

  [[nodiscard]] constexpr std::size_t chunk() const { return chunk_of(group); }
  [[nodiscard]] constexpr std::size_t groups() const { return cols / group; }
  [[nodiscard]] constexpr std::size_t input_groups() const { return cols / input_group; }
  [[nodiscard]] constexpr std::size_t chunk_bytes(std::size_t rows) const {
    return rows * (chunk() / 2 + chunk() / group * sizeof(std::uint16_t));
  }
  [[nodiscard]] constexpr std::size_t band_bytes(std::size_t rows) const {
    return cols / chunk() * chunk_bytes(rows);
  }
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
};

}  // namespace mamba2::inline MAMBA2_ISA::kernels
