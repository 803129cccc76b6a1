// SPDX-License-Identifier: Apache-2.0
// Values of tensors, read and checked: no infinity and no NaN gets into a model.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

#include "mamba2/io/dtype.hpp"
#include "mamba2/io/scaled_codes.hpp"
#include "mamba2/io/tensor_view.hpp"
#include "mamba2/kernels/simd.hpp"

namespace mamba2::inline MAMBA2_ISA {
namespace detail {

/// An element of a tensor that cannot be taken.
struct BadElement {
  std::size_t index;
  float value;
  std::string_view expected = "a finite value";
  bool is_scale = false;  // then the index is among the scales
};

/// Reads elements from `first` on, and returns the first bad one, if there is any.
[[nodiscard]] inline std::optional<BadElement> read_finite(const TensorView& stored,
                                                           std::size_t first, std::span<float> to) {
  read_floats(stored, first, to);
  // x * 0 is 0 for every finite x and NaN for all others: one sum tells for all of them.
  kernels::Floats zeros(0.0F);
  kernels::for_each_vector(to.size(), [&](std::size_t i, auto lanes) {
    zeros = kernels::multiply_add(lanes.load(&to[i]), kernels::Floats(0.0F), zeros);
  });
  if (kernels::sum(zeros) == 0.0F) return std::nullopt;
  const auto bad = std::find_if(to.begin(), to.end(), [](float v) { return !std::isfinite(v); });
  return BadElement{first + static_cast<std::size_t>(bad - to.begin()), *bad};
}

/// Reads `count` elements, and fills `rows` up with zeros.
[[nodiscard]] inline std::optional<BadElement> read_rows(const TensorView& stored,
                                                         std::size_t first, std::size_t count,
                                                         std::span<float> rows) {
  std::fill(rows.begin() + static_cast<std::ptrdiff_t>(count), rows.end(), 0.0F);
  return read_finite(stored, first, rows.first(count));
}

/// The first code or scale of some rows that is out of range.
[[nodiscard]] inline std::optional<BadElement> check_codes(const TensorView& stored,
                                                           std::size_t row, std::size_t rows) {
  if (!has_scales(stored.dtype)) return std::nullopt;
  const std::size_t cols = stored.shape.back();
  const std::span<const std::byte> scales = stored.scales_of(row, rows);
  if (const auto bad = find_bad_scale(stored.dtype, scales)) {
    const std::size_t before = row * (scales.size() / rows / scale_bytes(stored.dtype));
    return BadElement{before + *bad, read_scale(stored.dtype, scales.data(), *bad),
                      "a finite value, and its products with codes", true};
  }
  if (const auto bad = find_bad_code(stored.dtype, stored.part(row * cols, rows * cols))) {
    return BadElement{row * cols + *bad, -128.0F, "in -127..127"};
  }
  return std::nullopt;
}

}  // namespace detail
}  // namespace mamba2::inline MAMBA2_ISA
