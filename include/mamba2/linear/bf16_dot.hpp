// SPDX-License-Identifier: Apache-2.0
// Bf16 on CPUs that multiply BF16 numbers.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "mamba2/core/half.hpp"
#include "mamba2/formats/dtype_range.hpp"
#include "mamba2/linear/matrix.hpp"
#include "mamba2/linear/plan.hpp"

#if defined(__AVX512BF16__)
#include "mamba2/kernels/avx512_bf16/bf16.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// BF16 weights. Few tokens are multiplied in FP32; for many, as in reading a prompt, the
/// activations are rounded to BF16, too.
struct Bf16Dot {
  using Kernel = kernels::avx512_bf16::Bf16;
  static constexpr std::string_view name = "bf16";
  using Head = Bf16Dot;
  static constexpr std::size_t kRotation = 0;
  static constexpr std::size_t kBandRows = Kernel::kRows;

  [[nodiscard]] static constexpr std::size_t padded(std::size_t cols) { return cols + cols % 2; }
  [[nodiscard]] static constexpr std::size_t band_bytes(std::size_t cols) {
    return Kernel::band_bytes(padded(cols));
  }

  [[nodiscard]] static constexpr float max_weight(DType) { return max_encodable(DType::BF16); }

  static void pack_band(const BandRows& from, std::size_t cols, std::byte* band) {
    // A few columns at a time: first to BF16, which vectorises, then to their places.
    constexpr std::size_t kColumns = 32;
    for (std::size_t r = 0; r < kBandRows; ++r) {
      for (std::size_t first = 0; first < cols; first += kColumns) {
        std::array<std::uint16_t, kColumns> some{};
        const std::size_t count = std::min(kColumns, cols - first);
        std::transform(from.values + r * cols + first, from.values + r * cols + first + count,
                       some.begin(), [](float value) { return float_to_bf16(value); });
        for (std::size_t k = 0; k < count; k += 2) {
          std::memcpy(band + ((first + k) / 2 * kBandRows + r) * 4, &some[k], 4);
        }
      }
    }
  }

  static void row(const Matrix& m, std::size_t index, float* to) {
    const auto* from =
        reinterpret_cast<const std::uint16_t*>(m.band(index / kBandRows)) + index % kBandRows * 2;
    for (std::size_t k = 0; k < m.cols; ++k) {
      to[k] = bf16_to_float(from[k / 2 * (2 * kBandRows) + k % 2]);
    }
  }

  /// FP32, then BF16; then a cache line, as inputs a multiple of 4096 bytes apart would compete for
  /// the same few places of the L1 cache.
  [[nodiscard]] static constexpr std::size_t input_bytes(std::size_t cols) {
    return detail::round_up(padded(cols) * (sizeof(float) + sizeof(std::uint16_t)), 64) + 64;
  }

  static void prepare(const float* x, std::size_t cols, std::byte* to) {
    auto* exact = reinterpret_cast<float*>(to);
    auto* rounded = reinterpret_cast<std::uint16_t*>(exact + padded(cols));
    std::copy_n(x, cols, exact);
    std::fill(exact + cols, exact + padded(cols), 0.0F);
    std::size_t k = 0;
    for (; k + kBandRows <= cols; k += kBandRows) Kernel::round(x + k, rounded + k);
    std::transform(exact + k, exact + padded(cols), rounded + k, float_to_bf16);
  }

  [[nodiscard]] static constexpr std::size_t arithmetic(std::size_t tokens) {
    return Kernel::arithmetic(tokens);
  }
  static void multiply(const Matrix& m, std::size_t first, std::size_t count, const Inputs& x,
                       MutableRows y) {
    const std::size_t rows = m.rows_in(first, count);
    Kernel::multiply(padded(m.cols), m.band(first), rows, x, y.columns(first * kBandRows, rows));
  }
};

}  // namespace MAMBA2_ISA
}  // namespace mamba2

#endif
