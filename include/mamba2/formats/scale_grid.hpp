// SPDX-License-Identifier: Apache-2.0
// Matrices of FP8 whose scales are a tensor of their own: one for all, one for each row, or one for
// each block of rows and columns.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "mamba2/formats/dtype.hpp"
#include "mamba2/formats/fp8.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// Which elements of a matrix share a scale.
struct ScaleGrid {
  std::size_t rows = 1;       ///< of a block
  std::size_t cols = 1;       ///< of a block
  std::size_t per_row = 1;    ///< blocks beside each other
  std::size_t first_row = 0;  ///< of the matrix that it is a part of, where the scales begin
};

namespace detail {

/// Reads the elements [first, first + out.size()) of an FP8 matrix with `width` columns, times
/// their scales, which are floats.
inline void read_scaled_fp8(DType dtype, const std::byte* data, std::size_t width,
                            const ScaleGrid& grid, const std::byte* scales, std::size_t first,
                            std::span<float> out) noexcept {
  while (!out.empty()) {
    const std::size_t row = (grid.first_row + first / width) / grid.rows;
    const std::size_t col = first % width;
    const std::size_t block_end = std::min(width, (col / grid.cols + 1) * grid.cols);
    const std::size_t count = std::min(out.size(), block_end - col);
    float scale = 0.0F;
    std::memcpy(&scale, scales + (row * grid.per_row + col / grid.cols) * sizeof scale,
                sizeof scale);
    for (std::size_t i = 0; i < count; ++i) {
      const auto bits = static_cast<std::uint8_t>(data[first + i]);
      out[i] = scale * (dtype == DType::F8_E4M3 ? e4m3_to_float(bits) : e5m2_to_float(bits));
    }
    out = out.subspan(count);
    first += count;
  }
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
