// SPDX-License-Identifier: Apache-2.0
// Floats of 8 bits: F8_E4M3 and F8_E5M2 of safetensors, as PyTorch's float8_e4m3fn and float8_e5m2.
#pragma once

#include <bit>
#include <cstdint>

#include "mamba2/core/half.hpp"
#include "mamba2/formats/dtype.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

[[nodiscard]] constexpr bool is_fp8(DType dtype) noexcept {
  return dtype == DType::F8_E4M3 || dtype == DType::F8_E5M2;
}

/// The value of 4 bits of exponent (bias 7) and 3 of mantissa, exact: subnormals included. There is
/// no infinity, and but one NaN of each sign: all ones.
[[nodiscard]] constexpr float e4m3_to_float(std::uint8_t bits) noexcept {
  const std::uint32_t sign = (bits & 0x80U) << 24;
  const std::uint32_t magnitude = bits & 0x7FU;
  if (magnitude == 0x7FU) return std::bit_cast<float>(sign | 0x7FC00000U);
  if (magnitude < 8U) {
    const float multiple = static_cast<float>(magnitude) * 0x1p-9F;
    return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(multiple));
  }
  return std::bit_cast<float>(sign | ((magnitude << 20) + ((127U - 7U) << 23)));
}

/// The value of 5 bits of exponent and 2 of mantissa: the upper half of an FP16 number.
[[nodiscard]] constexpr float e5m2_to_float(std::uint8_t bits) noexcept {
  return fp16_to_float(static_cast<std::uint16_t>(bits << 8));
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2
