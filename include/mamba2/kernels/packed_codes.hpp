// SPDX-License-Identifier: Apache-2.0
// How codes of 2, 4, 5 and 6 bits share bytes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "mamba2/core/platform.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels {

// Kernels load 4 bytes of every row at a time, a quad, and take codes of 4 neighbouring columns
// from the same bits of all its bytes. Codes of
//   2 bits, 16 columns to a quad: byte j has those of the columns j, j + 4, j + 8 and j + 12, the
//           first in its low bits.
//   4 bits, 8 columns to a quad: the low halves of the bytes have columns 0 to 3, the high ones 4
//   to
//           7.
//   5 bits, 32 columns to five quads: the low bits of quad i have columns 4 i to 4 i + 3. The high
//           three bits have the rest, their high three bits and then, in the high two of the next
//           quad, their low two: of columns 20 in quads 0 and 1, 24 in 2 and 3. Columns 28 have
//           high bits in quad 4, the next bit in bit 5 of quad 1, the last in bit 5 of quad 3.
//   6 bits, 16 columns to three quads: the low bits of quad i have columns 4 i to 4 i + 3, and the
//           high two bits of the three, the highest first, have columns 12 to 15.

/// The four bytes of quad i of some codes.
template <std::size_t kBits>
[[nodiscard]] constexpr std::array<std::byte, 4> packed_quad(const std::uint8_t* codes,
                                                             std::size_t i) {
  static_assert(kBits == 4 || kBits == 5 || kBits == 6);
  std::array<std::byte, 4> bytes{};
  for (std::size_t j = 0; j < 4; ++j) {
    const auto code = [=](std::size_t first) -> unsigned { return codes[first + j]; };
    unsigned byte = 0;
    if constexpr (kBits == 4) {
      byte = code(8 * i) | code(8 * i + 4) << 4;
    } else if constexpr (kBits == 6) {
      byte = code(4 * i) | (code(12) << 2 * i & 0x30) << 2;
    } else {
      const unsigned last = code(28);
      const unsigned high[5] = {code(20) >> 2, (code(20) & 3) << 1 | (last >> 1 & 1), code(24) >> 2,
                                (code(24) & 3) << 1 | (last & 1), last >> 2};
      byte = code(4 * i) | high[i] << 5;
    }
    bytes[j] = static_cast<std::byte>(byte);
  }
  return bytes;
}

/// The code of column k, of which byte(i) is the one in quad i.
template <std::size_t kBits, class Byte>
[[nodiscard]] constexpr int packed_code(std::size_t k, const Byte& byte) {
  static_assert(kBits == 4 || kBits == 5 || kBits == 6);
  const std::size_t i = k / 4;
  if constexpr (kBits == 4) {
    return byte(i / 2) >> i % 2 * 4 & 15;
  } else if constexpr (kBits == 6) {
    if (i % 4 < 3) return byte(i / 4 * 3 + i % 4) & 63;
    const std::size_t q = i / 4 * 3;
    return byte(q) >> 6 << 4 | byte(q + 1) >> 6 << 2 | byte(q + 2) >> 6;
  } else {
    if (i < 5) return byte(i) & 31;
    if (i == 7) return byte(4) >> 5 << 2 | (byte(1) >> 4 & 2) | (byte(3) >> 5 & 1);
    const std::size_t q = i == 5 ? 0 : 2;
    return byte(q) >> 5 << 2 | byte(q + 1) >> 6;
  }
}

}  // namespace kernels
}  // namespace MAMBA2_ISA
}  // namespace mamba2
