// SPDX-License-Identifier: Apache-2.0
#include "mamba2/regex/regex.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace {

using mamba2::detail::Regex;
using mamba2::detail::RegexMatches;

constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3})"
    R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kPossessive =
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+)"
    R"(| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s)";
constexpr std::string_view kTekken =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N})"
    R"(| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

using RegexPieces = std::vector<std::string>;

/// All matches.
RegexPieces matches(std::string_view pattern, std::string_view text) {
  const Regex regex = Regex::compile(pattern).value();
  RegexMatches search(regex, text);
  RegexPieces out;
  while (const auto match = search.next()) {
    out.emplace_back(text.substr(match->begin, match->end - match->begin));
  }
  return out;
}

std::string refusal(std::string_view pattern) {
  const auto regex = Regex::compile(pattern);
  return regex ? "" : regex.error().message;
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

}  // namespace

TEST_CASE("a regular expression cuts as llama 3 does") {
  CHECK(matches(kLlama3, "Hello world, it'S 12345 \n\n  x") ==
        RegexPieces{"Hello", " world", ",", " it", "'S", " ", "123", "45", " \n\n", " ", " x"});
  CHECK(matches(kLlama3, "'\u017F 'L") == RegexPieces{"'\u017F", " '", "L"});
  CHECK(matches(kLlama3, "größe 中文字 ١٢٣٤") == RegexPieces{"größe", " 中文字", " ", "١٢٣", "٤"});
  CHECK(matches(kLlama3, "").empty());
}

TEST_CASE("characters and escapes") {
  CHECK(matches("ab", "xabab") == RegexPieces{"ab", "ab"});
  CHECK(matches(R"(\x{41}\x42\u0043)", "ABC") == RegexPieces{"ABC"});
  CHECK(matches(R"(\x{1F600})", "\U0001F600") == RegexPieces{"\U0001F600"});
  CHECK(matches(R"(\.\-\/\ )", ".-/ ") == RegexPieces{".-/ "});
  CHECK(matches(R"(\n\r\t\f\v\a\e)", "\n\r\t\f\v\a\x1B") == RegexPieces{"\n\r\t\f\v\a\x1B"});
  CHECK(matches(".", "a\n\r") == RegexPieces{"a", "\r"});
  CHECK(matches("(?m:.)", "a\n") == RegexPieces{"a", "\n"});
  CHECK(matches("a{,}|a{x}|}]", "a{,}a{x}}]") == RegexPieces{"a{,}", "a{x}", "}]"});
  CHECK(matches("a(?#text)b", "ab") == RegexPieces{"ab"});
}

TEST_CASE("classes") {
  CHECK(matches("[a-c-e]+", "abce-d") == RegexPieces{"abce-"});
  CHECK(matches("[]a]", "]b") == RegexPieces{"]"});
  CHECK(matches("[^]a]", "]b") == RegexPieces{"b"});
  CHECK(matches("[a[bc]]+", "abcd[") == RegexPieces{"abc"});
  CHECK(matches("[a-z&&[^aeiou]]+", "abcdef") == RegexPieces{"bcd", "f"});
  CHECK(matches("[^a-z&&[^aeiou]]+", "abce1") == RegexPieces{"a", "e1"});
  CHECK(matches("[a-z&&[^aeiou&&[^e]]]+", "abeioc") == RegexPieces{"be", "c"});
  CHECK(matches("[&&a]", "a&").empty());
  CHECK(matches("[^&&a]+", "a&b") == RegexPieces{"a&b"});
  CHECK(matches(R"([\w-]+)", "a-b c") == RegexPieces{"a-b", "c"});
  CHECK(matches("[[:digit:]x]+", "1x:") == RegexPieces{"1x"});
  CHECK(matches("[[:^digit:]]+", "1x:") == RegexPieces{"x:"});
  CHECK(matches("[:digit:]+", "1:dg") == RegexPieces{":dg"});
  CHECK(matches(R"([\p{L}&&[^\p{Han}]]+)", "ab中c") == RegexPieces{"ab", "c"});
  CHECK(matches(R"(\p{^L}\P{^L})", "1a") == RegexPieces{"1a"});
  CHECK(matches(R"(\p{lowercase letter}\p{Lu})", "aB") == RegexPieces{"aB"});
  CHECK(matches(R"(\h+)", "fG09") == RegexPieces{"f", "09"});
}

TEST_CASE("\\w matches other numbers of ISO 8859-1, but not in a class") {
  CHECK(matches(R"(\w+)", "a½①") == RegexPieces{"a½"});
  CHECK(matches(R"([\w]+)", "a½①") == RegexPieces{"a"});
  CHECK(matches(R"(\W)", "a½①") == RegexPieces{"①"});
  CHECK(matches(R"([^\w])", "a½①") == RegexPieces{"½", "①"});
  CHECK(matches(R"(\b½)", "a½ ½") == RegexPieces{"½"});
}

