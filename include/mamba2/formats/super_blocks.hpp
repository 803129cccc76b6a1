// SPDX-License-Identifier: Apache-2.0
// The quantized types of GGUF with blocks of 256 elements: the K types and IQ4_XS, whose sub-blocks
// of 16 or 32 elements have scales (and minima) that are quantized themselves, and the ternary
// types. Layouts as the converters and the gguf package of Python write them. Codes times scales
// are exact in float, so that only the difference with a minimum is rounded.
#pragma once

#include <array>
#include <cstddef>

#include "mamba2/formats/blocks.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// A scale and a minimum of Q4_K and Q5_K, 6 bits each.
struct SixBits {
  int scale, min;
};

/// Those of sub-block j of 8, in the 12 bytes from `at` on: of the first four in the low six bits
/// of bytes j and j + 4; of the last four the low four bits in byte j + 4, the rest above the
/// others.
[[nodiscard]] inline SixBits six_bits(QuantizedBlock block, std::size_t at,
                                      std::size_t j) noexcept {
  if (j < 4) return {block.code(at + j) & 63, block.code(at + 4 + j) & 63};
  const int low = block.code(at + 4 + j);
  return {(low & 15) | (block.code(at + j - 4) >> 6 << 4),
          low >> 4 | (block.code(at + j) >> 6 << 4)};
}

/// d * scale * code - dmin * min, codes of 2 bits: 16 bytes of a scale (low) and a minimum (high)
/// of 4 bits for 16 elements, 64 bytes of codes, fp16 d, fp16 dmin.
inline void decode_q2_k(QuantizedBlock block, float* out) noexcept {
  const float d = block.half(80);
  const float dmin = block.half(82);
  for (std::size_t j = 0; j < 16; ++j) {
    const float scale = d * static_cast<float>(block.code(j) & 15);
    const float min = dmin * static_cast<float>(block.code(j) >> 4);
    const std::size_t codes = 16 + j / 8 * 32 + j % 2 * 16;
    const std::size_t shift = j % 8 / 2 * 2;
    for (std::size_t l = 0; l < 16; ++l) {
      out[16 * j + l] = scale * static_cast<float>(block.code(codes + l) >> shift & 3) - min;
    }
  }
}

/// The scale of sub-block j of Q3_K, and the code of its element l: both signed.
[[nodiscard]] inline int q3_k_scale(QuantizedBlock block, std::size_t j) noexcept {
  const int low = block.code(96 + j % 8) >> j / 8 * 4 & 15;
  const int high = block.code(104 + j % 4) >> j / 4 * 2 & 3;
  return (low | high << 4) - 32;
}
[[nodiscard]] inline int q3_k_code(QuantizedBlock block, std::size_t j, std::size_t l) noexcept {
  const std::size_t codes = 32 + j / 8 * 32 + j % 2 * 16;
  const int third = block.code(j % 2 * 16 + l) >> j / 2 & 1;
  return ((block.code(codes + l) >> j % 8 / 2 * 2 & 3) | third << 2) - 4;
}

/// d * scale * code, codes of 3 bits: 32 bytes of third bits, 64 of the low two, 12 of scales of 6
/// bits for 16 elements, fp16 d.
inline void decode_q3_k(QuantizedBlock block, float* out) noexcept {
  const float d = block.half(108);
  for (std::size_t j = 0; j < 16; ++j) {
    const float scale = d * static_cast<float>(q3_k_scale(block, j));
    for (std::size_t l = 0; l < 16; ++l) {
      out[16 * j + l] = scale * static_cast<float>(q3_k_code(block, j, l));
    }
  }
}

/// The code of element l of sub-block j of Q4_K, and of Q5_K.
[[nodiscard]] inline int q4_k_code(QuantizedBlock block, std::size_t j, std::size_t l) noexcept {
  return block.code(16 + j / 2 * 32 + l) >> j % 2 * 4 & 15;
}

[[nodiscard]] inline int q5_k_code(QuantizedBlock block, std::size_t j, std::size_t l) noexcept {
  const int fifth = block.code(16 + l) >> j & 1;
  return (block.code(48 + j / 2 * 32 + l) >> j % 2 * 4 & 15) | fifth << 4;
}

/// d * scale * code - dmin * min, codes of 4 bits: fp16 d, fp16 dmin, 12 bytes of scales and minima
/// for 32 elements, 128 bytes of codes.
inline void decode_q4_k(QuantizedBlock block, float* out) noexcept {
  const float d = block.half(0);
  const float dmin = block.half(2);
  for (std::size_t j = 0; j < 8; ++j) {
    const SixBits six = six_bits(block, 4, j);
    const float scale = d * static_cast<float>(six.scale);
    const float min = dmin * static_cast<float>(six.min);
    for (std::size_t l = 0; l < 32; ++l) {
      out[32 * j + l] = scale * static_cast<float>(q4_k_code(block, j, l)) - min;
    }
  }
}

