// SPDX-License-Identifier: Apache-2.0
// A matrix of which single rows are read, and nothing is multiplied.
#pragma once

#include <cstddef>
#include <cstring>
#include <string_view>

#include "mamba2/core/views.hpp"
#include "mamba2/linear/matrix.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// FP32 rows, one after the other, as a checkpoint has them: the same for every CPU.
struct RowsOfFloats {
  static constexpr std::string_view name = "fp32 rows";
  static constexpr std::size_t kBandRows = 1;
  static constexpr bool kPacksOnly = true;

  [[nodiscard]] static constexpr std::size_t band_bytes(std::size_t cols) {
    return cols * sizeof(float);
  }
  static void pack_band(const BandRows& from, std::size_t cols, std::byte* to) {
    std::memcpy(to, from.values, band_bytes(cols));
  }
  static void row(const Matrix& m, std::size_t index, float* to) {
    std::memcpy(to, m.band(index), m.band_bytes());
  }

  // Of products, which there are none of.
  [[nodiscard]] static constexpr std::size_t input_bytes(std::size_t) { return 0; }
  static void prepare(const float*, std::size_t, std::byte*) {}
  [[nodiscard]] static constexpr std::size_t arithmetic(std::size_t) { return 0; }
  static void multiply(const Matrix&, std::size_t, std::size_t, const Inputs&, MutableRows) {}
};

inline constexpr const Format& kRowsOfFloats = kFormat<RowsOfFloats>;

}  // namespace MAMBA2_ISA
}  // namespace mamba2
