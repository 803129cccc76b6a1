// SPDX-License-Identifier: Apache-2.0
// How a text is cut into windows, of which some tokens are scored.
#pragma once

#include <algorithm>
#include <cstddef>
#include <mamba2/mamba2.hpp>
#include <mamba2/unicode/utf8.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace perplexity {

/// Tokens to read from an empty state. Those from the first'th on, at least the second, are scored.
struct Window {
  std::span<const mamba2::Token> tokens;
  std::size_t first;
};

/// As llama.cpp counts: windows of `context` tokens, one after the other. The first half is
/// context, the second is scored but for its first token; what is left at the end is not used.
inline std::vector<Window> halves(std::span<const mamba2::Token> text, std::size_t context) {
  std::vector<Window> windows;
  for (std::size_t begin = 0; begin + context <= text.size(); begin += context) {
    windows.push_back({text.subspan(begin, context), context / 2 + 1});
  }
  return windows;
}

/// As lm-evaluation-harness counts ("rolling"): every token is scored, the first of them after the
/// end-of-text token that the caller has put before the text. Windows read at most `context` tokens
/// and have nothing in common, but for the last, which reaches back to be as long as the others.
inline std::vector<Window> rolling(std::span<const mamba2::Token> text, std::size_t context) {
  std::vector<Window> windows;
  for (std::size_t done = 1; done < text.size();) {
    const std::size_t count = std::min(context, text.size() - done);
    const std::size_t end = done + count;
    const std::size_t begin = end - std::min(end, context + 1);
    windows.push_back({text.subspan(begin, end - begin), done - begin});
    done = end;
  }
  return windows;
}

/// Whether Python's str.split and \s take a character for a space.
constexpr bool is_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

/// The pieces of a text between runs of spaces, as the harness counts words: empty ones at the
/// beginning and the end are pieces, too.
inline std::size_t count_words(std::string_view utf8) {
  std::string text;
  mamba2::detail::append_replaced_utf8(utf8, text);
  std::size_t words = 1;
  bool in_space = false;
  for (std::string_view rest = text; !rest.empty();) {
    const mamba2::detail::CodePoint c = mamba2::detail::first_code_point(rest);
    rest.remove_prefix(c.length);
    if (is_space(c.value) && !in_space) ++words;
    in_space = is_space(c.value);
  }
  return words;
}

}  // namespace perplexity