/// As Q4_K with codes of 5 bits: 32 bytes of fifth bits before the 128 of the low four.
inline void decode_q5_k(QuantizedBlock block, float* out) noexcept {
  const float d = block.half(0);
  const float dmin = block.half(2);
  for (std::size_t j = 0; j < 8; ++j) {
    const SixBits six = six_bits(block, 4, j);
    const float scale = d * static_cast<float>(six.scale);
    const float min = dmin * static_cast<float>(six.min);
    for (std::size_t l = 0; l < 32; ++l) {
      out[32 * j + l] = scale * static_cast<float>(q5_k_code(block, j, l)) - min;
    }
  }
}

/// The scale of sub-block j of Q6_K, and the code of its element l: both signed.
[[nodiscard]] inline int q6_k_scale(QuantizedBlock block, std::size_t j) noexcept {
  return block.signed_code(192 + j);
}
[[nodiscard]] inline int q6_k_code(QuantizedBlock block, std::size_t j, std::size_t l) noexcept {
  const std::size_t half = j / 8;         // of 128 elements
  const std::size_t quarter = j % 8 / 2;  // of a half: 32 elements
  const std::size_t first = j % 2 * 16;   // in a quarter
  const int low = block.code(half * 64 + quarter % 2 * 32 + first + l) >> quarter / 2 * 4 & 15;
  const int high = block.code(128 + half * 32 + first + l) >> quarter * 2 & 3;
  return (low | high << 4) - 32;
}

/// d * scale * code, codes of 6 bits: 128 bytes of the low four, 64 of the high two, 16 signed
/// bytes of scales for 16 elements, fp16 d.
inline void decode_q6_k(QuantizedBlock block, float* out) noexcept {
  const float d = block.half(208);
  for (std::size_t j = 0; j < 16; ++j) {
    const float scale = d * static_cast<float>(q6_k_scale(block, j));
    for (std::size_t l = 0; l < 16; ++l) {
      out[16 * j + l] = scale * static_cast<float>(q6_k_code(block, j, l));
    }
  }
}

/// The scale of sub-block j of IQ4_XS, signed, and the code of its element l.
[[nodiscard]] inline int iq4_xs_scale(QuantizedBlock block, std::size_t j) noexcept {
  const int low = block.code(4 + j / 2) >> j % 2 * 4 & 15;
  const int high = block.code(2 + j / 4) >> j % 4 * 2 & 3;
  return (low | high << 4) - 32;
}
[[nodiscard]] inline int iq4_xs_code(QuantizedBlock block, std::size_t j, std::size_t l) noexcept {
  return block.code(8 + j * 16 + l % 16) >> l / 16 * 4 & 15;
}

/// d * scale * the value of a code of 4 bits, as in IQ4_NL: fp16 d, 2 bytes of the high two bits of
/// scales of 6 bits for 32 elements, 4 of their low four, 128 bytes of codes.
inline void decode_iq4_xs(QuantizedBlock block, float* out) noexcept {
  const float d = block.half(0);
  for (std::size_t j = 0; j < 8; ++j) {
    const float scale = d * static_cast<float>(iq4_xs_scale(block, j));
    for (std::size_t l = 0; l < 32; ++l) {
      out[32 * j + l] = scale * static_cast<float>(iq4_value(iq4_xs_code(block, j, l)));
    }
  }
}

/// d * (trit - 1): 48 bytes of five trits, 4 bytes of four, fp16 d. A byte is a fraction of 256 in
/// base 3, rounded up: times 3^n its whole part loses n trits, and times 3 the next comes out.
inline void decode_tq1_0(QuantizedBlock block, float* out) noexcept {
  constexpr std::array<int, 5> kPowers = {1, 3, 9, 27, 81};
  const float d = block.half(52);
  const auto decode = [&](std::size_t first, std::size_t bytes, std::size_t trits) {
    for (std::size_t n = 0; n < trits; ++n) {
      for (std::size_t m = 0; m < bytes; ++m) {
        const int rest = block.code(first + m) * kPowers[n] & 255;
        *out++ = d * static_cast<float>((rest * 3 >> 8) - 1);
      }
    }
  };
  decode(0, 32, 5);
  decode(32, 16, 5);
  decode(48, 4, 4);
}

/// d * (code - 1), codes of 2 bits: 64 bytes of codes, fp16 d.
inline void decode_tq2_0(QuantizedBlock block, float* out) noexcept {
  const float d = block.half(64);
  for (std::size_t j = 0; j < 8; ++j) {
    for (std::size_t l = 0; l < 32; ++l) {
      const int code = block.code(j / 4 * 32 + l) >> j % 4 * 2 & 3;
      out[32 * j + l] = d * static_cast<float>(code - 1);
    }
  }
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
