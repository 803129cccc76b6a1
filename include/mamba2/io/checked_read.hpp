// SPDX-License-Identifier: Apache-2.0
// Values of tensors, read and checked: no infinity and no NaN gets into a model, nor a number that
// is too large for what it becomes.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "mamba2/core/result.hpp"
#include "mamba2/formats/dtype.hpp"
#include "mamba2/formats/scaled_codes.hpp"
#include "mamba2/io/tensor_view.hpp"
#include "mamba2/kernels/hadamard.hpp"
#include "mamba2/kernels/simd.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// Every finite value.
inline constexpr float kNoLimit = std::numeric_limits<float>::max();

/// An element of a tensor that cannot be taken.
struct BadElement {
  std::size_t index;
  float value;
  std::string_view expected = {};  // empty: what expected_of() says
  bool is_scale = false;           // then the index is among the scales
  bool is_rotated = false;         // then it is an element of the rotated row
};

/// What an element must be, for messages. most: what `format` holds, in which it should be stored.
[[nodiscard]] inline std::string expected_of(const BadElement& bad, float most,
                                             std::string_view format) {
  if (!bad.expected.empty()) return std::string(bad.expected);
  if (!std::isfinite(bad.value) && !bad.is_rotated) return "a finite value";
  return concat("at most ", most, " in magnitude to be stored as ", format,
                bad.is_rotated ? " once its row is rotated" : "");
}

/// The first of the elements from `first` on that is not finite, or whose magnitude is above
/// `most`.
[[nodiscard]] inline std::optional<BadElement> find_bad(std::span<const float> values,
                                                        std::size_t first, float most) {
  const kernels::Floats limit(most);
  auto fine = kernels::Floats(0.0F) <= limit;
  kernels::for_each_vector(values.size(), [&](std::size_t i, auto lanes) {
    fine = fine & (xsimd::abs(lanes.load(&values[i])) <= limit);  // false for NaN
  });
  if (xsimd::all(fine)) return std::nullopt;
  const auto bad = std::find_if(values.begin(), values.end(),
                                [most](float v) { return !(std::fabs(v) <= most); });
  return BadElement{first + static_cast<std::size_t>(bad - values.begin()), *bad};
}

/// Rotates rows, which begin with the element `first`, in blocks so wide (1: not at all), and
/// returns the first element that cannot be taken, before or then.
[[nodiscard]] inline std::optional<BadElement> check_and_rotate(std::span<float> rows,
                                                                std::size_t first,
                                                                std::size_t rotation, float most) {
  auto bad = find_bad(rows, first, rotation > 1 ? kNoLimit : most);
  if (bad || rotation == 1) return bad;
  kernels::hadamard_of_weights(rows.data(), rows.size(), rotation);
  bad = find_bad(rows, first, most);
  if (bad) bad->is_rotated = true;
  return bad;
}

/// Reads elements from `first` on, and returns the first bad one, if there is any.
[[nodiscard]] inline std::optional<BadElement> read_finite(const TensorView& stored,
                                                           std::size_t first, std::span<float> to) {
  read_floats(stored, first, to);
  return find_bad(to, first, kNoLimit);
}

/// Reads `count` elements, and fills `rows` up with zeros.
inline void read_rows(const TensorView& stored, std::size_t first, std::size_t count,
                      std::span<float> rows) {
  std::fill(rows.begin() + static_cast<std::ptrdiff_t>(count), rows.end(), 0.0F);
  read_floats(stored, first, rows.first(count));
}

/// The first code or scale of some rows that is out of range.
[[nodiscard]] inline std::optional<BadElement> check_codes(const TensorView& stored,
                                                           std::size_t row, std::size_t rows) {
  if (!has_scales(stored.dtype)) return std::nullopt;
  const std::size_t cols = stored.shape.back();
  const std::span<const std::byte> scales = stored.scales_of(row, rows);
  if (const auto bad = find_bad_scale(stored.dtype, scales)) {
    const bool is_shared = stored.dtype == DType::TERNARY;
    const std::size_t of_row = is_shared ? 0 : scales.size() / rows / scale_bytes(stored.dtype);
    return BadElement{row * of_row + *bad, read_scale(stored.dtype, scales.data(), *bad),
                      expected_scale(stored.dtype), true};
  }
  if (const auto bad = find_bad_code(stored.dtype, stored.part(row * cols, rows * cols))) {
    return BadElement{row * cols + *bad, impossible_code(stored.dtype),
                      expected_code(stored.dtype)};
  }
  return std::nullopt;
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
