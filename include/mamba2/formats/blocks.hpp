// SPDX-License-Identifier: Apache-2.0
// The quantized types of GGUF with blocks of 32 elements: a scale d (and in the types _1 a minimum
// m) as fp16, and a code for each element. Layouts as the converters and the gguf package of Python
// write them. Every value is exact in float but for one rounding, that of the sum with m.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "mamba2/core/half.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// The bytes of one block, at any alignment.
class QuantizedBlock {
 public:
  explicit QuantizedBlock(const std::byte* bytes) noexcept : bytes_(bytes) {}

  [[nodiscard]] int code(std::size_t i) const noexcept { return std::to_integer<int>(bytes_[i]); }
  [[nodiscard]] int signed_code(std::size_t i) const noexcept {
    return static_cast<std::int8_t>(bytes_[i]);
  }
  [[nodiscard]] float half(std::size_t i) const noexcept {
    return fp16_to_float(load<std::uint16_t>(i));
  }
  [[nodiscard]] std::uint32_t word(std::size_t i) const noexcept { return load<std::uint32_t>(i); }

 private:
  template <class Stored>
  [[nodiscard]] Stored load(std::size_t i) const noexcept {
    Stored stored;
    std::memcpy(&stored, bytes_ + i, sizeof stored);
    return stored;
  }

  const std::byte* bytes_;
};

/// Elements j and j + 16 have the low and the high four bits of byte j from `codes` on; bit i of
/// `fifth` is the fifth bit of element i. value(code) is what a code stands for.
template <class Number, class Value>
void decode_nibbles(QuantizedBlock block, std::size_t codes, std::uint32_t fifth, Number* out,
                    Value value) noexcept {
  for (std::size_t j = 0; j < 16; ++j) {
    const int both = block.code(codes + j);
    const auto bits = static_cast<int>(fifth >> j & 0x10001U) << 4;
    out[j] = value((both & 15) | (bits & 16));
    out[j + 16] = value(both >> 4 | bits >> 16);
  }
}

/// d * (code - 8): fp16 d, 16 bytes of codes.
inline void decode_q4_0(QuantizedBlock block, float* out) noexcept {
  const float d = block.half(0);
  decode_nibbles(block, 2, 0, out, [d](int code) { return d * static_cast<float>(code - 8); });
}

/// d * code + m: fp16 d, fp16 m, 16 bytes of codes.
inline void decode_q4_1(QuantizedBlock block, float* out) noexcept {
  const float d = block.half(0);
  const float m = block.half(2);
  decode_nibbles(block, 4, 0, out, [d, m](int code) { return d * static_cast<float>(code) + m; });
}

/// d * (code - 16): fp16 d, 4 bytes of fifth bits, 16 of the rest.
inline void decode_q5_0(QuantizedBlock block, float* out) noexcept {
  const float d = block.half(0);
  decode_nibbles(block, 6, block.word(2), out,
                 [d](int code) { return d * static_cast<float>(code - 16); });
}

/// d * code + m: fp16 d, fp16 m, 4 bytes of fifth bits, 16 of the rest.
inline void decode_q5_1(QuantizedBlock block, float* out) noexcept {
  const float d = block.half(0);
  const float m = block.half(2);
  decode_nibbles(block, 8, block.word(4), out,
                 [d, m](int code) { return d * static_cast<float>(code) + m; });
}

/// d * code: fp16 d, 32 signed bytes.
inline void decode_q8_0(QuantizedBlock block, float* out) noexcept {
  const float d = block.half(0);
  for (std::size_t j = 0; j < 32; ++j) out[j] = d * static_cast<float>(block.signed_code(2 + j));
}

/// What the codes of IQ4_NL and IQ4_XS stand for.
inline constexpr std::array<std::int8_t, 16> kIq4Values = {
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
[[nodiscard]] constexpr int iq4_value(int code) noexcept {
  return kIq4Values[static_cast<std::size_t>(code)];
}

/// d * a value of the table: fp16 d, 16 bytes of codes.
inline void decode_iq4_nl(QuantizedBlock block, float* out) noexcept {
  const float d = block.half(0);
  decode_nibbles(block, 2, 0, out,
                 [d](int code) { return d * static_cast<float>(iq4_value(code)); });
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