TEST_CASE("quantifiers") {
  CHECK(matches("a{2}", "aaaaa") == RegexPieces{"aa", "aa"});
  CHECK(matches("a{,2}b", "aaab") == RegexPieces{"aab"});
  CHECK(matches("a{2,}", "a aaa") == RegexPieces{"aaa"});
  CHECK(matches("a{1,2}+", "aaaaa") == RegexPieces{"aaaaa"});    // of a repetition
  CHECK(matches("a{2}?b", "aab b") == RegexPieces{"aab", "b"});  // optional
  CHECK(matches("a{2,3}?", "aaa") == RegexPieces{"aa"});
  CHECK(matches("a{2,2}?b", "aab b") == RegexPieces{"aab"});
  CHECK(matches("a{0}b", "ab") == RegexPieces{"b"});
  CHECK(matches("a+?b", "aab") == RegexPieces{"aab"});
  CHECK(matches("a+?", "aa") == RegexPieces{"a", "a"});
  CHECK(matches("a??b", "ab") == RegexPieces{"ab"});
  CHECK(matches("a++a", "aaa").empty());
  CHECK(matches("a*+b|a?+a", "aaab a") == RegexPieces{"aaab"});
  CHECK(matches("(?:ab)*+", "abab") == RegexPieces{"abab"});
  CHECK(matches("(?>a|ab)", "ab") == RegexPieces{"a"});
  CHECK(matches("(a*)*b", "aab") == RegexPieces{"aab"});
}

TEST_CASE("alternatives: the first that leads to a match") {
  CHECK(matches("a|ab", "ab") == RegexPieces{"a"});
  CHECK(matches("(?:a|ab)(?:c|bcd)", "abcd") == RegexPieces{"abcd"});
  CHECK(matches("(?:ab|a)(?:bcd|c)", "abcd") == RegexPieces{"abc"});
  CHECK(matches("a.*b|a", "aab a") == RegexPieces{"aab", "a"});
  CHECK(matches("x*", "axxb") == RegexPieces{"", "xx", ""});  // none that is empty behind another
}

TEST_CASE("assertions") {
  CHECK(matches(R"(\s+(?!\S))", "a   b ") == RegexPieces{"  ", " "});
  CHECK(matches("a(?=b|$)", "ab ac a\na") == RegexPieces{"a", "a", "a"});
  CHECK(matches("^a", "aa\na") == RegexPieces{"a", "a"});
  CHECK(matches("a$", "aa\na") == RegexPieces{"a", "a"});
  CHECK(matches(R"(\Aa|a\z)", "aaa") == RegexPieces{"a", "a"});
  CHECK(matches(R"(\bfoo\b)", "foo foobar éfoo") == RegexPieces{"foo"});
  CHECK(matches(R"((?<!\d)1(?!\d))", "1 11 a1") == RegexPieces{"1", "1"});
  CHECK(matches(R"((?<=é)a)", "éa a") == RegexPieces{"a"});
  CHECK(matches("((?=[a-c])([^b]))+", "abcad") == RegexPieces{"a", "ca"});
}

TEST_CASE("case is folded as Unicode says") {
  CHECK(matches("(?i)k", "kK\u212A") == RegexPieces{"k", "K", "\u212A"});
  CHECK(matches("(?i:σ)", "σςΣ") == RegexPieces{"σ", "ς", "Σ"});
  CHECK(matches("(?i:[^k])", "kK\u212Aa") == RegexPieces{"a"});
  CHECK(matches("a(?i)b|c", "aB C aC") == RegexPieces{"aB", "aC"});  // to the group's end
  CHECK(matches("(?i:a(?-i:b))c", "Abc ABc AbC") == RegexPieces{"Abc"});
}

TEST_CASE("letters that several fold to are refused under (?i)") {
  for (const char* pattern : {"(?i:ss)", "(?i:ß)", "(?i:xst)", "(?i)f(?:f)i", "(?i:[ß])"}) {
    INFO(pattern);
    CHECK(contains(refusal(pattern), "(?i) with"));
  }
  CHECK(matches("(?i:f+i)", "ffI") == RegexPieces{"ffI"});  // a repetition is not side by side
  CHECK(matches("(?i:s)s", "Ss") == RegexPieces{"Ss"});
  CHECK(matches("(?i:'s|'t|'re|'ve|'m|'ll|'d)", "'RE'ſ") == RegexPieces{"'RE", "'ſ"});
}

