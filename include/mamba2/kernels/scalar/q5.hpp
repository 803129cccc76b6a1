// SPDX-License-Identifier: Apache-2.0
// Q5_0, Q5_1 and Q5_K products without any vector instruction: what the others are compared with.
#pragma once

#include <cstddef>
#include <string_view>

#include "mamba2/core/views.hpp"
#include "mamba2/kernels/k_layout.hpp"
#include "mamba2/kernels/scalar/coded_blocks.hpp"
#include "mamba2/kernels/scalar/k_groups.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::scalar {

struct Q5_0 : CodedBlocks<5, false, signed_code> {
  static constexpr std::string_view name = "scalar";
};

struct Q5_1 : CodedBlocks<5, true, unsigned_code> {
  static constexpr std::string_view name = "scalar";
};

struct Q5_K {
  static constexpr std::string_view name = "scalar";
  static constexpr std::size_t kRows = kKRows;

  /// y = x m^T: bands of a matrix m with `rows` rows, x made ready, y (x.tokens, rows).
  static void multiply(const KLayout& layout, const std::byte* bands, std::size_t rows,
                       const Inputs& x, MutableRows y) {
    multiply_k_with_mins<5>(layout, bands, rows, x, y);
  }
};

}  // namespace kernels::scalar
}  // namespace MAMBA2_ISA
}  // namespace mamba2
