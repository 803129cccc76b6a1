// SPDX-License-Identifier: Apache-2.0
// The quantized types of GGUF with codes of 1 and 2 bits and of floats of 4 bits, in blocks of 32
// to 128 elements. Layouts as llama.cpp and the gguf package of Python have them. Every value is
// exact in float.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "mamba2/formats/blocks.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// d where a bit is set, -d where not: fp16 d, 16 bytes of bits, the lowest first.
inline void decode_q1_0(QuantizedBlock block, float* out) noexcept {
  const float d = block.half(0);
  for (std::size_t j = 0; j < 128; ++j) {
    out[j] = d * static_cast<float>(2 * (block.code(2 + j / 8) >> j % 8 & 1) - 1);
  }
}

/// d * (code - 1): fp16 d, 16 bytes of codes of 2 bits, the lowest first.
inline void decode_q2_0(QuantizedBlock block, float* out) noexcept {
  const float d = block.half(0);
  for (std::size_t j = 0; j < 64; ++j) {
    out[j] = d * static_cast<float>((block.code(2 + j / 4) >> j % 4 * 2 & 3) - 1);
  }
}

/// Floats of 4 bits (E2M1): a sign, two bits of exponent, one of mantissa.
inline constexpr std::array<float, 16> kE2M1 = {0.0F,  0.5F,  1.0F,  1.5F,  2.0F,  3.0F,
                                                4.0F,  6.0F,  -0.0F, -0.5F, -1.0F, -1.5F,
                                                -2.0F, -3.0F, -4.0F, -6.0F};

/// 2^(e - 127) times floats of 4 bits: a byte e, 16 bytes of codes; elements j and j + 16 in byte
/// j.
inline void decode_mxfp4(QuantizedBlock block, float* out) noexcept {
  // Half of it, 2^(e - 128), as 2^128 is no float; the two smallest are subnormal.
  const auto e = static_cast<std::uint32_t>(block.code(0));
  const auto half = std::bit_cast<float>(e < 2 ? 0x00200000U << e : (e - 1) << 23);
  decode_nibbles(block, 1, 0, out, [half](int code) {
    return half * (2.0F * kE2M1[static_cast<std::size_t>(code)]);
  });
}

/// A float of 8 bits without a sign (UE4M3): 0x7F, which is NaN elsewhere, counts as 0 here.
[[nodiscard]] inline float ue4m3(int bits) noexcept {
  if (bits == 0x7F) return 0.0F;
  const auto exponent = static_cast<std::uint32_t>(bits >> 3 & 15);
  const auto mantissa = static_cast<std::uint32_t>(bits & 7);
  if (exponent == 0) return static_cast<float>(mantissa) * 0x1p-9F;
  return std::bit_cast<float>((exponent + 120) << 23 | mantissa << 20);
}

/// Four parts of 16 elements, a scale times floats of 4 bits: 4 bytes of scales (UE4M3), 32 of
/// codes, 8 to a part; elements j and j + 8 of a part in byte j.
inline void decode_nvfp4(QuantizedBlock block, float* out) noexcept {
  for (std::size_t part = 0; part < 4; ++part) {
    const float scale = ue4m3(block.code(part));
    for (std::size_t j = 0; j < 8; ++j) {
      const auto both = static_cast<std::size_t>(block.code(4 + 8 * part + j));
      out[16 * part + j] = scale * kE2M1[both & 15];
      out[16 * part + 8 + j] = scale * kE2M1[both >> 4];
    }
  }
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
