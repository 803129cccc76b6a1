// SPDX-License-Identifier: Apache-2.0
#include "mamba2/tokenizer/unicode.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <utility>

using namespace mamba2::detail;

TEST_CASE("the classes have as many members as Unicode 16.0 says") {
  std::array<std::size_t, 4> count{};
  for (char32_t c = 0; c < 0x110000;) {
    const ClassRange range = class_range(c);
    REQUIRE(range.first == c);
    REQUIRE(range.size > 0);
    REQUIRE(range.contains(c + range.size - 1));
    REQUIRE_FALSE(range.contains(c + range.size));
    REQUIRE(class_range(c + range.size - 1).first == c);
    count[static_cast<std::size_t>(range.value)] += range.size;
    c += range.size;
  }
  CHECK(count[static_cast<std::size_t>(CharClass::letter)] == 141028);
  CHECK(count[static_cast<std::size_t>(CharClass::number)] == 1911);
  CHECK(count[static_cast<std::size_t>(CharClass::space)] == 25);
}

TEST_CASE("classes of single code points") {
  const auto class_of = [](char32_t c) { return class_range(c).value; };
  for (const char32_t c : {U'a', U'Z', U'ß', U'Ж', U'中', U'\uD7A3', U'\U000105C0'}) {
    CHECK(class_of(c) == CharClass::letter);
  }
  for (const char32_t c : {U'0', U'٣', U'½', U'Ⅷ', U'〇', U'\U0001D7D8'}) {
    CHECK(class_of(c) == CharClass::number);
  }
  for (const char32_t c : {U'\t', U' ', U'\u0085', U'\u00A0', U'\u2028', U'\u3000'}) {
    CHECK(class_of(c) == CharClass::space);
  }
  // A mark, a zero width space, a separator that \s does not know, the unassigned, the last.
  for (const char32_t c : {U'.', U'\u0301', U'\u200B', U'\u001C', U'\U000E0FFF', U'\U0010FFFF'}) {
    CHECK(class_of(c) == CharClass::other);
  }
}

TEST_CASE("combining classes") {
  for (const auto& [c, expected] : {std::pair<char32_t, unsigned>{U'a', 0},
                                    {U'\u0301', 230},
                                    {U'\u0323', 220},
                                    {U'\u0334', 1},
                                    {U'\u0345', 240},
                                    {U'\u05B0', 10},
                                    {U'\u3099', 8},
                                    {U'\U0001D165', 216},
                                    {U'\u1DF6', 0},  // 232 since Unicode 10
                                    {U'\U0010FFFF', 0}}) {
    CHECK(combining_class(c) == expected);
  }
}

TEST_CASE("composition undoes decomposition, but for what is excluded") {
  std::size_t pairs = 0;
  std::size_t excluded = 0;
  for (char32_t c = 0; c < 0x110000; ++c) {
    const auto [a, b] = decompose(c);
    if (b == 0) continue;
    const char32_t composed = compose(a, b);
    if (composed != c && composed != 0) FAIL("code point " << static_cast<unsigned>(c));
    if (composed == 0) CHECK(nfc_joins(c));
    if (composed != 0) CHECK(nfc_joins(b));
    ++(composed == 0 ? excluded : pairs);
  }
  CHECK(pairs == 940 + 11172);  // and the Hangul syllables
  CHECK(excluded == 85);
  CHECK(compose(U'a', U'b') == 0);
  CHECK(compose(U'\uAC01', U'\u11A8') == 0);  // a syllable that has its final consonant
  CHECK(compose(U'\uAC00', U'\u11A7') == 0);  // one before the finals
  CHECK(compose(U'\U0010FFFF', U'\U0010FFFF') == 0);
}
