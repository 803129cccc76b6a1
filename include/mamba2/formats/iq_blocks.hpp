// SPDX-License-Identifier: Apache-2.0
// The quantized types of GGUF whose codes are numbers of rows of a grid, for 256 elements: IQ1, IQ2
// and IQ3. Layouts as the gguf package of Python decodes them. All products are exact in float.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "mamba2/core/half.hpp"
#include "mamba2/formats/blocks.hpp"
#include "mamba2/formats/iq_grids.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// What the digits of the grids stand for.
inline constexpr std::array<float, 3> kIq2Levels = {8, 25, 43};
inline constexpr std::array<float, 8> kIq3XxsLevels = {4, 12, 20, 28, 36, 44, 52, 62};
inline constexpr std::array<float, 8> kIq3SLevels = {1, 3, 5, 7, 9, 11, 13, 15};

/// Seven signs in 7 bits; the eighth is such that their number is even.
[[nodiscard]] inline unsigned with_eighth_sign(unsigned seven) noexcept {
  return seven | static_cast<unsigned>(std::popcount(seven)) % 2 << 7;
}

/// Elements of a row of a grid: bit i of `signs` is the sign of element i.
template <std::size_t kWidth, std::size_t kLevels>
void decode_grid_row(const std::array<std::uint8_t, kWidth>& digits,
                     const std::array<float, kLevels>& levels, float scale, unsigned signs,
                     float* out) noexcept {
  for (std::size_t i = 0; i < kWidth; ++i) {
    const float value = scale * levels[digits[i]];
    out[i] = (signs >> i & 1U) != 0 ? -value : value;
  }
}

/// A number of 16 bits, and the i'th one of 4 bits.
[[nodiscard]] inline unsigned iq_short(QuantizedBlock block, std::size_t at) noexcept {
  return static_cast<unsigned>(block.code(at) | block.code(at + 1) << 8);
}
[[nodiscard]] inline int iq_nibble(QuantizedBlock block, std::size_t at, std::size_t i) noexcept {
  return block.code(at + i / 2) >> i % 2 * 4 & 15;
}

/// d * (1/2 + scale) / 4 * level: fp16 d, then for 32 elements 4 numbers of rows, and 28 bits of
/// signs below 4 of a scale.
inline void decode_iq2_xxs(QuantizedBlock block, float* out) noexcept {
  const float d = block.half(0);
  for (std::size_t j = 0; j < 8; ++j) {
    const std::uint32_t signs = block.word(2 + 8 * j + 4);
    const float scale = d * (0.5F + static_cast<float>(signs >> 28)) * 0.25F;
    for (std::size_t k = 0; k < 4; ++k) {
      const auto row = static_cast<std::size_t>(block.code(2 + 8 * j + k));
      decode_grid_row(kIQ2_XXSGrid[row], kIq2Levels, scale, with_eighth_sign(signs >> 7 * k & 127U),
                      out + 32 * j + 8 * k);
    }
  }
}

/// d * (1/2 + scale) / 4 * level: fp16 d, for 8 elements 9 bits of a row below 7 of signs, then
/// for 16 elements 4 bits of a scale.
inline void decode_iq2_xs(QuantizedBlock block, float* out) noexcept {
  const float d = block.half(0);
  for (std::size_t i = 0; i < 32; ++i) {
    const unsigned both = iq_short(block, 2 + 2 * i);
    const float scale = d * (0.5F + static_cast<float>(iq_nibble(block, 66, i / 2))) * 0.25F;
    decode_grid_row(kIQ2_XSGrid[both & 511U], kIq2Levels, scale, with_eighth_sign(both >> 9),
                    out + 8 * i);
  }
}

/// d * (1/2 + scale) / 4 * level: fp16 d, for 8 elements the low 8 bits of a row, then their signs,
/// then the high 2 bits of rows, then for 16 elements 4 bits of a scale.
inline void decode_iq2_s(QuantizedBlock block, float* out) noexcept {
  const float d = block.half(0);
  for (std::size_t i = 0; i < 32; ++i) {
    const int high = block.code(66 + i / 4) >> i % 4 * 2 & 3;
    const auto row = static_cast<std::size_t>(block.code(2 + i) | high << 8);
    const float scale = d * (0.5F + static_cast<float>(iq_nibble(block, 74, i / 2))) * 0.25F;
    decode_grid_row(kIQ2_SGrid[row], kIq2Levels, scale, static_cast<unsigned>(block.code(34 + i)),
                    out + 8 * i);
  }
}

