// SPDX-License-Identifier: Apache-2.0
// Matrices whose codes and scales are tensors of their own: INT8 and INT4.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <span>

#include "mamba2/core/half.hpp"
#include "mamba2/formats/dtype.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

// An element is scale * code. INT8: a byte for each code, -127..127, and an F32 scale for each row.
// INT4: two codes to a byte, the first in its low half, each plus 8; an F16 scale for each group of
// columns, which is a block of the type.

[[nodiscard]] constexpr std::size_t scale_bytes(DType dtype) {
  return dtype == DType::INT8 ? sizeof(float) : sizeof(std::uint16_t);
}

/// The index'th of many scales.
[[nodiscard]] inline float read_scale(DType dtype, const std::byte* scales, std::size_t index) {
  if (dtype == DType::INT8) {
    float scale = 0.0F;
    std::memcpy(&scale, scales + index * sizeof scale, sizeof scale);
    return scale;
  }
  std::uint16_t half = 0;
  std::memcpy(&half, scales + index * sizeof half, sizeof half);
  return fp16_to_float(half);
}

/// The first scale that is not finite, or would make an element that is not.
[[nodiscard]] inline std::optional<std::size_t> find_bad_scale(DType dtype,
                                                               std::span<const std::byte> scales) {
  constexpr float kMost = std::numeric_limits<float>::max() / 128.0F;
  for (std::size_t i = 0; i < scales.size() / scale_bytes(dtype); ++i) {
    if (!(std::fabs(read_scale(dtype, scales.data(), i)) <= kMost)) return i;
  }
  return std::nullopt;
}

/// The first code that is out of range.
[[nodiscard]] inline std::optional<std::size_t> find_bad_code(DType dtype,
                                                              std::span<const std::byte> codes) {
  constexpr std::byte kMinimum{0x80};  // -128, which products do not expect
  if (dtype != DType::INT8) return std::nullopt;
  const auto bad = std::find(codes.begin(), codes.end(), kMinimum);
  if (bad == codes.end()) return std::nullopt;
  return static_cast<std::size_t>(bad - codes.begin());
}

/// Reads the elements [first, first + out.size()) of a matrix with `cols` columns; of INT4 whole
/// groups.
inline void read_scaled_codes(DType dtype, const std::byte* codes, const std::byte* scales,
                              std::size_t cols, std::size_t first, std::span<float> out) noexcept {
  const std::size_t group = dtype == DType::INT8 ? cols : dtype_block(dtype);
  while (!out.empty()) {
    const std::size_t count = std::min(out.size(), group - first % group);
    const float scale = read_scale(dtype, scales, first / group);
    if (dtype == DType::INT8) {
      for (std::size_t i = 0; i < count; ++i) {
        out[i] = scale * static_cast<float>(static_cast<std::int8_t>(codes[first + i]));
      }
    } else {
      for (std::size_t i = 0; i + 1 < count; i += 2) {
        const auto both = static_cast<int>(codes[(first + i) / 2]);
        out[i] = scale * static_cast<float>((both & 15) - 8);
        out[i + 1] = scale * static_cast<float>((both >> 4) - 8);
      }
    }
    out = out.subspan(count);
    first += count;
  }
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
