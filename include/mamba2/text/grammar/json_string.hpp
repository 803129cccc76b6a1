// SPDX-License-Identifier: Apache-2.0
// The inside of a JSON string, byte by byte: valid UTF-8, and escapes but those of code points.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mamba2/core/platform.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// Between the quotation marks: what the bytes so far ask for.
enum class StringAt : std::uint8_t {
  boundary,  ///< a character, or the quotation mark that ends the string
  escape,    ///< what follows a backslash
  one,       ///< so many bytes that continue a character
  two,
  three,
  after_e0,  ///< the second byte of a character, whose range the first one restricts, and the rest
  after_ed,
  after_f0,
  after_f4,
};
inline constexpr std::size_t kStringStates = 9;

struct StringStep {
  enum class Kind : std::uint8_t { wrong, inside, closes } kind = Kind::wrong;
  StringAt next = StringAt::boundary;
  bool begins = false;  ///< whether a character begins here, an escape being one
};

/// A byte that continues a character: in low..high, and what follows it.
[[nodiscard]] constexpr StringStep string_continues(unsigned byte, unsigned low, unsigned high,
                                                    StringAt next) noexcept {
  if (byte < low || byte > high) return {};
  return {StringStep::Kind::inside, next, false};
}

/// A byte where a character may begin.
[[nodiscard]] constexpr StringStep string_begins(unsigned byte) noexcept {
  using Kind = StringStep::Kind;
  if (byte == '"') return {Kind::closes, StringAt::boundary, false};
  if (byte < 0x20) return {};
  if (byte == '\\') return {Kind::inside, StringAt::escape, true};
  if (byte < 0x80) return {Kind::inside, StringAt::boundary, true};
  if (byte < 0xC2 || byte > 0xF4) return {};
  if (byte < 0xE0) return {Kind::inside, StringAt::one, true};
  if (byte == 0xE0) return {Kind::inside, StringAt::after_e0, true};
  if (byte == 0xED) return {Kind::inside, StringAt::after_ed, true};
  if (byte < 0xF0) return {Kind::inside, StringAt::two, true};
  if (byte == 0xF0) return {Kind::inside, StringAt::after_f0, true};
  return {Kind::inside, byte == 0xF4 ? StringAt::after_f4 : StringAt::three, true};
}

/// One byte on. \u is left out: what it can say, UTF-8 and the short escapes say, but for control
/// characters and halves of surrogate pairs.
[[nodiscard]] constexpr StringStep string_step(StringAt at, unsigned byte) noexcept {
  switch (at) {
    case StringAt::boundary:
      return string_begins(byte);
    case StringAt::escape:
      if (byte >= 0x80 ||
          std::string_view("\"\\/bfnrt").find(static_cast<char>(byte)) == std::string_view::npos) {
        return {};
      }
      return {StringStep::Kind::inside, StringAt::boundary, false};
    case StringAt::one:
      return string_continues(byte, 0x80, 0xBF, StringAt::boundary);
    case StringAt::two:
      return string_continues(byte, 0x80, 0xBF, StringAt::one);
    case StringAt::three:
      return string_continues(byte, 0x80, 0xBF, StringAt::two);
    case StringAt::after_e0:
      return string_continues(byte, 0xA0, 0xBF, StringAt::one);
    case StringAt::after_ed:
      return string_continues(byte, 0x80, 0x9F, StringAt::one);
    case StringAt::after_f0:
      return string_continues(byte, 0x90, 0xBF, StringAt::two);
    case StringAt::after_f4:
      return string_continues(byte, 0x80, 0x8F, StringAt::two);
  }
  return {};
}

/// Where some bytes lead that begin inside a string.
struct StringRun {
  StringStep::Kind kind = StringStep::Kind::inside;
  StringAt end = StringAt::boundary;
  std::size_t characters = 0;  ///< that begin in these bytes
  std::size_t read = 0;        ///< bytes, with the quotation mark that closes the string
};

[[nodiscard]] constexpr StringRun run_string(StringAt at, std::string_view bytes) noexcept {
  StringRun run = {StringStep::Kind::inside, at, 0, 0};
  while (run.read < bytes.size() && run.kind == StringStep::Kind::inside) {
    const StringStep step = string_step(run.end, static_cast<unsigned char>(bytes[run.read++]));
    run.kind = step.kind;
    run.end = step.next;
    run.characters += step.begins ? 1 : 0;
  }
  return run;
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
