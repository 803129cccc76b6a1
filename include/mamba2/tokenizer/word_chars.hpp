// SPDX-License-Identifier: Apache-2.0
// What words consist of where the `tokenizers` package asks Rust's regular expressions: letters,
// marks, digits, connecting punctuation, and what else is alphabetic or joins.
#pragma once

#include "mamba2/unicode/char_set.hpp"
#include "mamba2/unicode/properties.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// The inside of a class of Oniguruma.
inline constexpr const char* kWordClass =
    R"(\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{200C}\x{200D}\x{24B6}-\x{24E9}\x{1F130}-\x{1F149})"
    R"(\x{1F150}-\x{1F169}\x{1F170}-\x{1F189})";

[[nodiscard]] inline CharSet word_chars() {
  CharSet out = set_of_categories(categories("L") | categories("M") | categories("Nd") |
                                  categories("Nl") | categories("Pc"));
  out.add(0x200C, 0x200D);
  out.add(0x24B6, 0x24E9);
  out.add(0x1F130, 0x1F149);
  out.add(0x1F150, 0x1F169);
  out.add(0x1F170, 0x1F189);
  out.settle();
  return out;
}

[[nodiscard]] inline bool is_word_char(char32_t c) {
  static const CharSet words = word_chars();
  return words.contains(c);
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
