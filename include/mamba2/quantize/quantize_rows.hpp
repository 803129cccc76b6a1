// SPDX-License-Identifier: Apache-2.0
// From rows of a matrix to the codes and scales of a quantized checkpoint.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "mamba2/formats/dtype.hpp"
#include "mamba2/formats/scaled_codes.hpp"
#include "mamba2/kernels/quantize.hpp"
#include "mamba2/kernels/simd.hpp"
#include "mamba2/linear/int4_scale.hpp"
#include "mamba2/quantize/gptq.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// How the codes of INT4 matrices are found. (Those of INT8 are rounded to nearest: their error is
/// more than 200 times smaller.)
struct Rounding {
  /// Scales are searched for the least squared error, as when a model is loaded; else the weight of
  /// largest magnitude gets the code -8.
  bool search = true;
  /// What the squared error of a column counts (cols), such as the mean square of its inputs.
  /// Empty: all the same.
  std::span<const float> importance = {};
  /// GPTQ, where given: errors are made up for by the columns that follow; importance is then that
  /// of GPTQ.
  const GptqFactor* gptq = nullptr;
};

/// Bytes of the codes of so many elements, and of the scales of so many rows.
[[nodiscard]] constexpr std::size_t code_bytes(DType dtype, std::size_t elements) {
  return elements / dtype_block(dtype) * dtype_size(dtype);
}
[[nodiscard]] constexpr std::size_t scales_bytes(DType dtype, std::size_t rows, std::size_t cols) {
  const std::size_t of_row = dtype == DType::INT8 ? 1 : cols / dtype_block(dtype);
  return rows * of_row * detail::scale_bytes(dtype);
}

namespace detail {

/// Rows as columns of as many of them as a register has lanes.
class LaneRows {
 public:
  /// rows (count, cols), count at most kLanes.
  LaneRows(const float* rows, std::size_t count, std::size_t cols) : columns_(cols) {
    for (std::size_t k = 0; k < cols; ++k) {
      std::array<float, kernels::kLanes> lanes{};
      for (std::size_t r = 0; r < count; ++r) lanes[r] = rows[r * cols + k];
      columns_[k] = kernels::load(lanes.data());
    }
  }
  [[nodiscard]] kernels::Floats& operator[](std::size_t k) { return columns_[k]; }
  [[nodiscard]] kernels::Floats* data() { return columns_.data(); }

 private:
  std::vector<kernels::Floats> columns_;
};

/// Quantizes at most kLanes rows to groups of kGroup.
template <std::size_t kGroup>
void quantize_int4_rows(const float* rows, std::size_t count, std::size_t cols,
                        const Rounding& rounding, std::byte* codes, std::byte* scales) {
  LaneRows columns(rows, count, cols);
  std::vector<kernels::Floats> errors(rounding.gptq == nullptr ? 0 : cols);
  for (std::size_t first = 0; first + kGroup <= cols; first += kGroup) {
    std::array<kernels::Floats, kGroup> w;
    const bool weighted = rounding.gptq == nullptr && !rounding.importance.empty();
    Int4Search search = {rounding.search, weighted ? &rounding.importance[first] : nullptr};
    if (rounding.gptq != nullptr) {
      rounding.gptq->update<kGroup>(first, errors.data(), &columns[first]);
      search = {true, rounding.gptq->importance(first)};
    }
    std::copy_n(&columns[first], kGroup, w.begin());
    Int4Group<kGroup> group(w, search);
    if (rounding.gptq != nullptr) {
      rounding.gptq->round(first, errors.data(), &columns[first], group);
    }
    for (std::size_t r = 0; r < count; ++r) {
      const std::size_t at = r * cols + first;
      std::memcpy(scales + at / kGroup * 2, &group.scales[r], 2);
      for (std::size_t k = 0; k < kGroup; k += 2) {
        const unsigned both = static_cast<unsigned>(group.codes[k][r] + 8) |
                              static_cast<unsigned>(group.codes[k + 1][r] + 8) << 4;
        codes[(at + k) / 2] = static_cast<std::byte>(both);
      }
    }
  }
}

inline void quantize_int8_rows(const float* rows, std::size_t count, std::size_t cols,
                               std::byte* codes, std::byte* scales) {
  for (std::size_t r = 0; r < count; ++r) {
    const kernels::Int8Scale scale = kernels::int8_scale(rows + r * cols, cols);
    std::memcpy(scales + r * sizeof scale.step, &scale.step, sizeof scale.step);
    kernels::int8_codes(rows + r * cols, cols, scale.inverse,
                        reinterpret_cast<std::int8_t*>(codes + r * cols));
  }
}

}  // namespace detail

/// Quantizes rows (count, cols) to a type that has_scales. cols is a multiple of its group; values
/// are finite, and for INT4 at most 7 * 65504. codes and scales as quantization.hpp says, of
/// code_bytes() and scales_bytes() bytes.
inline void quantize_rows(DType dtype, const float* rows, std::size_t count, std::size_t cols,
                          const Rounding& rounding, std::byte* codes, std::byte* scales) {
  if (dtype == DType::INT8) return detail::quantize_int8_rows(rows, count, cols, codes, scales);
  for (std::size_t r = 0; r < count; r += kernels::kLanes) {
    const std::size_t some = std::min(kernels::kLanes, count - r);
    std::byte* to = codes + code_bytes(dtype, r * cols);
    std::byte* scale = scales + scales_bytes(dtype, r, cols);
    const float* from = rows + r * cols;
    if (dtype == DType::INT4_G32) {
      detail::quantize_int4_rows<32>(from, some, cols, rounding, to, scale);
    } else if (dtype == DType::INT4_G64) {
      detail::quantize_int4_rows<64>(from, some, cols, rounding, to, scale);
    } else {
      detail::quantize_int4_rows<128>(from, some, cols, rounding, to, scale);
    }
  }
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2
