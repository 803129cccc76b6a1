// SPDX-License-Identifier: Apache-2.0
// What a weight policy is, and the matrix that it packs.
#pragma once

#include <algorithm>
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
  /// Rows in the bands [first, first + count) that are not filling.
  [[nodiscard]] std::size_t rows_in(std::size_t first, std::size_t count) const noexcept {
    return std::min(rows, (first + count) * W::kBandRows) - first * W::kBandRows;
  }
};

/// How weights are stored and multiplied. A policy has no state:
///   name                       what users call it: "int8"
///   Head                       the policy of the embedding and the head of such a model
///   kRotation                  width of the Hadamard blocks that out_proj and its input are
///                              rotated by (kernels/hadamard.hpp); 0: not rotated
///   kBandRows                  rows of a band
///   band_bytes(cols)           bytes of a band
///   pack_band(rows, cols, to)  packs kBandRows rows (kBandRows, cols), row-major floats
///   row(m, index, to)          the values of one row, (m.cols)
///   input_bytes(cols)          bytes of one input made ready: a multiple of 64
///   prepare(x, cols, to)       makes one input x (cols) ready
///   multiply(m, first, count, x, y)
///       y = x m^T for the rows in the bands [first, first + count): x (tokens, m.cols) made ready,
///       y (tokens, m.rows), of which other columns are left alone. What is computed for a row
///       depends neither on first nor on count.
template <class W>
concept WeightPolicy = requires(const Matrix<W>& m, const Inputs& x, MutableRows y, std::size_t n,
                                const float* from, float* to, std::byte* bytes) {
  { W::name } -> std::convertible_to<std::string_view>;
  typename W::Head;
  { W::kRotation } -> std::convertible_to<std::size_t>;
  { W::kBandRows } -> std::convertible_to<std::size_t>;
  { W::band_bytes(n) } -> std::same_as<std::size_t>;
  { W::pack_band(from, n, bytes) } -> std::same_as<void>;
  { W::row(m, n, to) } -> std::same_as<void>;
  { W::input_bytes(n) } -> std::same_as<std::size_t>;
  { W::prepare(from, n, bytes) } -> std::same_as<void>;
  { W::multiply(m, n, n, x, y) } -> std::same_as<void>;
};

/// Bytes of a packed matrix.
template <class W>
[[nodiscard]] constexpr std::size_t packed_bytes(std::size_t rows, std::size_t cols) {
  return (rows + W::kBandRows - 1) / W::kBandRows * W::band_bytes(cols);
}

}  // namespace mamba2::inline MAMBA2_ISA
