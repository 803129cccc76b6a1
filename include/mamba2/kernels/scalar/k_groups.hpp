// SPDX-License-Identifier: Apache-2.0
// What the scalar products with K types share.
#pragma once

#include <cstddef>
#include <cstdint>

#include "mamba2/core/half.hpp"
#include "mamba2/core/views.hpp"
#include "mamba2/kernels/k_layout.hpp"
#include "mamba2/kernels/packed_codes.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::scalar {

inline constexpr std::size_t kKRows = 4;

/// A group of columns of one row.
struct KGroup {
  const std::uint8_t* codes;  ///< of the group: all rows
  std::size_t row;
  float d;
  float dmin;
  std::int8_t first;   ///< the byte of the group: its scale
  std::int8_t second;  ///< that of two groups further on: its min, if there are any

  KGroup(const KLayout& layout, const std::byte* band, std::size_t row_in_band, std::size_t group)
      : row(row_in_band) {
    const std::size_t column = group * layout.group;
    const std::byte* block =
        band + column / KLayout::kSuperBlock * layout.super_block_bytes(kKRows);
    const auto* halves = reinterpret_cast<const std::uint16_t*>(block);
    d = fp16_to_float(halves[row]);
    dmin = fp16_to_float(halves[kKRows + row]);
    const std::byte* chunk =
        block + 4 * kKRows +
        column % KLayout::kSuperBlock / KLayout::kChunk * layout.chunk_bytes(kKRows);
    const std::size_t index = column % KLayout::kChunk / layout.group;
    const auto* bytes = reinterpret_cast<const std::int8_t*>(chunk);
    first = bytes[index * kKRows + row];
    second = bytes[(index + 2) % 4 * kKRows + row];
    codes = reinterpret_cast<const std::uint8_t*>(chunk + 4 * kKRows +
                                                  index * layout.group_bytes(kKRows));
  }
  /// The code of the group's column k.
  template <std::size_t kBits>
  [[nodiscard]] int code(std::size_t k) const {
    return packed_code<kBits>(
        k, [&](std::size_t i) -> int { return codes[(i * kKRows + row) * 4 + k % 4]; });
  }
};

/// y = x m^T, the sum over all groups of group_sum(KGroup, codes of the input, group).
template <class GroupSum>
void multiply_k(const KLayout& layout, const std::byte* bands, std::size_t rows, const Inputs& x,
                const MutableRows& y, GroupSum group_sum) {
  for (std::size_t r = 0; r < rows; ++r) {
    const std::byte* band = bands + r / kKRows * layout.band_bytes(kKRows);
    for (std::size_t t = 0; t < x.tokens; ++t) {
      float sum = 0.0F;
      for (std::size_t g = 0; g < layout.groups(); ++g) {
        sum += group_sum(KGroup(layout, band, r % kKRows, g), x[t], g);
      }
      y[t][r] = sum;
    }
  }
}

/// The same with minima, for codes of so many bits.
template <std::size_t kBits>
void multiply_k_with_mins(const KLayout& layout, const std::byte* bands, std::size_t rows,
                          const Inputs& x, const MutableRows& y) {
  multiply_k(layout, bands, rows, x, y,
             [&layout](const KGroup& group, const std::byte* input, std::size_t g) {
               const std::int8_t* codes = KLayout::codes(input) + g * layout.group;
               std::int32_t sum = 0;
               for (std::size_t k = 0; k < layout.group; ++k) {
                 sum += group.code<kBits>(k) * codes[k];
               }
               const float scale = group.d * static_cast<float>(group.first);
               const float min = group.dmin * static_cast<float>(group.second);
               return scale * layout.scales(input)[g] * static_cast<float>(sum) -
                      min * layout.value_sums(input)[g];
             });
}

}  // namespace kernels::scalar
}  // namespace MAMBA2_ISA
}  // namespace mamba2
