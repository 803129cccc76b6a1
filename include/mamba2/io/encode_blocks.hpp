// SPDX-License-Identifier: Apache-2.0
// Quantizing to the types of GGUF with blocks of 32 elements. Layouts as in quantized_blocks.hpp,
// rounding as ggml does it and, to the bit, as the gguf package of Python does.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "mamba2/core/half.hpp"

namespace mamba2::inline MAMBA2_ISA {
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

/// d = max |x| / 127, codes x / d rounded to nearest, halves away from zero.
inline void encode_q8_0(const float* values, std::byte* out) noexcept {
  constexpr std::size_t kBlock = 32;
  float peak = 0.0F;
  for (std::size_t j = 0; j < kBlock; ++j) peak = std::max(peak, std::fabs(values[j]));
  const float d = peak / 127.0F;
  const float inverse = inverse_scale(d);
  store_half(d, out);
  for (std::size_t j = 0; j < kBlock; ++j) {
    const float scaled = values[j] * inverse;
    // What truncation takes away is exact; adding a half first would round 0.49999997 up.
    const auto whole = static_cast<int>(scaled);
    const float rest = scaled - static_cast<float>(whole);
    const int code = whole + (rest >= 0.5F ? 1 : 0) - (rest <= -0.5F ? 1 : 0);
    out[2 + j] = static_cast<std::byte>(code);
  }
}

/// d = m / -8 for the m of largest magnitude (the first of several), with its sign, so that m has
/// the code 0; codes x / d + 8 rounded to nearest, at most 15.
inline void encode_q4_0(const float* values, std::byte* out) noexcept {
  constexpr std::size_t kHalf = 16;  // elements j and j + 16 share byte j
  float extreme = 0.0F;
  for (std::size_t j = 0; j < 2 * kHalf; ++j) {
    if (std::fabs(values[j]) > std::fabs(extreme)) extreme = values[j];
  }
  const float d = extreme / -8.0F;
  const double inverse = inverse_scale(d);
  store_half(d, out);
  // The product is exact in double: as if multiplied and added with one rounding.
  const auto code = [inverse](float value) {
    return std::min(15, static_cast<int>(static_cast<float>(value * inverse + 8.5)));
  };
  for (std::size_t j = 0; j < kHalf; ++j) {
    out[2 + j] = static_cast<std::byte>(code(values[j]) | code(values[j + kHalf]) << 4);
  }
}

}  // namespace detail
}  // namespace mamba2::inline MAMBA2_ISA
