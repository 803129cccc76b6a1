// SPDX-License-Identifier: Apache-2.0
#include "mamba2/unicode/utf8.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

namespace {

using namespace mamba2::detail;

std::string replaced(std::string_view text) {
  std::string out;
  append_replaced_utf8(text, out);
  return out;
}

const std::string kBad(kReplacementCharacter);

}  // namespace

TEST_CASE("each code point survives encoding and decoding") {
  std::string text;
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c == 0xD800) c = 0xE000;
    text.clear();
    append_code_point(c, text);
    const Utf8Step step = utf8_step(text);
    const CodePoint decoded = first_code_point(text);
    if (step.kind != Utf8::valid || step.length != text.size() || decoded.value != c ||
        decoded.length != text.size()) {
      FAIL("code point " << static_cast<unsigned>(c));
    }
  }
}

TEST_CASE("maximal invalid parts become one replacement character each") {
  CHECK(replaced("") == "");
  CHECK(replaced("plain") == "plain");
  CHECK(replaced("\x80") == kBad);
  CHECK(replaced("\xFF\xFE") == kBad + kBad);
  CHECK(replaced("\xC0\x80") == kBad + kBad);                        // overlong
  CHECK(replaced("\xE0\x80\x80") == kBad + kBad + kBad);             // overlong
  CHECK(replaced("\xED\xA0\x80") == kBad + kBad + kBad);             // surrogate
  CHECK(replaced("\xF4\x90\x80\x80") == kBad + kBad + kBad + kBad);  // past U+10FFFF
  CHECK(replaced("\xE2\x82") == kBad);                               // incomplete at the end
  CHECK(replaced("\xE2\x82!") == kBad + "!");                        // incomplete before the end
  CHECK(replaced("\xF0\x9F\x98\xE2\x82\xAC") == kBad + "\xE2\x82\xAC");
  CHECK(replaced("\xF0\x9F\x98\xF0\x9F") == kBad + kBad);
  CHECK(replaced("a\xC3(b") == "a" + kBad + "(b");
}

TEST_CASE("the longest valid prefix is found at any length") {
  const std::string euro = "\xE2\x82\xAC";
  for (std::size_t n = 0; n < 40; ++n) {
    const std::string ascii(n, 'x');
    CHECK(valid_utf8_prefix(ascii) == n);
    CHECK(valid_utf8_prefix(ascii + euro) == n + 3);
    CHECK(valid_utf8_prefix(ascii + "\xFF" + ascii) == n);
    CHECK(valid_utf8_prefix(ascii + euro.substr(0, 2)) == n);
    CHECK(valid_utf8_prefix(ascii + euro + ascii + euro + "\x80") == 2 * n + 6);
  }
}

TEST_CASE("an incomplete sequence at the end is left") {
  std::string out;
  CHECK(append_valid_utf8("ab\xF0\x9F\x98", out) == 2);
  CHECK(out == "ab");
  out.clear();
  CHECK(append_valid_utf8("\xF0\x9F\x98\x80\xE2", out) == 4);
  CHECK(out == "\xF0\x9F\x98\x80");
  out.clear();
  CHECK(append_valid_utf8("\xF0\x8F", out) == 2);  // never to be completed
  CHECK(out == kBad + kBad);
}
