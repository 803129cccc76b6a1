// SPDX-License-Identifier: Apache-2.0
// What the scalar kernels of weights in groups of columns share.
#pragma once

#include <cstddef>

#include "mamba2/core/views.hpp"
#include "mamba2/kernels/group_layout.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::scalar {

/// y = x m^T: bands of kRows rows of a matrix m with `rows` rows, x made ready, y (x.tokens, rows).
/// group(layout, band, row in the band, g, input): the part of the g'th group of columns.
template <std::size_t kRows, class Group>
void multiply_groups(const GroupLayout& layout, const std::byte* bands, std::size_t rows,
                     const Inputs& x, MutableRows y, Group group) {
  for (std::size_t r = 0; r < rows; ++r) {
    const std::byte* band = bands + r / kRows * layout.band_bytes(kRows);
    for (std::size_t t = 0; t < x.tokens; ++t) {
      float sum = 0.0F;
      for (std::size_t g = 0; g < layout.groups(); ++g) {
        sum += group(layout, band, r % kRows, g, x[t]);
      }
      y[t][r] = sum;
    }
  }
}

}  // namespace kernels::scalar
}  // namespace MAMBA2_ISA
}  // namespace mamba2
