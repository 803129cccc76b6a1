// SPDX-License-Identifier: Apache-2.0
// Matrices whose codes and scales are apart: INT8, INT4 and TERNARY.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <string_view>

#include "mamba2/core/half.hpp"
#include "mamba2/formats/dtype.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

// An element is scale * code. INT8: a byte for each code, -127..127, and an F32 scale for each row.
// INT4: two codes to a byte, the first in its low half, each plus 8; an F16 scale for each group of
// columns, which is a block of the type. TERNARY: an element is code / scale, as BitMamba-2 has it;
// four codes to a byte, the first in its lowest bits, each plus 1; one F32 scale for the matrix.

[[nodiscard]] constexpr std::size_t scale_bytes(DType dtype) {
  const bool is_float = dtype == DType::INT8 || dtype == DType::TERNARY;
  return is_float ? sizeof(float) : sizeof(std::uint16_t);
}

/// The index'th of many scales.
[[nodiscard]] inline float read_scale(DType dtype, const std::byte* scales, std::size_t index) {
  if (scale_bytes(dtype) == sizeof(float)) {
    float scale = 0.0F;
    std::memcpy(&scale, scales + index * sizeof scale, sizeof scale);
    return scale;
  }
  std::uint16_t half = 0;
  std::memcpy(&half, scales + index * sizeof half, sizeof half);
  return fp16_to_float(half);
}

/// What a scale must be, for messages.
[[nodiscard]] constexpr std::string_view expected_scale(DType dtype) {
  return dtype == DType::TERNARY ? "positive and finite, and its inverse, too"
                                 : "a finite value, and its products with codes";
}

/// The first scale that is not that.
[[nodiscard]] inline std::optional<std::size_t> find_bad_scale(DType dtype,
                                                               std::span<const std::byte> scales) {
  constexpr float kMost = std::numeric_limits<float>::max() / 128.0F;
  for (std::size_t i = 0; i < scales.size() / scale_bytes(dtype); ++i) {
    const float scale = read_scale(dtype, scales.data(), i);
    const bool is_divisor = scale > 0.0F && std::isnormal(scale) && std::isnormal(1.0F / scale);
    if (dtype == DType::TERNARY ? !is_divisor : !(std::fabs(scale) <= kMost)) return i;
  }
  return std::nullopt;
}

/// A code of TERNARY: the index'th of many; 2 is none.
[[nodiscard]] constexpr int ternary_code(const std::byte* codes, std::size_t index) {
  return (static_cast<int>(codes[index / 4]) >> index % 4 * 2 & 3) - 1;
}

/// What a code must be, for messages, and what is found where one is not.
[[nodiscard]] constexpr std::string_view expected_code(DType dtype) {
  return dtype == DType::TERNARY ? "-1, 0 or 1" : "in -127..127";
}
[[nodiscard]] constexpr float impossible_code(DType dtype) {
  return dtype == DType::TERNARY ? 2.0F : -128.0F;
}

/// The first code that is out of range.
[[nodiscard]] inline std::optional<std::size_t> find_bad_code(DType dtype,
                                                              std::span<const std::byte> codes) {
  constexpr std::byte kMinimum{0x80};  // -128, which products do not expect
  if (dtype == DType::TERNARY) {
    const auto is_bad = [](std::byte four) {
      return (four & four >> 1 & std::byte{0x55}) != std::byte{0};
    };
    const auto bad = std::find_if(codes.begin(), codes.end(), is_bad);
    if (bad == codes.end()) return std::nullopt;
    auto index = static_cast<std::size_t>(bad - codes.begin()) * 4;
    while (ternary_code(codes.data(), index) != 2) ++index;
    return index;
  }
  if (dtype != DType::INT8) return std::nullopt;
  const auto bad = std::find(codes.begin(), codes.end(), kMinimum);
  if (bad == codes.end()) return std::nullopt;
  return static_cast<std::size_t>(bad - codes.begin());
}

/// Reads the elements [first, first + out.size()) of a matrix with `cols` columns; of INT4 whole
/// groups.
inline void read_scaled_codes(DType dtype, const std::byte* codes, const std::byte* scales,
                              std::size_t cols, std::size_t first, std::span<float> out) noexcept {
  if (dtype == DType::TERNARY) {
    const float value = 1.0F / read_scale(dtype, scales, 0);
    for (std::size_t i = 0; i < out.size(); ++i) {
      out[i] = value * static_cast<float>(ternary_code(codes, first + i));
    }
    return;
  }
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
