// SPDX-License-Identifier: Apache-2.0
// Weights of the types Q4_K and Q6_K of GGUF, in memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "mamba2/kernels/coded_inputs.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels {

/// The sizes that a product of such weights goes by. A weight of Q4_K is d * scale * code - dmin *
/// min, with scale and min in 0..63 for each group of 32 columns, code in 0..15; of Q6_K it is
/// d * scale * (code - 32), with a signed scale for each group of 16 columns, code in 0..63.
///
/// A band of kRows rows is a sequence of super-blocks of 256 columns. A super-block: the rows' d,
/// then their dmin (0 in Q6_K), as FP16; then 4 chunks of 64 columns. A chunk: four times a byte
/// for each row (the scales of its groups, then in Q4_K their mins); then, group after group, the
/// codes. Those of Q4_K: for every 8 columns, row by row, 4 bytes, byte j with the code of column j
/// in its low half and of column j + 4 in its high half. Those of Q6_K: for the columns 0 to 3, for
/// 4 to 7 and for 8 to 11, row by row, 4 bytes, byte j with the code of column j, j + 4 or j + 8 in
/// its low 6 bits; and in the high 2 bits of the three, the highest first, that of column j + 12.
struct KLayout : CodedInputs {
  std::size_t bits;  ///< of a code: 4 or 6

  static constexpr std::size_t kSuperBlock = 256;
  static constexpr std::size_t kChunk = 64;
  static constexpr std::size_t kInputGroup = 32;

  [[nodiscard]] static constexpr KLayout of(std::size_t columns, std::size_t group,
                                            std::size_t bits) {
    return {{detail::round_up(columns, kSuperBlock), group, kInputGroup}, bits};
  }

  [[nodiscard]] constexpr std::size_t group_bytes(std::size_t rows) const {
    return rows * group * bits / 8;
  }
  [[nodiscard]] constexpr std::size_t chunk_bytes(std::size_t rows) const {
    return 4 * rows + kChunk / group * group_bytes(rows);
  }
  [[nodiscard]] constexpr std::size_t super_block_bytes(std::size_t rows) const {
    return 2 * sizeof(std::uint16_t) * rows + kSuperBlock / kChunk * chunk_bytes(rows);
  }
  [[nodiscard]] constexpr std::size_t band_bytes(std::size_t rows) const {
    return cols / kSuperBlock * super_block_bytes(rows);
  }

  /// For Q4_K the sums of an input are floats: those of its values, scale and all.
  [[nodiscard]] const float* value_sums(const std::byte* input) const {
    return scales(input) + input_groups();
  }
};

}  // namespace kernels
}  // namespace MAMBA2_ISA
}  // namespace mamba2
