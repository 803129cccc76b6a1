// SPDX-License-Identifier: Apache-2.0
#include "mamba2/sequence/prompt_lookup.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

using mamba2::PromptLookup;
using mamba2::Token;

namespace {
namespace looked_up {

/// How many tokens before two places of a text, the later of which is its end, are the same.
std::size_t agreement(const std::vector<Token>& text, std::size_t place, std::size_t oldest) {
  std::size_t n = 0;
  while (n < place - oldest && n < PromptLookup::kMostMatched &&
         text[place - 1 - n] == text[text.size() - 1 - n]) {
    ++n;
  }
  return n;
}

/// The last place before the end behind as many of its tokens as is longest of kLengths; 0: none.
std::size_t place_of(const std::vector<Token>& text, std::size_t oldest) {
  for (const std::size_t length : PromptLookup::kLengths) {
    for (std::size_t place = text.size() - 1; place >= oldest + length; --place) {
      if (agreement(text, place, oldest) >= length) return place;
    }
  }
  return 0;
}

/// Whether a draft is that of the oracle.
bool is_drafted(const PromptLookup& lookup, const std::vector<Token>& text, std::size_t most) {
  const std::size_t oldest = static_cast<std::size_t>(lookup.history().oldest());
  std::vector<Token> out(most, -7);
  const auto draft = lookup.draft(out);
  const std::size_t place = text.empty() ? 0 : place_of(text, oldest);
  if (place == 0) return draft.tokens == 0 && draft.matched == 0;
  std::vector<Token> expected(text.begin() + static_cast<std::ptrdiff_t>(place), text.end());
  for (std::size_t i = 0; expected.size() < most; ++i) expected.push_back(expected[i]);
  expected.resize(most);
  return draft.tokens == most && out == expected && draft.matched == agreement(text, place, oldest);
}

}  // namespace looked_up
}  // namespace

TEST_CASE("prompt lookup: what followed the longest end that came before, the last time") {
  for (const unsigned vocabulary : {2U, 3U, 8U, 40U, 5000U}) {
    CAPTURE(vocabulary);
    std::mt19937 random(vocabulary);
    PromptLookup lookup;
    std::vector<Token> text;
    std::size_t wrong = 0, drafted = 0;
    for (int i = 0; i < 1500; ++i) {
      // Now and then a part of the text once more.
      const std::size_t from = text.empty() ? 0 : random() % text.size();
      const std::size_t length = text.empty() || random() % 3 != 0 ? 0 : random() % 12;
      for (std::size_t k = 0; k <= length; ++k) {
        const Token token = k < length ? text[from + k % (text.size() - from)]
                                       : static_cast<Token>(random() % vocabulary);
        if (text.size() >= 3000) break;
        text.push_back(token);
        lookup.add(token);
      }
      if (!looked_up::is_drafted(lookup, text, 1 + random() % 15)) ++wrong;
      std::array<Token, 1> one{};
      drafted += lookup.draft(one).tokens;
    }
    // The tables have room for twice as many ends as there are tokens: few are forgotten for
    // others.
    CAPTURE(wrong);
    CHECK(wrong <= 45);
    CHECK(drafted > 100);
  }
}

TEST_CASE("prompt lookup: drafts did follow in the text that is remembered, whatever happens") {
  std::mt19937 random(5);
  PromptLookup lookup(64);
  std::vector<Token> text;  // from place `first` on
  std::uint64_t first = 0;
  std::size_t drafted = 0;
  for (int i = 0; i < 20000; ++i) {
    const auto& history = lookup.history();
    if (random() % 50 == 0) {  // back, or on to where nothing is known
      const std::uint64_t size = random() % 3 == 0
                                     ? history.size() + random() % 9
                                     : history.size() - random() % 70 % (history.size() + 1);
      const bool is_kept = size <= first + text.size() && size >= first;
      lookup.cut(size);
      CHECK(history.size() == size);
      if (is_kept) {
        text.resize(static_cast<std::size_t>(size - first));
      } else {
        text.clear();
        first = size;
      }
    }
    const Token token = static_cast<Token>(random() % (i % 1000 < 500 ? 3 : 9));
    text.push_back(token);
    lookup.add(token);
    REQUIRE(history.size() == first + text.size());
    REQUIRE(history.size() - history.oldest() <= 64);
    REQUIRE(history.oldest() >= first);
    std::array<Token, 5> out{};
    const auto draft = lookup.draft(out);
    if (draft.tokens == 0) continue;
    ++drafted;
    REQUIRE(draft.tokens == 5);
    REQUIRE(draft.matched >= PromptLookup::kLengths.back());
    // Some place has these tokens before and behind it.
    const std::size_t known = static_cast<std::size_t>(history.size() - history.oldest());
    const std::vector<Token> last(text.end() - static_cast<std::ptrdiff_t>(known), text.end());
    bool is_found = false;
    for (std::size_t place = draft.matched; place < known && !is_found; ++place) {
      const std::size_t back = known - place;
      is_found = looked_up::agreement(last, place, 0) >= draft.matched;
      for (std::size_t k = 0; k < 5; ++k) {
        is_found = is_found && out[k] == last[place + k % back];
      }
    }
    REQUIRE(is_found);
  }
  CHECK(drafted > 5000);
}

TEST_CASE("prompt lookup: one token again and again, and none") {
  PromptLookup lookup(100);
  CHECK(lookup.history().capacity() == 128);
  std::array<Token, 15> out{};
  CHECK(lookup.draft(out).tokens == 0);
  for (std::size_t i = 1; i < 1000; ++i) {
    lookup.add(3);
    const auto draft = lookup.draft(out);
    CHECK(draft.tokens == (i < 2 ? 0 : 15));
    if (i >= 2) {
      CHECK(std::ranges::count(out, 3) == 15);
      CHECK(draft.matched >= std::min<std::size_t>(i - 1, 8));
    }
  }
  CHECK(lookup.draft({}).tokens == 0);
  lookup.cut(0);
  CHECK(lookup.draft(out).tokens == 0);
  CHECK(lookup.bytes() < 8192);
}
