// SPDX-License-Identifier: Apache-2.0
// Quantizing to the types of GGUF with blocks of 32 elements. Layouts as in quantized_blocks.hpp,
// rounding as ggml does it and, to the bit, as the gguf package of Python does.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "mamba2/core/half.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// Stores a scale as fp16.
inline void store_half(float value, std::byte* out) noexcept {
  const std::uint16_t bits = float_to_fp16(value);
  std::memcpy(out, &bits, sizeof bits);
}

/// 1 / d, or 0 where that is no number; as fp16 such a d is 0.
[[nodiscard]] inline float inverse_scale(float d) noexcept {
  return std::fabs(d) < 0x1p-126F ? 0.0F : 1.0F / d;
}

/// The 32 elements of a block times a factor, rounded to float before anything is added to them:
/// left alone, compilers multiply and add with one rounding where the CPU can, and round ties
/// otherwise.
[[nodiscard]] inline std::array<float, 32> scaled_block(const float* values,
                                                        float factor) noexcept {
  std::array<float, 32> scaled;
  for (std::size_t j = 0; j < scaled.size(); ++j) scaled[j] = values[j] * factor;
  asm("" : "+m"(scaled));
  return scaled;
}

/// d = max |x| / 127, codes x / d rounded to nearest, halves away from zero.
inline void encode_q8_0(const float* values, std::byte* out) noexcept {
  float peak = 0.0F;
  for (std::size_t j = 0; j < 32; ++j) peak = std::max(peak, std::fabs(values[j]));
  const float d = peak / 127.0F;
  store_half(d, out);
  const auto scaled = scaled_block(values, inverse_scale(d));
  for (std::size_t j = 0; j < 32; ++j) {
    // What truncation takes away is exact; adding a half first would round 0.49999997 up.
    const auto whole = static_cast<int>(scaled[j]);
    const float rest = scaled[j] - static_cast<float>(whole);
    const int code = whole + (rest >= 0.5F ? 1 : 0) - (rest <= -0.5F ? 1 : 0);
    out[2 + j] = static_cast<std::byte>(code);
  }
}

/// d = m / -8 for the m of largest magnitude (the first of several), with its sign, so that m has
/// the code 0; codes x / d + 8.5 without their fraction, at most 15.
inline void encode_q4_0(const float* values, std::byte* out) noexcept {
  float extreme = 0.0F;
  for (std::size_t j = 0; j < 32; ++j) {
    if (std::fabs(values[j]) > std::fabs(extreme)) extreme = values[j];
  }
  const float d = extreme / -8.0F;
  store_half(d, out);
  const auto scaled = scaled_block(values, inverse_scale(d));
  const auto code = [&](std::size_t j) { return std::min(15, static_cast<int>(scaled[j] + 8.5F)); };
  // Elements j and j + 16 share byte j.
  for (std::size_t j = 0; j < 16; ++j) {
    out[2 + j] = static_cast<std::byte>(code(j) | code(j + 16) << 4);
  }
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
