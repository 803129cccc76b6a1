// SPDX-License-Identifier: Apache-2.0
// Tensors as they lie in a checkpoint: a type, a shape, bytes that somebody else owns.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/half.hpp"
#include "mamba2/core/platform.hpp"
#include "mamba2/formats/decode.hpp"
#include "mamba2/formats/dtype.hpp"
#include "mamba2/formats/fp8.hpp"
#include "mamba2/formats/scale_grid.hpp"
#include "mamba2/formats/scaled_codes.hpp"
#include "mamba2/kernels/hadamard.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

static_assert(std::endian::native == std::endian::little, "checkpoints are read in place");

/// One tensor of a file, row-major and little-endian. `data` is not aligned and not owned.
struct TensorView {
  std::string name;
  DType dtype = DType::F32;
  std::vector<std::size_t> shape;
  std::span<const std::byte> data;
  std::string file;                        ///< where it comes from, for messages
  std::span<const std::byte> scales = {};  ///< where the type has_scales, and of FP8
  std::size_t rotation = 1;  ///< width of the Hadamard blocks that the rows are rotated by
  ScaleGrid grid = {};       ///< of FP8 with scales, which are floats
  std::shared_ptr<const std::vector<std::byte>> owner = {};  ///< of scales that are no file's

  [[nodiscard]] std::size_t elements() const noexcept {
    return data.size() / dtype_size(dtype) * dtype_block(dtype);
  }

  /// The bytes of the elements [first, first + count), which are whole blocks.
  [[nodiscard]] std::span<const std::byte> part(std::size_t first, std::size_t count) const {
    const std::size_t block = dtype_block(dtype);
    const std::size_t size = dtype_size(dtype);
    return data.subspan(first / block * size, count / block * size);
  }

  /// Whether read_floats can read it.
  [[nodiscard]] bool is_readable() const noexcept {
    return is_float(dtype) || (is_fp8(dtype) && !scales.empty());
  }

  /// The rows [first, first + count).
  [[nodiscard]] TensorView row_range(std::size_t first, std::size_t count) const {
    TensorView rows = *this;
    const std::size_t row_bytes = shape.front() == 0 ? 0 : data.size() / shape.front();
    rows.shape.front() = count;
    rows.data = data.subspan(first * row_bytes, count * row_bytes);
    if (has_scales(dtype)) rows.scales = scales_of(first, count);
    rows.grid.first_row += first;
    return rows;
  }

  /// The scales of the rows [first, first + count), of TERNARY the one of all; nothing where the
  /// type has none.
  [[nodiscard]] std::span<const std::byte> scales_of(std::size_t first, std::size_t count) const {
    if (!has_scales(dtype)) return {};
    if (scales.empty() || dtype == DType::TERNARY) return scales;
    const std::size_t row = scales.size() / shape.front();
    return scales.subspan(first * row, count * row);
  }
};

namespace detail {

template <class Stored, class Convert>
void convert_elements(const std::byte* __restrict from, float* __restrict to, std::size_t count,
                      Convert convert) {
  for (std::size_t i = 0; i < count; ++i) {
    Stored stored;
    std::memcpy(&stored, from + i * sizeof stored, sizeof stored);
    to[i] = convert(stored);
  }
}

}  // namespace detail

/// Reads the elements [first, first + out.size()) as float. The dtype must be F64, F32, F16, BF16,
/// FP8 with scales or quantized and the range must lie inside the tensor; of one with a rotation,
/// which is undone, it must begin and end with a block of that. F64 is rounded to nearest; beyond
/// the range of float it becomes infinity. NaN and infinity pass as they are.
inline void read_floats(const TensorView& tensor, std::size_t first,
                        std::span<float> out) noexcept {
  if (out.empty()) return;
  if (has_scales(tensor.dtype)) {
    detail::read_scaled_codes(tensor.dtype, tensor.data.data(), tensor.scales.data(),
                              tensor.shape.back(), first, out);
    if (tensor.rotation > 1) {
      kernels::hadamard_of_weights<true>(out.data(), out.size(), tensor.rotation);
    }
    return;
  }
  if (is_fp8(tensor.dtype)) {
    return detail::read_scaled_fp8(tensor.dtype, tensor.data.data(), tensor.shape.back(),
                                   tensor.grid, tensor.scales.data(), first, out);
  }
  if (is_quantized(tensor.dtype)) {
    return detail::read_quantized(tensor.dtype, tensor.data.data(), first, out);
  }
  const std::byte* from = tensor.data.data() + first * dtype_size(tensor.dtype);
  switch (tensor.dtype) {
    case DType::F64:
      return detail::convert_elements<double>(from, out.data(), out.size(),
                                              [](double v) { return static_cast<float>(v); });
    case DType::F16:
      return detail::convert_elements<std::uint16_t>(from, out.data(), out.size(), fp16_to_float);
    case DType::BF16:
      return detail::convert_elements<std::uint16_t>(from, out.data(), out.size(), bf16_to_float);
    default:
      std::memcpy(out.data(), from, out.size_bytes());
  }
}

/// Tensors in their order, and by name.
class TensorTable {
 public:
  TensorTable() = default;
  explicit TensorTable(std::vector<TensorView> tensors);

  /// The tensor of that name; nullptr if there is none. Valid as long as the table is.
  [[nodiscard]] const TensorView* find(std::string_view name) const;

  /// The second of two tensors of the same name; nullptr if all names differ.
  [[nodiscard]] const TensorView* duplicate() const;

  [[nodiscard]] std::span<const TensorView> tensors() const noexcept { return tensors_; }

 private:
  std::vector<TensorView> tensors_;
  std::vector<std::size_t> by_name_;  // positions in tensors_, in the order of their names
};

inline TensorTable::TensorTable(std::vector<TensorView> tensors)
    : tensors_(std::move(tensors)), by_name_(tensors_.size()) {
  for (std::size_t i = 0; i < by_name_.size(); ++i) by_name_[i] = i;
  std::stable_sort(by_name_.begin(), by_name_.end(), [this](std::size_t a, std::size_t b) {
    return tensors_[a].name < tensors_[b].name;
  });
}

inline const TensorView* TensorTable::find(std::string_view name) const {
  const auto at = std::lower_bound(
      by_name_.begin(), by_name_.end(), name,
      [this](std::size_t i, std::string_view wanted) { return tensors_[i].name < wanted; });
  const bool found = at != by_name_.end() && tensors_[*at].name == name;
  return found ? &tensors_[*at] : nullptr;
}

inline const TensorView* TensorTable::duplicate() const {
  const auto at = std::adjacent_find(
      by_name_.begin(), by_name_.end(),
      [this](std::size_t a, std::size_t b) { return tensors_[a].name == tensors_[b].name; });
  return at != by_name_.end() ? &tensors_[at[1]] : nullptr;
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2