TEST_CASE("a loop ends where its body matches the empty text") {
  CHECK(matches(R"((?:(?:\s(?!\S)|\n)|.??)*)", "ab") == RegexPieces{"", "", ""});
  CHECK(matches("(?:|a)*", "aa") == RegexPieces{"", "", ""});
  CHECK(matches("(?:a|b?|c)*", "ac") == RegexPieces{"a", ""});
  CHECK(matches("(?:a*)*", "aa") == RegexPieces{"aa"});
}

TEST_CASE("a search may begin anywhere") {
  const Regex regex = Regex::compile(R"((?<=a)b|^c)").value();
  CHECK(*regex.find("abc", 1) == Regex::Match{1, 2});
  CHECK(!regex.find("abc", 2));
  CHECK(!regex.find("abc", 3));
  CHECK(*regex.find("c") == Regex::Match{0, 1});
}

TEST_CASE("bytes that are no character count as U+FFFD") {
  CHECK(matches("\\p{So}+", "a\xFF\xE2\x82z").size() == 1);
  CHECK(matches("[^a]+", "a\xFF\xE2\x82") == RegexPieces{"\xFF\xE2\x82"});
  CHECK(matches("(?<=[\\uFFFD])b",
                "\x82"
                "b")
            .size() == 1);
}

TEST_CASE("what is not supported is refused by name") {
  CHECK(
      contains(refusal("ab(?=cd)e"), "regular expression 'ab(?=cd)e' at byte 8: looking at more"));
  CHECK(contains(refusal(R"((a)\1)"), "the escape \\1"));
  CHECK(contains(refusal(R"(\X)"), "the escape \\X"));
  CHECK(contains(refusal(R"(\p{Foo})"), "the property 'Foo'"));
  CHECK(contains(refusal("(?s:.)"), "group or option"));
  CHECK(contains(refusal("(?:ab|a)*+a"), "possessive"));
  CHECK(contains(refusal("x{3,1}"), "n greater than m"));
  CHECK(contains(refusal("x{5000}"), "more than 1000"));
  CHECK(contains(refusal("[[:foo:]]"), "[:foo:]"));
  for (const char* malformed :
       {"a)", "(a", "[a", "[]", "[z-a]", R"([a-\d])", "*a", "a|*", "{1}", R"(\u41)",
        R"(\x{110000})", R"(\x{})", "\\", "(?i", R"(\p{L)", "(?#c", "\xFF"}) {
    INFO(malformed);
    CHECK(!refusal(malformed).empty());
  }
}

TEST_CASE("patterns that would grow without bound are refused") {
  CHECK(contains(refusal("(a|b)*a(a|b){20}"), "states"));
  CHECK(contains(refusal("((a{1,100}){1,100}){1,100}"), "size"));
  CHECK(contains(refusal(std::string(1000, '(') + std::string(1000, ')')), "nesting"));
  std::string nested;
  for (int i = 0; i < 1000; ++i) nested += "[a";
  CHECK(contains(refusal(nested), "nesting"));
  CHECK(contains(refusal("a" + std::string(100, '*')), "quantifiers"));
  CHECK(contains(refusal(std::string(20000, 'a')), "16384"));
}

TEST_CASE("long texts take linear time") {
#ifdef MAMBA2_QUICK_TESTS
  constexpr std::size_t kLong = std::size_t{1} << 16;
#else
  constexpr std::size_t kLong = std::size_t{1} << 20;
#endif
  const std::string word(kLong, 'a');
  const std::string blanks(kLong, ' ');
  for (const std::string_view pattern : {kLlama3, kPossessive, kTekken}) {
    CHECK(matches(pattern, word) == RegexPieces{word});
    CHECK(matches(pattern, blanks).size() == 1);
    CHECK(matches(pattern, blanks + "x").size() == 2);
  }
  // Each place is one to begin at, and each attempt fails at the end only.
  const std::string some = word.substr(0, kLong / 10);
  CHECK(matches("[a-z]+x", some).empty());
  CHECK(matches("a.*x|a", some).size() == some.size());
  CHECK(matches(R"(\s+$)", blanks.substr(0, kLong / 10) + "x").empty());
}

TEST_CASE("whatever the pattern, all matches are found, in linear time") {
  constexpr std::size_t kLong = std::size_t{1} << 16;
  const std::string word(kLong, 'a');
  // From each place the whole text is read in vain, in a state that differs from place to place:
  // 7 * 11 of them, or 300.
  RegexPieces singly(kLong, "a");
  singly.emplace_back("c");
  for (const std::string_view pattern : {"(?:a{7})+b|(?:a{11})+b|a|c", "(?:a{300})*b|a|c"}) {
    CAPTURE(pattern);
    CHECK(matches(pattern, word + "c") == singly);
  }
  // What was read in vain behind one match is part of a later one.
  CHECK(matches("a+b|a{3}(?!a)|c", word + "b" + word + "c") == RegexPieces{word + "b", "aaa", "c"});
}
