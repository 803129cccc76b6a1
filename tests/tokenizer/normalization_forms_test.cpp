// SPDX-License-Identifier: Apache-2.0
#include "mamba2/tokenizer/normalization_forms.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

namespace {

using namespace mamba2::detail;
using Form = NormalizationForm;

std::string form_of(Form form, std::string_view text) {
  static const NormalizationWriter kWriters[] = {
      NormalizationWriter(Form::nfc), NormalizationWriter(Form::nfd),
      NormalizationWriter(Form::nfkc), NormalizationWriter(Form::nfkd)};
  std::string out;
  kWriters[static_cast<int>(form)].append(text, out);
  return out;
}

}  // namespace

TEST_CASE("examples of the four forms") {
  struct Example {
    const char *text, *nfc, *nfd, *nfkc, *nfkd;
  };
  for (const Example& e : {
           Example{"", "", "", "", ""},
           {"plain", "plain", "plain", "plain", "plain"},
           {"\u00E9", "\u00E9", "e\u0301", "\u00E9", "e\u0301"},
           {"\uFB01", "\uFB01", "\uFB01", "fi", "fi"},
           {"\u1E9B\u0323", "\u1E9B\u0323", "\u017F\u0323\u0307", "\u1E69", "s\u0323\u0307"},
           {"\u00BD\u00B2", "\u00BD\u00B2", "\u00BD\u00B2",
            "1\u20442"
            "2",
            "1\u20442"
            "2"},
           {"\uAC01", "\uAC01", "\u1100\u1161\u11A8", "\uAC01", "\u1100\u1161\u11A8"},
           {"\uFF76\uFF9E", "\uFF76\uFF9E", "\uFF76\uFF9E", "\u30AC", "\u30AB\u3099"},
           {"a\u0315\u0300", "\u00E0\u0315", "a\u0300\u0315", "\u00E0\u0315", "a\u0300\u0315"},
           {"\U0001D400\u00A0x", "\U0001D400\u00A0x", "\U0001D400\u00A0x", "A x", "A x"},
           {"\u32FF", "\u32FF", "\u32FF", "\u32FF", "\u32FF"},  // after Unicode 9
       }) {
    INFO(e.text);
    CHECK(form_of(Form::nfc, e.text) == e.nfc);
    CHECK(form_of(Form::nfd, e.text) == e.nfd);
    CHECK(form_of(Form::nfkc, e.text) == e.nfkc);
    CHECK(form_of(Form::nfkd, e.text) == e.nfkd);
  }
  std::string longest = form_of(Form::nfkd, "\uFDFA");
  CHECK(longest.size() == 33);  // 18 characters
}

TEST_CASE("the forms agree with each other for every code point") {
#ifdef MAMBA2_QUICK_TESTS
  constexpr char32_t kStep = 97;
#else
  constexpr char32_t kStep = 7;
#endif
  std::string text;
  for (char32_t c = 0x80; c < 0x110000; c += c < 0x3400 ? 1 : kStep) {
    if (c >= 0xD800 && c < 0xE000) continue;
    text = "a\u0345";
    append_code_point(c, text);
    text += "\u0334\u0301";
    const std::string nfd = form_of(Form::nfd, text);
    const std::string nfkd = form_of(Form::nfkd, text);
    const bool holds = form_of(Form::nfc, nfd) == form_of(Form::nfc, text) &&
                       form_of(Form::nfd, form_of(Form::nfc, text)) == nfd &&
                       form_of(Form::nfkd, nfd) == nfkd && form_of(Form::nfkd, nfkd) == nfkd &&
                       form_of(Form::nfkc, nfkd) == form_of(Form::nfkc, text) &&
                       form_of(Form::nfd, nfkd) == nfkd;
    if (!holds) FAIL("code point " << static_cast<unsigned>(c));
  }
}

TEST_CASE("a megabyte of marks is decomposed in no more than n log n") {
  std::string text = "\u00E9";
  for (int i = 0; i < 260000; ++i) text += i % 2 == 0 ? "\u0301" : "\u0316";
  CHECK(form_of(Form::nfkd, text).size() == text.size() + 1);
}
