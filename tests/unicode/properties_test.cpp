// SPDX-License-Identifier: Apache-2.0
#include "mamba2/unicode/properties.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <string_view>

namespace {

using namespace mamba2::detail;

std::size_t count(const CharSet& set) {
  std::size_t out = 0;
  for (const CodePointRange range : set.ranges()) out += range.last - range.first + 1;
  return out;
}

CharSet property(std::string_view name) {
  const auto set = property_set(name, true);
  REQUIRE(set.has_value());
  return *set;
}

}  // namespace

TEST_CASE("each code point is of one general category") {
  std::size_t all = 0;
  for (const char* name : kCategoryNames) all += count(property(name));
  CHECK(all == 0x110000);
  std::size_t groups = 0;
  for (const char* name : {"C", "L", "M", "N", "P", "S", "Z"}) groups += count(property(name));
  CHECK(groups == 0x110000);
  CHECK(count(property("Cs")) == 0x800);
  CHECK(count(property("Nd")) == 760);  // of Unicode 16.0
  CHECK(count(property("Lu")) == 1858);
  CHECK(count(property("Lt")) == 31);
}

TEST_CASE("names of properties") {
  CHECK(property("Lowercase_Letter") == property("Ll"));
  CHECK(property("uppercase letter") == property("LU"));
  CHECK(property("Cased-Letter") == property("LC"));
  CHECK(property("white_space") == white_space());
  CHECK(property("Any") == CharSet(0, 0x10FFFF));
  CHECK(property("ASCII") == CharSet(0, 0x7F));
  for (const char* name : {"", "Foo", "L&", "Script=Han", "L ", "Lx"}) {
    INFO(name);
    CHECK(property_set(name, true).has_value() == (std::string_view(name) == "L "));
  }
}

TEST_CASE("scripts") {
  CHECK(property("Han").contains(U'\u4E2D'));
  CHECK(property("Han").contains(U'\U00020000'));
  CHECK(!property("Han").contains(U'\u3042'));
  CHECK(property("Hiragana").contains(U'\u3042'));
  CHECK(property("Katakana").contains(U'\u30A2'));
  CHECK(property("Latin").contains(U'\u00E9'));
  CHECK(!property("Latin").contains(U'1'));
  CHECK(property("Common").contains(U'1'));
  CHECK(property("Cyrillic").contains(U'\u0416'));
  CHECK(property("Inherited").contains(U'\u0301'));
}

TEST_CASE("white space and words") {
  CHECK(count(white_space()) == 25);
  CHECK(!white_space().contains(0x1C));
  CHECK(!white_space().contains(0x200B));
  for (const char32_t c : {U'a', U'\u0301', U'7', U'_', U'\u2160', U'\u24B6', U'\u00AA'}) {
    CHECK(word_characters(true).contains(c));
  }
  CHECK(!word_characters(true).contains(U'\u00BD'));
  CHECK(word_characters(false).contains(U'\u00BD'));  // a half: only outside of classes
  CHECK(!word_characters(false).contains(U'\u2460'));
}

TEST_CASE("POSIX brackets") {
  CHECK(*posix_set("digit") == property("Nd"));
  CHECK(*posix_set("space") == white_space());
  CHECK(count(*posix_set("xdigit")) == 22);
  CHECK(posix_set("punct")->contains('+'));
  CHECK(posix_set("punct")->contains(U'\u2026'));
  CHECK(posix_set("punct")->contains(U'\u00D7'));  // symbols, too
  CHECK(!posix_set("punct")->contains('1'));
  CHECK(!posix_set("foo").has_value());
}
