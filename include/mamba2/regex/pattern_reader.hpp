// SPDX-License-Identifier: Apache-2.0
// Reads a pattern character by character, and escapes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "mamba2/core/result.hpp"
#include "mamba2/unicode/properties.hpp"
#include "mamba2/unicode/utf8.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// What both halves of the parser share: a place in a pattern, and the first error. After an error
/// there is nothing left to read, so that every loop ends.
class PatternReader {
 public:
  static constexpr std::size_t kMaxBytes = 16384;

  explicit PatternReader(std::string_view pattern) noexcept : pattern_(pattern), rest_(pattern) {}

  [[nodiscard]] const std::optional<Error>& error() const noexcept { return error_; }

 protected:
  [[nodiscard]] bool done() const noexcept { return rest_.empty(); }
  [[nodiscard]] bool looking_at(std::string_view text) const noexcept {
    return rest_.starts_with(text);
  }
  [[nodiscard]] std::string_view rest() const noexcept { return rest_; }
  void skip(std::size_t bytes) noexcept { rest_.remove_prefix(std::min(bytes, rest_.size())); }

  [[nodiscard]] bool take(std::string_view text) noexcept {
    if (!looking_at(text)) return false;
    rest_.remove_prefix(text.size());
    return true;
  }

  /// The next character; 0 at the end.
  char32_t next() noexcept {
    if (done()) return 0;
    const CodePoint c = first_code_point(rest_);
    rest_.remove_prefix(c.length);
    return c.value;
  }

  void fail(ErrorCode code, std::string_view what) {
    if (error_) return;
    constexpr std::size_t kShown = 200;
    std::size_t shown = std::min(pattern_.size(), kShown);
    while (shown < pattern_.size() &&
           (static_cast<unsigned char>(pattern_[shown]) & 0xC0) == 0x80) {
      --shown;
    }
    error_ = Error{code, concat("regular expression '", pattern_.substr(0, shown),
                                shown < pattern_.size() ? "...'" : "'", " at byte ",
                                pattern_.size() - rest_.size(), ": ", what)};
    rest_ = {};
  }
  void malformed(std::string_view what) { fail(ErrorCode::malformed, what); }
  void unsupported(std::string_view what) {
    fail(ErrorCode::unsupported, concat(what, " is not supported"));
  }

  /// An escape that stands for a set of characters; `rest()` is behind the backslash.
  [[nodiscard]] std::optional<CharSet> set_escape(bool in_class) {
    if (done()) return std::nullopt;
    const char letter = rest()[0];
    std::optional<CharSet> set;
    switch (letter) {
      case 'd':
      case 'D':
        set = set_of_categories(categories("Nd"));
        break;
      case 's':
      case 'S':
        set = white_space();
        break;
      case 'w':
      case 'W':
        set = word_characters(in_class);
        break;
      case 'h':
      case 'H':
        set = posix_set("xdigit");
        break;
      case 'p':
      case 'P':
        return property_escape(in_class);
      default:
        return std::nullopt;
    }
    skip(1);
    return letter >= 'a' ? set : set->complement();
  }

  /// An escape that stands for one character; `rest()` is behind the backslash.
  [[nodiscard]] char32_t char_escape() {
    if (done()) malformed("a backslash at the end");
    const char32_t letter = next();
    switch (letter) {
      case 'n':
        return '\n';
      case 'r':
        return '\r';
      case 't':
        return '\t';
      case 'f':
        return '\f';
      case 'v':
        return '\v';
      case 'a':
        return '\a';
      case 'e':
        return 0x1B;
      case 'x':
        return looking_at("{") ? braced_hex() : hex(2, 0x7F);
      case 'u':
        return hex(4, kLastCodePoint);
      default:
        break;
    }
    const bool letter_or_digit = (letter >= 'a' && letter <= 'z') ||
                                 (letter >= 'A' && letter <= 'Z') ||
                                 (letter >= '0' && letter <= '9');
    if (letter_or_digit) unsupported(concat("the escape \\", static_cast<char>(letter)));
    return letter;
  }

 private:
  /// \p{Name}, \p{^Name}, \P{Name}
  [[nodiscard]] std::optional<CharSet> property_escape(bool in_class) {
    bool negated = take("P");
    if (!negated) skip(1);
    if (!take("{")) {
      unsupported("a property without braces");
      return std::nullopt;
    }
    if (take("^")) negated = !negated;
    const std::size_t length = rest().find('}');
    if (length == std::string_view::npos) {
      malformed("a property without its closing brace");
      return std::nullopt;
    }
    const std::string_view name = rest().substr(0, length);
    std::optional<CharSet> set = property_set(name, in_class);
    if (!set) {
      unsupported(concat("the property '", name.substr(0, 40), "'"));
      return std::nullopt;
    }
    skip(length + 1);
    return negated ? set->complement() : set;
  }

  [[nodiscard]] static std::optional<std::uint32_t> hex_digit(char c) noexcept {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return std::nullopt;
  }

  /// The code point that exactly so many hexadecimal digits say.
  [[nodiscard]] char32_t hex(std::size_t digits, char32_t largest) {
    char32_t value = 0;
    for (std::size_t i = 0; i < digits; ++i) {
      const auto digit = done() ? std::nullopt : hex_digit(rest()[0]);
      if (!digit) {
        malformed(concat("expected ", digits, " hexadecimal digits"));
        return 0;
      }
      value = value * 16 + *digit;
      skip(1);
    }
    if (value > largest || (value >= 0xD800 && value < 0xE000)) {
      malformed("an escape of a number that is not a character's");
    }
    return value;
  }

  [[nodiscard]] char32_t braced_hex() {
    skip(1);
    const std::size_t digits = rest().find('}');
    if (digits == 0 || digits > 8) {  // or none at all
      malformed("expected \\x{...} with 1 to 8 hexadecimal digits");
      return 0;
    }
    const char32_t value = hex(digits, kLastCodePoint);
    skip(1);
    return value;
  }

  std::string_view pattern_, rest_;
  std::optional<Error> error_;
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
