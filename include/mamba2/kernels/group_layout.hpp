// SPDX-License-Identifier: Apache-2.0
// Weights of 2, 4, 5 or 8 bits with a scale for each group of columns, in memory.
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
/// A band of kRows rows is a sequence of chunks of columns. A chunk: quad after quad
/// (packed_codes.hpp; of 8 bits one is 4 codes), each row by row, the codes. Then for every group
/// of columns the rows' scales, kRows FP16 numbers, and if there are any their minima. A code is
/// round(w / scale), signed, plus the kernel's kBias, modulo 16, 32 or 256; of 2 bits w / scale in
/// -1..2, plus 1; with minima, and where it is the index of a value, it is that of the file.
struct GroupLayout : CodedInputs {
  std::size_t bits;        ///< of a code: 2, 4, 5 or 8
  std::size_t halves = 1;  ///< FP16 numbers for a group of a row: 2 if there are minima

  [[nodiscard]] static constexpr std::size_t chunk_of(std::size_t group) {
    return std::max<std::size_t>(group, 64);
  }
  /// columns: of the matrix. group: that share a weight scale, 32, 64 or 128. grouped_inputs:
  /// whether as many activations share one, too, and not all of them. halves: as below.
  [[nodiscard]] static constexpr GroupLayout of(std::size_t columns, std::size_t group,
                                                bool grouped_inputs, std::size_t bits,
                                                std::size_t halves = 1) {
    const std::size_t cols = detail::round_up(columns, chunk_of(group));
    return {{cols, group, grouped_inputs ? group : cols}, bits, halves};
  }

  [[nodiscard]] constexpr std::size_t chunk() const { return chunk_of(group); }
  /// Bytes of the codes of some columns.
  [[nodiscard]] constexpr std::size_t code_bytes(std::size_t rows, std::size_t columns) const {
    return rows * columns * bits / 8;
  }
  [[nodiscard]] constexpr std::size_t chunk_bytes(std::size_t rows) const {
    return code_bytes(rows, chunk()) + halves * rows * (chunk() / group) * sizeof(std::uint16_t);
  }
  [[nodiscard]] constexpr std::size_t band_bytes(std::size_t rows) const {
    return cols / chunk() * chunk_bytes(rows);
  }
};

}  // namespace kernels
}  // namespace MAMBA2_ISA
}  // namespace mamba2
