// SPDX-License-Identifier: Apache-2.0
// Codes of 5 bits on their way into NEON registers.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

#include "mamba2/core/platform.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::neon {

/// The codes of 32 columns, 4 to a register. low(bytes) makes them of those in the low 5 bits,
/// high(bytes) of those in the high 5 bits; the other bits are others'.
template <class Low, class High>
void load_five_bits(const std::byte* from, int8x16_t (&w)[2][4], Low low, High high) {
  uint8x16_t quads[5];
#pragma GCC unroll 5
  for (std::size_t i = 0; i < 5; ++i) {
    quads[i] = vld1q_u8(reinterpret_cast<const std::uint8_t*>(from) + 16 * i);
    w[i / 4][i % 4] = low(quads[i]);
  }
  w[1][1] = high(vsriq_n_u8(quads[0], quads[1], 3));
  w[1][2] = high(vsriq_n_u8(quads[2], quads[3], 3));
  const uint8x16_t last = vsriq_n_u8(quads[4], vshlq_n_u8(quads[1], 2), 3);
  w[1][3] = high(vsriq_n_u8(last, vshlq_n_u8(quads[3], 2), 4));
}

inline void load_unsigned_five_bits(const std::byte* from, int8x16_t (&w)[2][4]) {
  load_five_bits(
      from, w, [](uint8x16_t v) { return vreinterpretq_s8_u8(vandq_u8(v, vdupq_n_u8(31))); },
      [](uint8x16_t v) { return vreinterpretq_s8_u8(vshrq_n_u8(v, 3)); });
}
inline void load_signed_five_bits(const std::byte* from, int8x16_t (&w)[2][4]) {
  const auto high = [](uint8x16_t v) { return vshrq_n_s8(vreinterpretq_s8_u8(v), 3); };
  load_five_bits(
      from, w, [=](uint8x16_t v) { return high(vshlq_n_u8(v, 3)); }, high);
}
/// Signed, and 8 times too large.
inline void load_scaled_five_bits(const std::byte* from, int8x16_t (&w)[2][4]) {
  load_five_bits(
      from, w, [](uint8x16_t v) { return vreinterpretq_s8_u8(vshlq_n_u8(v, 3)); },
      [](uint8x16_t v) { return vreinterpretq_s8_u8(vandq_u8(v, vdupq_n_u8(0xF8))); });
}

}  // namespace kernels::neon
}  // namespace MAMBA2_ISA
}  // namespace mamba2
