// SPDX-License-Identifier: Apache-2.0
// UTF-8: validation, replacement of what is invalid, code points.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "mamba2/core/platform.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";  // U+FFFD

enum class Utf8 { valid, invalid, incomplete };

/// What a text starts with: a valid sequence, the longest part of one that can be replaced as a
/// whole ("maximal subpart", Unicode chapter 3.9), or the whole rest, which more bytes may
/// complete.
struct Utf8Step {
  Utf8 kind;
  std::size_t length;
};

/// @param text not empty
[[nodiscard]] inline Utf8Step utf8_step(std::string_view text) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return {Utf8::valid, 1};
  if (lead < 0xC2 || lead > 0xF4) return {Utf8::invalid, 1};
  const std::size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  // The second byte's range excludes overlong forms, surrogates and what lies past U+10FFFF.
  unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  unsigned high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  for (std::size_t i = 1; i < length; ++i, low = 0x80, high = 0xBF) {
    if (i == text.size()) return {Utf8::incomplete, i};
    if (byte(i) < low || byte(i) > high) return {Utf8::invalid, i};
  }
  return {Utf8::valid, length};
}

/// Length of the longest valid prefix.
[[nodiscard]] inline std::size_t valid_utf8_prefix(std::string_view text) noexcept {
  std::size_t i = 0;
  while (i < text.size()) {
    std::uint64_t eight = 0;
    if (text.size() - i >= sizeof eight) {
      std::memcpy(&eight, text.data() + i, sizeof eight);
      if ((eight & 0x8080808080808080U) == 0) {
        i += sizeof eight;
        continue;
      }
    }
    const Utf8Step step = utf8_step(text.substr(i));
    if (step.kind != Utf8::valid) break;
    i += step.length;
  }
  return i;
}

/// Appends `text`, each maximal invalid part of it as one U+FFFD. Stops before an incomplete
/// sequence at the end, and returns how many bytes were consumed.
inline std::size_t append_valid_utf8(std::string_view text, std::string& out) {
  std::size_t i = 0;
  while (i < text.size()) {
    const std::size_t valid = valid_utf8_prefix(text.substr(i));
    out += text.substr(i, valid);
    i += valid;
    if (i == text.size()) break;
    const Utf8Step step = utf8_step(text.substr(i));
    if (step.kind == Utf8::incomplete) break;
    out += kReplacementCharacter;
    i += step.length;
  }
  return i;
}

/// Appends `text`, each maximal invalid part of it as one U+FFFD, as Python's
/// bytes.decode("utf-8", "replace") does.
inline void append_replaced_utf8(std::string_view text, std::string& out) {
  if (append_valid_utf8(text, out) < text.size()) out += kReplacementCharacter;
}

/// Bytes that arrive bit by bit, given out in whole sequences only: what the calls return, put
/// together, is what append_replaced_utf8 makes of all of them.
class Utf8Stream {
 public:
  /// The text that is complete with these bytes, perhaps none; valid until the next call.
  [[nodiscard]] std::string_view push(std::string_view bytes) {
    pending_ += bytes;
    text_.clear();
    pending_.erase(0, append_valid_utf8(pending_, text_));
    return text_;
  }

  /// The end: U+FFFD for an incomplete sequence, if there is one. As new afterwards.
  [[nodiscard]] std::string_view finish() {
    text_.clear();
    append_replaced_utf8(pending_, text_);
    pending_.clear();
    return text_;
  }

 private:
  std::string pending_;  // at most three bytes between calls
  std::string text_;
};

struct CodePoint {
  char32_t value;
  std::size_t length;  // in bytes
};

/// The code point at the start of a valid, not empty text.
[[nodiscard]] inline CodePoint first_code_point(std::string_view text) noexcept {
  const auto bits = [&](std::size_t i, unsigned mask) {
    return static_cast<char32_t>(static_cast<unsigned char>(text[i]) & mask);
  };
  const unsigned lead = static_cast<unsigned char>(text[0]);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xE0) return {bits(0, 0x1F) << 6 | bits(1, 0x3F), 2};
  if (lead < 0xF0) return {bits(0, 0x0F) << 12 | bits(1, 0x3F) << 6 | bits(2, 0x3F), 3};
  return {bits(0, 0x07) << 18 | bits(1, 0x3F) << 12 | bits(2, 0x3F) << 6 | bits(3, 0x3F), 4};
}

/// The code point at the end of a valid, not empty text.
[[nodiscard]] inline char32_t last_code_point(std::string_view text) noexcept {
  std::size_t begin = text.size() - 1;
  while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
  return first_code_point(text.substr(begin)).value;
}

inline void append_code_point(char32_t c, std::string& out) {
  if (c < 0x80) {
    out += static_cast<char>(c);
    return;
  }
  const int rest = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;  // bytes after the first, 6 bits each
  const char32_t mark = rest == 1 ? 0xC0 : rest == 2 ? 0xE0 : 0xF0;
  out += static_cast<char>(mark | c >> 6 * rest);
  for (int i = rest - 1; i >= 0; --i) out += static_cast<char>(0x80 | (c >> 6 * i & 0x3F));
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
