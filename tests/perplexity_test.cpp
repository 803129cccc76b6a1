// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <cstddef>
#include <numeric>
#include <vector>

#include "tools/perplexity/windows.hpp"

using mamba2::Token;
using perplexity::Window;

namespace {

std::vector<Token> counted(std::size_t n) {
  std::vector<Token> tokens(n);
  std::iota(tokens.begin(), tokens.end(), 0);
  return tokens;
}

}  // namespace

TEST_CASE("llama.cpp's windows: the second halves but for a token") {
  const std::vector<Token> text = counted(1700);
  const std::vector<Window> windows = perplexity::halves(text, 512);
  REQUIRE(windows.size() == 3);
  for (std::size_t i = 0; i < windows.size(); ++i) {
    CHECK(windows[i].tokens.front() == static_cast<Token>(512 * i));
    CHECK(windows[i].tokens.size() == 512);
    CHECK(windows[i].tokens.size() - windows[i].first == 255);
  }
  CHECK(perplexity::halves(counted(511), 512).empty());
}

TEST_CASE("rolling windows score every token but the first, once") {
  for (const std::size_t size : std::vector<std::size_t>{2, 3, 8, 9, 10, 16, 17, 18, 25, 26}) {
    CAPTURE(size);
    const std::vector<Token> text = counted(size);
    Token next = 1;
    for (const Window& window : perplexity::rolling(text, 8)) {
      REQUIRE(window.first >= 1);
      // As long as it may be: 8 tokens are read, and 9 are in a window.
      CHECK(window.tokens.size() == std::min<std::size_t>(9, size));
      for (std::size_t i = window.first; i < window.tokens.size(); ++i) {
        CHECK(window.tokens[i] == next++);
      }
    }
    CHECK(next == static_cast<Token>(size));
  }
  CHECK(perplexity::rolling(counted(1), 8).empty());
}

TEST_CASE("rolling windows are those of the harness: the last reaches back") {
  const std::vector<Token> text = counted(21);
  const std::vector<Window> windows = perplexity::rolling(text, 8);
  REQUIRE(windows.size() == 3);
  CHECK(windows[0].tokens.front() == 0);
  CHECK(windows[0].first == 1);
  // The first window has read 0 .. 7, the second reads 8 .. 15: the last that the first has scored,
  // and what it scores itself.
  CHECK(windows[1].tokens.front() == 8);
  CHECK(windows[1].first == 1);
  CHECK(windows[2].tokens.front() == 12);
  CHECK(windows[2].first == 5);
}

TEST_CASE("words are counted as re.split counts pieces") {
  CHECK(perplexity::count_words("") == 1);
  CHECK(perplexity::count_words("one") == 1);
  CHECK(perplexity::count_words("two words") == 2);
  CHECK(perplexity::count_words("two \t\n words") == 2);
  CHECK(perplexity::count_words(" two words\n") == 4);
  CHECK(perplexity::count_words("a\u00A0b\u2003c\u200Bd\u3000e") == 4);
  CHECK(perplexity::count_words("\x1C") == 2);
  CHECK(perplexity::count_words("bad \xFF\xE2\x80 bytes") == 3);
}
