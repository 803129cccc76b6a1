// SPDX-License-Identifier: Apache-2.0
// Weights of the types Q4_K, Q5_K, Q6_K and IQ4_XS of GGUF, in memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "mamba2/kernels/coded_inputs.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels {

/// The sizes that a product of such weights goes by. A weight of Q4_K and Q5_K is d * scale * code
/// - dmin * min, with scale and min in 0..63 for each group of 32 columns, code in 0..15 or 0..31;
/// of Q6_K it is d * scale * (code - 32), with a signed scale for each group of 16 columns, code in
/// 0..63; of IQ4_XS d * scale * the value of the code, with a signed scale for 32 columns.
///
/// A band of kRows rows is a sequence of super-blocks of 256 columns. A super-block: the rows' d,
/// then their dmin (0 without minima), as FP16; then 4 chunks of 64 columns. A chunk: four times a
/// byte for each row (the scales of its groups, then their mins, if there are any); then, group
/// after group, the codes: quad after quad (packed_codes.hpp), each row by row.
struct KLayout : CodedInputs {
  std::size_t bits;  ///< of a code: 4, 5 or 6

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
};

}  // namespace kernels
}  // namespace MAMBA2_ISA
}  // namespace mamba2
