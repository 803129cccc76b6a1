// SPDX-License-Identifier: Apache-2.0
// Blocks of Q4_0 out of what this library quantizes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <mamba2/export.hpp>
#include <mamba2/quantize.hpp>
#include <vector>

#include "tools/quantize/matrix_quantizer.hpp"

namespace quantize {

/// Turns codes and scales of INT4_G32 into blocks of Q4_0.
inline void to_q4_0(const QuantizedRows& rows, std::vector<std::byte>& blocks) {
  constexpr std::size_t kHalf = 16;
  constexpr std::size_t kBlock = 2 + kHalf;
  const std::size_t count = rows.scales.size() / 2;
  blocks.resize(count * kBlock);
  for (std::size_t i = 0; i < count; ++i) {
    std::byte* block = &blocks[i * kBlock];
    std::memcpy(block, &rows.scales[i * 2], 2);
    const std::byte* codes = &rows.codes[i * kHalf];
    const auto code = [codes](std::size_t j) {
      return codes[j / 2] >> (j % 2 * 4) & std::byte{15};
    };
    for (std::size_t j = 0; j < kHalf; ++j) block[2 + j] = code(j) | code(j + kHalf) << 4;
  }
}

/// Multiplies the scales of rows of a tensor, from the first'th on, by the factors that it is
/// written with: its codes stay.
inline void scale_q4_0(const mamba2::ExportedTensor& tensor, std::size_t first, std::size_t rows,
                       std::vector<std::byte>& blocks) {
  constexpr std::size_t kBlock = 18;
  if (tensor.factors.empty()) return;
  const std::size_t row_bytes = blocks.size() / rows;
  for (std::size_t at = 0; at < blocks.size(); at += kBlock) {
    std::uint16_t scale = 0;
    std::memcpy(&scale, &blocks[at], sizeof scale);
    const float factor = tensor.factor_of(first + at / row_bytes);
    scale = mamba2::float_to_fp16(factor * mamba2::fp16_to_float(scale));
    std::memcpy(&blocks[at], &scale, sizeof scale);
  }
}

}  // namespace quantize
