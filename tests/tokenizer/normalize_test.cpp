// SPDX-License-Identifier: Apache-2.0
#include "mamba2/tokenizer/normalize.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using namespace mamba2::detail;

std::string nfc(std::string_view text) {
  std::string out;
  append_nfc(text, out);
  return out;
}

std::string utf8(const std::u32string& text) {
  std::string out;
  for (const char32_t c : text) append_code_point(c, out);
  return out;
}

void expand(char32_t c, std::u32string& out) {
  const auto [a, b] = decompose(c);
  if (a == 0) {
    out += c;
    return;
  }
  expand(a, out);
  if (b != 0) expand(b, out);
}

/// The definition (UAX #15), word by word, on the whole text.
std::u32string slow_nfc(const std::u32string& text) {
  std::u32string all;
  for (const char32_t c : text) expand(c, all);
  for (bool swapped = true; swapped;) {
    swapped = false;
    for (std::size_t i = 1; i < all.size(); ++i) {
      const unsigned right = combining_class(all[i]);
      if (right != 0 && combining_class(all[i - 1]) > right) {
        std::swap(all[i - 1], all[i]);
        swapped = true;
      }
    }
  }
  for (std::size_t i = 1; i < all.size(); ++i) {
    std::size_t starter = i;
    bool blocked = false;
    while (starter > 0) {
      --starter;
      const unsigned between = combining_class(all[starter]);
      if (between == 0) break;
      blocked = blocked || between >= combining_class(all[i]);
    }
    if (combining_class(all[starter]) != 0 || blocked) continue;
    if (combining_class(all[i]) == 0 && starter + 1 != i) continue;
    if (const char32_t c = compose(all[starter], all[i]); c != 0) {
      all[starter] = c;
      all.erase(i--, 1);
    }
  }
  return all;
}

}  // namespace

TEST_CASE("examples of the normalization form") {
  CHECK(nfc("") == "");
  CHECK(nfc("plain") == "plain");
  CHECK(nfc(utf8(U"e\u0301")) == utf8(U"\u00E9"));
  CHECK(nfc(utf8(U"\u212B \u2126")) == utf8(U"\u00C5 \u03A9"));
  CHECK(nfc(utf8(U"a\u0302\u0323")) == utf8(U"\u1EAD"));  // reordered, composed twice
  CHECK(nfc(utf8(U"s\u0307\u0323")) == utf8(U"\u1E69"));
  CHECK(nfc(utf8(U"\u1E9B\u0323")) == utf8(U"\u1E9B\u0323"));
  CHECK(nfc(utf8(U"\u0915\u093C")) == utf8(U"\u0915\u093C"));  // excluded from composition
  CHECK(nfc(utf8(U"\u0958")) == utf8(U"\u0915\u093C"));
  CHECK(nfc(utf8(U"\u0344")) == utf8(U"\u0308\u0301"));
  CHECK(nfc(utf8(U"\u1100\u1161\u11A8")) == utf8(U"\uAC01"));
  CHECK(nfc(utf8(U"\uAC00\u11A8")) == utf8(U"\uAC01"));
  CHECK(nfc(utf8(U"\u0301e")) == utf8(U"\u0301e"));  // nothing to join to
  CHECK(nfc(utf8(U"\uF900")) == utf8(U"\u8C48"));
  CHECK(nfc(utf8(U"a\u0315\u0300\u05AE\u0300b")) == utf8(U"\u00E0\u05AE\u0300\u0315b"));
  CHECK(nfc(utf8(U"\u0F71\u0F72\u0F74")) == utf8(U"\u0F71\u0F72\u0F74"));
}

TEST_CASE("random texts are normalized as the definition says") {
  const std::u32string pool =
      U"aeoAOs=\u00C5\u00E9\u1EA5\u03B1\u0915\u0928\u304B\u306F\u1100\u1112\u1161\u1175\u11A8\u11C2"
      U"\uAC00\uAC01\uD7A3\u0300\u0301\u0302\u0307\u0308\u0316\u0323\u0327\u031B\u0334\u0344\u0345"
      U"\u093C\u0958\u0F71\u0F72\u0F74\u3099\u309A\uFB2C\U0001D15E\U0001D165\U0001D16D\u4E2D";
  std::mt19937 random(5);
  std::size_t changed = 0;
  for (int i = 0; i < 20000; ++i) {
    std::u32string text(random() % 9, U'\0');
    for (char32_t& c : text) c = pool[random() % pool.size()];
    const std::string expected = utf8(slow_nfc(text));
    const std::string once = nfc(utf8(text));
    if (once != expected) FAIL(utf8(text));
    if (nfc(once) != once) FAIL("not stable: " << utf8(text));
    if (find_nfc_join(utf8(text)) == utf8(text).size() && once != utf8(text)) FAIL(utf8(text));
    changed += once != utf8(text);
  }
  CHECK(changed > 5000);
}

TEST_CASE("every code point is normalized as the definition says") {
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c == 0xD800) c = 0xE000;
    const std::u32string text = {U'a', U'\u0345', c, U'\u0334', U'\u0301'};
    if (nfc(utf8(text)) != utf8(slow_nfc(text))) FAIL("code point " << static_cast<unsigned>(c));
  }
}

TEST_CASE("a megabyte of marks takes no more than n log n") {
  std::string text = "a";
  for (int i = 0; i < 260000; ++i) text += i % 2 == 0 ? "\u0301" : "\u0316";
  const std::string out = nfc(text);
  CHECK(out.size() == text.size() - 1);  // a and the first acute accent: one character
}
