// SPDX-License-Identifier: Apache-2.0
// Cuts a text into the pieces within which tokens are merged, by the rules of GPT-2.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "mamba2/tokenizer/unicode.hpp"
#include "mamba2/unicode/utf8.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// A scanner for what GPT-2 writes as the regular expression
///   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
class Pretokenizer {
 public:
  /// Length of the first piece.
  /// @param text valid UTF-8, not empty
  [[nodiscard]] std::size_t first_piece(std::string_view text) {
    if (const std::size_t length = contraction(text); length != 0) return length;
    Run run = first_run(text, 0);
    if (run.value == CharClass::space) {
      // White space before a word: the last character goes with the word if it is a blank, and is
      // a piece of its own if not.
      if (run.end == text.size()) return run.end;
      if (run.last != 0) return run.last;
      if (text[0] != ' ') return run.end;
      run = first_run(text, 1);
    }
    return run.end;
  }

 private:
  /// Characters of one class: text[begin, end), the last of them at `last`.
  struct Run {
    CharClass value;
    std::size_t last, end;
  };

  [[nodiscard]] static std::size_t contraction(std::string_view text) noexcept {
    if (text[0] != '\'' || text.size() < 2) return 0;
    const char c = text[1];
    if (c == 's' || c == 't' || c == 'm' || c == 'd') return 2;
    const std::string_view two = text.substr(1, 2);
    return two == "re" || two == "ve" || two == "ll" ? 3 : 0;
  }

  [[nodiscard]] Run first_run(std::string_view text, std::size_t begin) {
    Run run = {CharClass::other, begin, begin};
    for (std::size_t i = begin; i < text.size();) {
      const unsigned char byte = static_cast<unsigned char>(text[i]);
      const CodePoint c = byte < 0x80 ? CodePoint{byte, 1} : first_code_point(text.substr(i));
      const CharClass value = byte < 0x80 ? kAscii[byte] : class_of(c.value);
      if (i == begin) run.value = value;
      if (value != run.value) break;
      run.last = i;
      i += c.length;
      run.end = i;
    }
    return run;
  }

  [[nodiscard]] CharClass class_of(char32_t c) noexcept {
    if (!recent_.contains(c)) recent_ = class_range(c);
    return recent_.value;
  }

  static constexpr std::array<CharClass, 128> kAscii = [] {
    std::array<CharClass, 128> classes{};
    for (std::size_t c = 0; c < classes.size(); ++c) {
      const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
      const bool number = c >= '0' && c <= '9';
      const bool space = c == ' ' || (c >= '\t' && c <= '\r');
      classes[c] = letter   ? CharClass::letter
                   : number ? CharClass::number
                   : space  ? CharClass::space
                            : CharClass::other;
    }
    return classes;
  }();

  ClassRange recent_;  // most texts stay within few ranges: found once, looked up seldom
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