/// d * (1/2 + scale) / 2 * level: fp16 d, 64 numbers of rows of 4 elements, then for 32 elements 28
/// bits of signs below 4 of a scale.
inline void decode_iq3_xxs(QuantizedBlock block, float* out) noexcept {
  const float d = block.half(0);
  for (std::size_t j = 0; j < 8; ++j) {
    const std::uint32_t signs = block.word(66 + 4 * j);
    const float scale = d * (0.5F + static_cast<float>(signs >> 28)) * 0.5F;
    for (std::size_t k = 0; k < 8; ++k) {
      const auto row = static_cast<std::size_t>(block.code(2 + 8 * j + k));
      const unsigned eight = with_eighth_sign(signs >> k / 2 * 7 & 127U);
      decode_grid_row(kIQ3_XXSGrid[row], kIq3XxsLevels, scale, eight >> k % 2 * 4,
                      out + 32 * j + 4 * k);
    }
  }
}

/// d * (1 + 2 * scale) * level: fp16 d, the low 8 bits of 64 rows of 4 elements, then the ninth
/// ones, then signs, then for 32 elements 4 bits of a scale.
inline void decode_iq3_s(QuantizedBlock block, float* out) noexcept {
  const float d = block.half(0);
  for (std::size_t i = 0; i < 64; ++i) {
    const int ninth = block.code(66 + i / 8) >> i % 8 & 1;
    const auto row = static_cast<std::size_t>(block.code(2 + i) | ninth << 8);
    const float scale = d * static_cast<float>(1 + 2 * iq_nibble(block, 106, i / 8));
    const auto signs = static_cast<unsigned>(block.code(74 + i / 2));
    decode_grid_row(kIQ3_SGrid[row], kIq3SLevels, scale, signs >> i % 2 * 4, out + 4 * i);
  }
}

/// 8 elements scale * (-1, 0 or 1, and an eighth more or less).
inline void decode_iq1_row(std::size_t row, float scale, bool is_less, float* out) noexcept {
  const float shift = is_less ? -1.125F : -0.875F;
  for (std::size_t i = 0; i < 8; ++i) {
    out[i] = scale * (static_cast<float>(kIQ1Grid[row][i]) + shift);
  }
}

/// fp16 d, for 8 elements the low 8 bits of a row, then for 32 elements 3 more bits of each of 4
/// rows, 3 bits of a scale 1 + 2 * bits, and whether the eighth is less.
inline void decode_iq1_s(QuantizedBlock block, float* out) noexcept {
  const float d = block.half(0);
  for (std::size_t i = 0; i < 32; ++i) {
    const unsigned high = iq_short(block, 34 + i / 4 * 2);
    const std::size_t row = static_cast<std::size_t>(block.code(2 + i)) | (high >> i % 4 * 3 & 7U)
                                                                              << 8;
    const float scale = d * static_cast<float>(1 + 2 * (high >> 12 & 7U));
    decode_iq1_row(row, scale, high >> 15 != 0, out + 8 * i);
  }
}

/// For 8 elements the low 8 bits of a row, then 4 bits: 3 more, and whether the eighth is less.
/// Then four numbers of 16 bits: for 16 elements 3 bits of a scale 1 + 2 * bits, and in the highest
/// 4 a part of an fp16 d, the lowest part first.
inline void decode_iq1_m(QuantizedBlock block, float* out) noexcept {
  constexpr std::size_t kScales = 48;
  unsigned d_bits = 0;
  for (std::size_t i = 0; i < 4; ++i) d_bits |= iq_short(block, kScales + 2 * i) >> 12 << 4 * i;
  const float d = fp16_to_float(static_cast<std::uint16_t>(d_bits));
  for (std::size_t i = 0; i < 32; ++i) {
    const int high = iq_nibble(block, 32, i);
    const auto row = static_cast<std::size_t>(block.code(i) | (high & 7) << 8);
    const unsigned scales = iq_short(block, kScales + i / 8 * 2);
    const float scale = d * static_cast<float>(1 + 2 * (scales >> i / 2 % 4 * 3 & 7U));
    decode_iq1_row(row, scale, (high & 8) != 0, out + 8 * i);
  }
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
