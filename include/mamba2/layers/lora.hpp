// SPDX-License-Identifier: Apache-2.0
// Adapters of matrices: LoRA, arXiv 2106.09685.
#pragma once

#include <cstddef>

#include "mamba2/core/views.hpp"
#include "mamba2/kernels/rms_norm.hpp"
#include "mamba2/layers/config.hpp"
#include "mamba2/linear/matrix.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// Of one matrix (rows, cols); nullptr where the model has none.
struct Lora {
  const float* A = nullptr;  ///< (lora_rank, cols)
  const float* B = nullptr;  ///< (lora_rank, rows)

  /// low (lora_rank) = lora_scale * A x. x (cols) is what the matrix reads, neither rounded nor
  /// rotated.
  void narrow(const Config& c, const float* x, std::size_t cols, float* low) const {
    for (std::size_t i = 0; i < c.lora_rank; ++i) {
      low[i] = c.lora_scale * kernels::sum_of_products(A + i * cols, x, cols);
    }
  }
  /// y += B low, for y's columns from the first'th of `rows` on. low (tokens, lora_rank).
  void add(ConstRows low, std::size_t rows, MutableRows y, std::size_t first) const {
    for (std::size_t t = 0; t < y.rows; ++t) {
      for (std::size_t i = 0; i < low.cols; ++i) {
        kernels::add_times(low[t][i], B + i * rows + first, y.cols, y[t]);
      }
    }
  }
};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
