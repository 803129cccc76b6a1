// SPDX-License-Identifier: Apache-2.0
// Unicode normalization form C (UAX #15).
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/tokenizer/unicode.hpp"
#include "mamba2/unicode/utf8.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

struct CombiningChar {
  char32_t value;
  unsigned combining;  // canonical combining class
};

/// Appends the full canonical decomposition of `c`.
inline void append_decomposed(char32_t c, std::vector<CombiningChar>& out) {
  const auto begin = static_cast<std::ptrdiff_t>(out.size());
  // Only the first character of a decomposition decomposes further: from the last to the first.
  for (auto pair = decompose(c); pair.first != 0; pair = decompose(c)) {
    if (pair.second != 0) out.push_back({pair.second, combining_class(pair.second)});
    c = pair.first;
  }
  out.push_back({c, combining_class(c)});
  std::reverse(out.begin() + begin, out.end());
}

/// Canonical order: each run of marks is sorted by combining class, stably.
inline void order_marks(std::vector<CombiningChar>& chars) {
  const auto is_mark = [](const CombiningChar& c) { return c.combining != 0; };
  for (auto begin = chars.begin(); begin != chars.end();) {
    begin = std::find_if(begin, chars.end(), is_mark);
    const auto end = std::find_if_not(begin, chars.end(), is_mark);
    std::stable_sort(begin, end, [](const CombiningChar& a, const CombiningChar& b) {
      return a.combining < b.combining;
    });
    begin = end;
  }
}

/// Composes in place, each character with the last starter before it unless one between blocks it.
inline void compose_all(std::vector<CombiningChar>& chars) {
  std::size_t kept = 0;
  std::size_t starter = chars.size();  // none yet
  for (const CombiningChar c : chars) {
    const bool adjacent = kept == starter + 1;
    if (starter < kept && (adjacent || chars[kept - 1].combining < c.combining)) {
      if (const char32_t composed = compose(chars[starter].value, c.value); composed != 0) {
        chars[starter].value = composed;
        continue;
      }
    }
    if (c.combining == 0) starter = kept;
    chars[kept++] = c;
  }
  chars.resize(kept);
}

/// Index of the first character that NFC may change or join to the one before it; text.size() if
/// the text is in NFC for certain.
/// @param text valid UTF-8
[[nodiscard]] inline std::size_t find_nfc_join(std::string_view text, std::size_t i = 0) noexcept {
  constexpr unsigned kLeadOfU0300 = 0xCC;  // nothing below U+0300 joins
  while (i < text.size()) {
    if (static_cast<unsigned char>(text[i]) < kLeadOfU0300) {
      ++i;  // also steps through the bytes of a character
      continue;
    }
    const CodePoint c = first_code_point(text.substr(i));
    if (nfc_joins(c.value)) break;
    i += c.length;
  }
  return i;
}

/// Appends the NFC of `text`, which is copied but for the characters that join and their bases.
/// @param text valid UTF-8
inline void append_nfc(std::string_view text, std::string& out) {
  std::vector<CombiningChar> chars;
  std::size_t copied = 0;
  for (std::size_t join = find_nfc_join(text); join < text.size();
       join = find_nfc_join(text, copied)) {
    std::size_t begin = join;  // of the base
    while (begin > copied && (static_cast<unsigned char>(text[--begin]) & 0xC0) == 0x80) {
    }
    out += text.substr(copied, begin - copied);
    chars.clear();
    std::size_t i = begin;
    do {
      const CodePoint c = first_code_point(text.substr(i));
      if (i > join && !nfc_joins(c.value)) break;
      append_decomposed(c.value, chars);
      i += c.length;
    } while (i < text.size());
    order_marks(chars);
    compose_all(chars);
    for (const CombiningChar& c : chars) append_code_point(c.value, out);
    copied = i;
  }
  out += text.substr(copied);
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
