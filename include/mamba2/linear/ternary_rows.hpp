// SPDX-License-Identifier: Apache-2.0
// Ternary weights, in 2 bits, with a scale for each row, times activations of 8 bits.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "mamba2/kernels/bitlinear.hpp"
#include "mamba2/kernels/int8_layout.hpp"
#include "mamba2/kernels/native.hpp"
#include "mamba2/kernels/quantize.hpp"
#include "mamba2/linear/matrix.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// Rows of -s, 0 and s, with an s of their own: of a checkpoint that stores them so, exactly. Of
/// other rows s is max|w|, and weights become the nearest of the three. Activations are quantized
/// to INT8 as they come, one scale for a token, as models are trained whose weights are ternary
/// (kernels/bitlinear.hpp). Sums are exact in INT32.
template <class Kernel>
struct BasicTernaryRows {
  static constexpr std::string_view name = "ternary";
  static constexpr std::size_t kBandRows = Kernel::kRows;
  static constexpr bool kPacksOnly = requires { Kernel::kPacksOnly; };
  static constexpr bool kBitlinear = true;

  [[nodiscard]] static constexpr kernels::Int8Layout layout(std::size_t cols) {
    return kernels::Int8Layout::of(cols, 0, 2);
  }
  [[nodiscard]] static constexpr std::size_t band_bytes(std::size_t cols) {
    return layout(cols).band_bytes(kBandRows);
  }

  static void pack_band(const BandRows& from, std::size_t cols, std::byte* band) {
    const kernels::Int8Layout sizes = layout(cols);
    auto* scales = reinterpret_cast<float*>(band + sizes.code_bytes(kBandRows, sizes.cols));
    for (std::size_t r = 0; r < kBandRows; ++r) {
      const float* row = from.values + r * cols;
      scales[r] = 0.0F;
      for (std::size_t k = 0; k < cols; ++k) scales[r] = std::max(scales[r], std::abs(row[k]));
      const float half = scales[r] / 2.0F;
      for (std::size_t first = 0; first < sizes.cols; first += kColumns) {
        std::array<std::byte, 4> bytes{};
        for (std::size_t i = 0; i < kColumns; ++i) {
          const float w = first + i < cols ? row[first + i] : 0.0F;
          const unsigned code = w > half ? 2 : w < -half ? 0 : 1;
          bytes[i % 4] |= static_cast<std::byte>(code << i / 4 * 2);
        }
        std::memcpy(band + (first / kColumns * kBandRows + r) * 4, bytes.data(), bytes.size());
      }
    }
  }

  static void row(const Matrix& m, std::size_t index, float* to) {
    const kernels::Int8Layout sizes = layout(m.cols);
    const std::byte* band = m.band(index / kBandRows);
    const std::size_t r = index % kBandRows;
    const float scale =
        reinterpret_cast<const float*>(band + sizes.code_bytes(kBandRows, sizes.cols))[r];
    for (std::size_t k = 0; k < m.cols; ++k) {
      const auto byte = static_cast<int>(band[(k / kColumns * kBandRows + r) * 4 + k % 4]);
      to[k] = scale * static_cast<float>((byte >> k % kColumns / 4 * 2 & 3) - 1);
    }
  }

  [[nodiscard]] static constexpr std::size_t input_bytes(std::size_t cols) {
    return layout(cols).input_bytes();
  }
  static void prepare(const float* x, std::size_t cols, std::byte* to) {
    const kernels::Int8Layout sizes = layout(cols);
    auto* codes = reinterpret_cast<std::int8_t*>(to);
    auto* scale = reinterpret_cast<float*>(to + sizes.scales_offset());
    const float inverse = kernels::bitlinear_scale(x, cols);
    *scale = 1.0F / inverse;
    *reinterpret_cast<std::int32_t*>(scale + 1) =
        kernels::rounded_codes(x, cols, inverse, codes, kernels::round_half_away);
    std::fill(codes + cols, codes + sizes.cols, std::int8_t{0});
  }

  /// Sums of integers are exact, in whatever order: all alike.
  [[nodiscard]] static constexpr std::size_t arithmetic(std::size_t) { return 0; }
  static void multiply(const Matrix& m, std::size_t first, std::size_t count, const Inputs& x,
                       MutableRows y);

 private:
  static constexpr std::size_t kColumns = 16;  // of which 4 bytes hold the codes
};

template <class Kernel>
void BasicTernaryRows<Kernel>::multiply(const Matrix& m, std::size_t first, std::size_t count,
                                        const Inputs& x, MutableRows y) {
  const std::size_t rows = m.rows_in(first, count);
  Kernel::multiply(layout(m.cols), m.band(first), rows, x, y.columns(first * kBandRows, rows));
}

using TernaryRows = BasicTernaryRows<kernels::TernaryNative>;

static_assert(MatrixFormat<TernaryRows>);

}  // namespace MAMBA2_ISA
}  // namespace mamba2
