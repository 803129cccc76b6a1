// SPDX-License-Identifier: Apache-2.0
// Cuts a text into the pieces within which tokens are merged, by the rules of GPT-2 and of Llama 3:
// scanners for the regular expressions that most tokenizers have.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

#include "mamba2/tokenizer/unicode.hpp"
#include "mamba2/unicode/utf8.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// The expressions that are scanned for: kGpt2Pattern, kLlama3Pattern and kQwen2Pattern.
enum class PieceRules { gpt2, llama3, qwen2 };

class Pretokenizer {
 public:
  /// Length of the first piece.
  /// @param text valid UTF-8, not empty
  [[nodiscard]] std::size_t first_piece(std::string_view text, PieceRules rules) {
    if (rules == PieceRules::gpt2) return first_piece(text);
    return first_piece(text, rules == PieceRules::llama3 ? std::size_t{3} : std::size_t{1});
  }

  /// The same by the rules of GPT-2.
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
  /// The same by the rules of Llama 3 and Qwen 2.
  [[nodiscard]] std::size_t first_piece(std::string_view text, std::size_t most_digits) {
    if (const std::size_t length = contraction_of_any_case(text); length != 0) return length;
    const Char first = char_at(text, 0);
    if (first.value == CharClass::letter) return first_run(text, 0).end;
    if (first.value == CharClass::number) {
      std::size_t end = first.length;
      for (std::size_t n = 1; n < most_digits && end < text.size(); ++n) {
        const Char c = char_at(text, end);
        if (c.value != CharClass::number) break;
        end += c.length;
      }
      return end;
    }
    const bool is_break = text[0] == '\r' || text[0] == '\n';
    if (!is_break && first.length < text.size()) {
      const Run after = first_run(text, first.length);
      if (after.value == CharClass::letter) return after.end;
      const bool joins = first.value == CharClass::other || text[0] == ' ';
      if (after.value == CharClass::other && joins) return with_breaks(text, after.end);
    }
    if (first.value == CharClass::other) return with_breaks(text, first.length);
    const Run run = first_run(text, 0);
    const std::size_t last_break = text.substr(0, run.end).find_last_of("\r\n");
    if (last_break != text.npos) return last_break + 1;
    // The last blank goes with what follows.
    return run.end == text.size() || run.last == 0 ? run.end : run.last;
  }

  /// Characters of one class: text[begin, end), the last of them at `last`.
  struct Run {
    CharClass value;
    std::size_t last, end;
  };

  struct Char {
    CharClass value;
    std::size_t length;
  };

  [[nodiscard]] static std::size_t contraction(std::string_view text) noexcept {
    if (text[0] != '\'' || text.size() < 2) return 0;
    const char c = text[1];
    if (c == 's' || c == 't' || c == 'm' || c == 'd') return 2;
    const std::string_view two = text.substr(1, 2);
    return two == "re" || two == "ve" || two == "ll" ? 3 : 0;
  }

  /// 's, 't, 're, 've, 'm, 'll, 'd in upper or lower case, which the long s is one of.
  [[nodiscard]] static std::size_t contraction_of_any_case(std::string_view text) noexcept {
    if (text[0] != '\'' || text.size() < 2) return 0;
    constexpr std::string_view kLongS = "\xC5\xBF";  // U+017F
    if (text.substr(1).starts_with(kLongS)) return 1 + kLongS.size();
    const auto lower = [&](std::size_t i) {
      const char c = i < text.size() ? text[i] : '\0';
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    };
    const char c = lower(1);
    if (c == 's' || c == 't' || c == 'm' || c == 'd') return 2;
    const char next = lower(2);
    return ((c == 'r' || c == 'v') && next == 'e') || (c == 'l' && next == 'l') ? 3 : 0;
  }

  /// The end of the line breaks that follow.
  [[nodiscard]] static std::size_t with_breaks(std::string_view text, std::size_t end) noexcept {
    return std::min(text.find_first_not_of("\r\n", end), text.size());
  }

  [[nodiscard]] Char char_at(std::string_view text, std::size_t i) {
    const unsigned char byte = static_cast<unsigned char>(text[i]);
    if (byte < 0x80) return {kAscii[byte], 1};
    const CodePoint c = first_code_point(text.substr(i));
    return {class_of(c.value), c.length};
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
