// SPDX-License-Identifier: Apache-2.0
// INT8 products without any vector instruction: what the others are compared with.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mamba2/core/views.hpp"
#include "mamba2/kernels/int8_layout.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::scalar {

struct Int8 {
  static constexpr std::string_view name = "scalar";
  static constexpr std::size_t kRows = 4;
  static constexpr int kBias = 0;

  /// y = x m^T: bands of a matrix m with `rows` rows, x made ready, y (x.tokens, rows).
  static void multiply(const Int8Layout& layout, const std::byte* bands, std::size_t rows,
                       const Inputs& x, MutableRows y) {
    for (std::size_t r = 0; r < rows; ++r) {
      const std::byte* band = bands + r / kRows * layout.band_bytes(kRows);
      const auto* codes = reinterpret_cast<const std::int8_t*>(band) + r % kRows * 4;
      const auto* scales = reinterpret_cast<const float*>(band + kRows * layout.cols);
      for (std::size_t t = 0; t < x.tokens; ++t) {
        y[t][r] = scales[r % kRows] * row(layout, codes, x[t]);
      }
    }
  }

 private:
  static float row(const Int8Layout& layout, const std::int8_t* weights, const std::byte* input) {
    const std::int8_t* codes = Int8Layout::codes(input);
    float total = 0.0F;
    for (std::size_t g = 0; g < layout.groups(); ++g) {
      const std::size_t end = std::min(layout.cols, (g + 1) * layout.group);
      std::int32_t sum = 0;
      for (std::size_t k = g * layout.group; k < end; ++k) {
        sum += weights[k / 4 * (4 * kRows) + k % 4] * codes[k];
      }
      total += layout.scales(input)[g] * static_cast<float>(sum);
    }
    return total;
  }
};

}  // namespace kernels::scalar
}  // namespace MAMBA2_ISA
}  // namespace mamba2
