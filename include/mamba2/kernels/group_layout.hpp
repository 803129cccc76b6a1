// SPDX-License-Identifier: Apache-2.0
// Weights of 2, 4 or 8 bits with a scale for each group of columns, in memory.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "mamba2/kernels/coded_inputs.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels {

/// The sizes that a product of such weights goes by.
///
/// A band of kRows rows is a sequence of chunks of columns. A chunk: for every 8 columns (of 4
/// bits), row by row, 4 bytes, byte j with the code of column j in its low half and of column j + 4
/// in its high half; or (of 8 bits) for every 4 columns, row by row, their 4 codes; or (of 2 bits)
/// for every 16 columns, row by row, 4 bytes, byte j with the codes of the columns j, j + 4, j + 8
/// and j + 12, the first in its low bits. Then for every group of columns the rows' scales, kRows
/// FP16 numbers. A code is round(w / scale), signed, plus the kernel's kBias, modulo 16 or 256; of
/// 2 bits w / scale in -1..2, plus 1.
struct GroupLayout : CodedInputs {
  std::size_t bits;  ///< of a code: 2, 4 or 8

  [[nodiscard]] static constexpr std::size_t chunk_of(std::size_t group) {
    return std::max<std::size_t>(group, 64);
  }
  /// columns: of the matrix. group: that share a weight scale, 32, 64 or 128. grouped_inputs:
  /// whether as many activations share one, too, and not all of them.
  [[nodiscard]] static constexpr GroupLayout of(std::size_t columns, std::size_t group,
                                                bool grouped_inputs, std::size_t bits) {
    const std::size_t cols = detail::round_up(columns, chunk_of(group));
    return {{cols, group, grouped_inputs ? group : cols}, bits};
  }

  [[nodiscard]] constexpr std::size_t chunk() const { return chunk_of(group); }
  /// Bytes of the codes of some columns.
  [[nodiscard]] constexpr std::size_t code_bytes(std::size_t rows, std::size_t columns) const {
    return rows * columns * bits / 8;
  }
  [[nodiscard]] constexpr std::size_t chunk_bytes(std::size_t rows) const {
    return code_bytes(rows, chunk()) + rows * (chunk() / group) * sizeof(std::uint16_t);
  }
  [[nodiscard]] constexpr std::size_t band_bytes(std::size_t rows) const {
    return cols / chunk() * chunk_bytes(rows);
  }
};

}  // namespace kernels
}  // namespace MAMBA2_ISA
}  // namespace mamba2
