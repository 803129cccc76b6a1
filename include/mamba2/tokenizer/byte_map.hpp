// SPDX-License-Identifier: Apache-2.0
// The printable characters that stand for bytes in byte-level vocabularies (as in GPT-2).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "mamba2/unicode/utf8.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// Bytes that are printable in Latin-1 stand for themselves, the other 68 in increasing order for
/// U+0100, U+0101, ...
inline constexpr std::array<char32_t, 256> kByteToChar = [] {
  std::array<char32_t, 256> chars{};
  char32_t next = 0x100;
  for (char32_t b = 0; b < 256; ++b) {
    const bool printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
    chars[b] = printable ? b : next++;
  }
  return chars;
}();

inline constexpr std::size_t kMappedChars = 0x100 + 68;

/// The byte that a character stands for, -1 if it stands for none.
inline constexpr std::array<std::int16_t, kMappedChars> kCharToByte = [] {
  std::array<std::int16_t, kMappedChars> bytes{};
  for (auto& b : bytes) b = -1;
  for (std::size_t b = 0; b < 256; ++b) bytes[kByteToChar[b]] = static_cast<std::int16_t>(b);
  return bytes;
}();

/// Appends the bytes that the characters of `text` stand for, or, if one of them stands for none,
/// `text` itself.
/// @return whether all stand for bytes
/// @param text valid UTF-8
inline bool append_mapped_bytes(std::string_view text, std::string& out) {
  const std::size_t size_before = out.size();
  for (std::size_t i = 0; i < text.size();) {
    const CodePoint c = first_code_point(text.substr(i));
    const int byte = c.value < kMappedChars ? kCharToByte[c.value] : -1;
    if (byte < 0) {
      out.resize(size_before);
      out += text;
      return false;
    }
    out += static_cast<char>(byte);
    i += c.length;
  }
  return true;
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
