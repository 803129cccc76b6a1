// SPDX-License-Identifier: Apache-2.0
// The 16-bit floats of checkpoints, IEEE binary16 (fp16) and bfloat16 (bf16), as bits.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>

#include "mamba2/core/platform.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

static_assert(std::numeric_limits<float>::is_iec559, "float must be IEEE binary32");

/// The largest finite values of both.
inline constexpr float kMaxFp16 = 65504.0F;
inline constexpr float kMaxBf16 = 0x1.FEp127F;

/// The value of a bfloat16: the upper half of a float, so this is exact.
[[nodiscard]] constexpr float bf16_to_float(std::uint16_t bits) noexcept {
  return std::bit_cast<float>(std::uint32_t{bits} << 16);
}

/// The nearest bfloat16, ties to even; overflow gives infinity, a NaN stays a (quiet) NaN.
/// Straight-line code: loops over it vectorise.
[[nodiscard]] constexpr std::uint16_t float_to_bf16(float value) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t quiet = bits >> 16 | 0x40U;
  const std::uint32_t rounded = (bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16;
  return static_cast<std::uint16_t>((bits & 0x7FFFFFFFU) > 0x7F800000U ? quiet : rounded);
}

/// The value of an IEEE binary16, exact: subnormals, infinities and NaN payloads included.
/// Straight-line code that makes no subnormal float on the way: loops over it vectorise, and a mode
/// that flushes subnormals to zero changes nothing.
[[nodiscard]] constexpr float fp16_to_float(std::uint16_t bits) noexcept {
  const std::uint32_t sign = (bits & 0x8000U) << 16;
  const std::uint32_t magnitude = bits & 0x7FFFU;
  // Exponent bias 15 -> 127; the exponent of infinity and NaN goes 31 -> 255.
  const std::uint32_t rebias = (magnitude < 0x7C00U ? 127U - 15U : 255U - 31U) << 23;
  const std::uint32_t normal = (magnitude << 13) + rebias;
  // A subnormal is so many times 2^-24. Chosen by mask: with ?: the compiler would branch around
  // the multiplication, as it may trap.
  const float multiple = static_cast<float>(static_cast<std::int32_t>(magnitude)) * 0x1p-24F;
  const std::uint32_t is_subnormal = magnitude < 0x0400U ? 0xFFFFFFFFU : 0U;
  const std::uint32_t subnormal = std::bit_cast<std::uint32_t>(multiple) & is_subnormal;
  return std::bit_cast<float>(sign | subnormal | (normal & ~is_subnormal));
}

/// The nearest IEEE binary16, ties to even; overflow gives infinity, a NaN stays a (quiet) NaN.
[[nodiscard]] constexpr std::uint16_t float_to_fp16(float value) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = bits >> 16 & 0x8000U;
  const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
  std::uint32_t half = 0;
  if (magnitude > 0x7F800000U) {  // NaN
    half = 0x7E00U | (magnitude >> 13 & 0x01FFU);
  } else if (magnitude >= 0x47800000U) {  // 2^16 and above
    half = 0x7C00U;
  } else if (magnitude >= 0x38800000U) {  // 2^-14 and above: normal; the carry may reach infinity
    const std::uint32_t rebiased = magnitude - ((127U - 15U) << 23);
    half = (rebiased + 0x0FFFU + (rebiased >> 13 & 1U)) >> 13;
  } else if (magnitude >= 0x33000000U) {  // 2^-25 and above: a multiple of 2^-24 after rounding
    const std::uint32_t significand = (magnitude & 0x007FFFFFU) | 0x00800000U;
    const std::uint32_t shift = 126U - (magnitude >> 23);  // 14..24
    const std::uint32_t below_half = (1U << (shift - 1)) - 1U;
    half = (significand + below_half + (significand >> shift & 1U)) >> shift;
  }
  return static_cast<std::uint16_t>(sign | half);
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2
