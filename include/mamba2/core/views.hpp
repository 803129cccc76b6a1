// SPDX-License-Identifier: Apache-2.0
// Matrices in somebody else's memory, one row to a token.
#pragma once

#include <cstddef>
#include <limits>
#include <optional>
#include <span>

#include "mamba2/core/platform.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// `rows` rows of `cols` values, `stride` values apart. Element is float or const float.
template <class Element>
struct Rows {
  Element* data;
  std::size_t rows;
  std::size_t cols;
  std::size_t stride;

  Rows(Element* first, std::size_t row_count, std::size_t col_count)
      : Rows(first, row_count, col_count, col_count) {}
  Rows(Element* first, std::size_t row_count, std::size_t col_count, std::size_t row_stride)
      : data(first), rows(row_count), cols(col_count), stride(row_stride) {}

  /// A view that may be written converts to one that may only be read.
  operator Rows<const Element>() const { return {data, rows, cols, stride}; }

  [[nodiscard]] Element* operator[](std::size_t row) const { return data + row * stride; }

  /// The columns [first, first + count) of every row.
  [[nodiscard]] Rows columns(std::size_t first, std::size_t count) const {
    // Where memory is only counted there is none.
    return {data == nullptr ? nullptr : data + first, rows, count, stride};
  }
  /// The rows [first, first + count).
  [[nodiscard]] Rows middle(std::size_t first, std::size_t count) const {
    return {data + first * stride, count, cols, stride};
  }
};

using MutableRows = Rows<float>;
using ConstRows = Rows<const float>;

/// Vectors made ready for products with matrices of a policy, one to a token: what its prepare()
/// wrote, `stride` bytes apart and on a boundary of 64 bytes.
struct Inputs {
  const std::byte* data;
  std::size_t tokens;
  std::size_t stride;
  bool alone = false;  ///< each token gets the bits of a product with it alone

  [[nodiscard]] const std::byte* operator[](std::size_t token) const noexcept {
    return data + token * stride;
  }
  /// The tokens [first, first + count).
  [[nodiscard]] Inputs middle(std::size_t first, std::size_t count) const noexcept {
    return {data + first * stride, count, stride, alone};
  }
};

namespace detail {

/// n rounded up to a multiple.
[[nodiscard]] constexpr std::size_t round_up(std::size_t n, std::size_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

/// a * b; nothing on overflow.
[[nodiscard]] constexpr std::optional<std::size_t> checked_product(std::size_t a,
                                                                   std::size_t b) noexcept {
  if (b != 0 && a > std::numeric_limits<std::size_t>::max() / b) return std::nullopt;
  return a * b;
}

/// The product of a tensor's dimensions; nothing on overflow.
[[nodiscard]] constexpr std::optional<std::size_t> element_count(
    std::span<const std::size_t> shape) noexcept {
  std::optional<std::size_t> count = 1;
  for (const std::size_t size : shape) count = count ? checked_product(*count, size) : count;
  return count;
}

}  // namespace detail

}  // namespace MAMBA2_ISA
}  // namespace mamba2
