// SPDX-License-Identifier: Apache-2.0
// What a weight policy is, and the matrix that it packs.
#pragma once

#include <concepts>
#include <cstddef>
#include <string_view>

#include "mamba2/core/views.hpp"

namespace mamba2::inline MAMBA2_ISA {

/// A weight matrix (rows, cols) packed by policy W into bands of W::kBandRows rows. A band is one
/// linear stream of memory in which a lane of a vector register is a row, so that a matrix-vector
/// product needs no sum across lanes. Rows that fill up the last band are zero.
template <class W>
struct Matrix {
  const std::byte* bands;
  std::size_t rows;
  std::size_t cols;

  [[nodiscard]] std::size_t band_count() const noexcept {
    return (rows + W::kBandRows - 1) / W::kBandRows;
  }
  [[nodiscard]] const std::byte* band(std::size_t index) const noexcept {
    return bands + index * W::band_bytes(cols);
  }
};

/// How weights are stored and multiplied. A policy has no state:
///   name                       what users call it: "fp32"
///   kBandRows                  rows of a band
///   band_bytes(cols)           bytes of a band
///   pack_band(rows, cols, to)  packs kBandRows rows (kBandRows, cols), row-major floats
///   multiply(m, x, y)          y = x m^T: x (tokens, m.cols), y (tokens, m.rows)
///   row(m, index, to)          the values of one row, (m.cols)
template <class W>
concept WeightPolicy = requires(const Matrix<W>& m, ConstRows x, MutableRows y, std::size_t n,
                                const float* from, float* to, std::byte* band) {
  { W::name } -> std::convertible_to<std::string_view>;
  { W::kBandRows } -> std::convertible_to<std::size_t>;
  { W::band_bytes(n) } -> std::same_as<std::size_t>;
  { W::pack_band(from, n, band) } -> std::same_as<void>;
  { W::multiply(m, x, y) } -> std::same_as<void>;
  { W::row(m, n, to) } -> std::same_as<void>;
};

/// Bytes of a packed matrix.
template <class W>
[[nodiscard]] constexpr std::size_t packed_bytes(std::size_t rows, std::size_t cols) {
  return (rows + W::kBandRows - 1) / W::kBandRows * W::band_bytes(cols);
}

}  // namespace mamba2::inline MAMBA2_ISA
