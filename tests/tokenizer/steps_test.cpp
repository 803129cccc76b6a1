// SPDX-License-Identifier: Apache-2.0
// Steps one by one: what they make of a text.
#include "mamba2/tokenizer/steps.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/regex/regex.hpp"
#include "mamba2/tokenizer/decoder.hpp"
#include "mamba2/tokenizer/encoder.hpp"
#include "mamba2/tokenizer/normalizer.hpp"
#include "mamba2/tokenizer/patterns.hpp"
#include "mamba2/tokenizer/pre_tokenizer.hpp"
#include "mamba2/tokenizer/tokenizer.hpp"
#include "tests/tokenizer/tiny_tokenizer.hpp"

namespace {
namespace steps {

using namespace mamba2::detail;
using Pieces = std::vector<std::string>;
using Pre = PreTokenizerStep::Kind;
using tiny::Json;

Pieces cut(const std::vector<PreTokenizerStep>& list, std::string_view text, bool at_start = true) {
  const auto made = PreTokenizer::create(list, true, "t");
  REQUIRE(made);
  StepScratch scratch;
  Pieces out;
  made->split(text, at_start, scratch, [&](std::string_view piece) { out.emplace_back(piece); });
  return out;
}

Pieces split(SplitBehavior behavior, std::string_view text, bool invert = false) {
  return cut(
      {{.kind = Pre::split, .pattern = {"-", false}, .behavior = behavior, .invert = invert}},
      text);
}

std::string normalized(const std::vector<NormalizerStep>& list, std::string_view text) {
  const auto made = Normalizer::create(list, "t");
  REQUIRE(made);
  Normalizer::Buffers buffers;
  StepScratch scratch;
  return std::string(made->apply(text, buffers, scratch));
}

/// A tokenizer of characters with this decoder: <unk>, some bytes and words.
mamba2::Tokenizer decoding(const Json& decoder) {
  Json json = tiny::tokenizer();
  json["pre_tokenizer"] = nullptr;
  json["added_tokens"] = Json::array();
  json["decoder"] = decoder;
  json["model"]["merges"] = Json::array();
  json["model"]["vocab"] = {{"<unk>", 0},        {"\u2581a", 1}, {"b", 2},
                            {"<0xC3>", 3},       {"<0xA9>", 4},  {"\u2581", 5},
                            {"\u2581\u2581", 6}, {"<0x0A>", 7}};
  return mamba2::Tokenizer::from_json(json.dump()).value();
}

std::string said(const mamba2::Tokenizer& tokenizer, const std::vector<mamba2::Token>& ids) {
  mamba2::StreamingDecoder decoder(tokenizer);
  std::string text;
  for (const auto id : ids) text += decoder.push(id);
  text += decoder.finish();
  CHECK(text == tokenizer.decode(ids));
  return text;
}

}  // namespace steps
}  // namespace

TEST_CASE("steps: what becomes of the places that a Split finds") {
  using namespace steps;
  constexpr std::string_view kText = "the-final--countdown";
  CHECK(split(SplitBehavior::removed, kText) == Pieces{"the", "final", "countdown"});
  CHECK(split(SplitBehavior::isolated, kText) ==
        Pieces{"the", "-", "final", "-", "-", "countdown"});
  CHECK(split(SplitBehavior::merged_with_previous, kText) ==
        Pieces{"the-", "final-", "-", "countdown"});
  CHECK(split(SplitBehavior::merged_with_next, kText) ==
        Pieces{"the", "-final", "-", "-countdown"});
  CHECK(split(SplitBehavior::contiguous, kText) == Pieces{"the", "-", "final", "--", "countdown"});
  CHECK(split(SplitBehavior::removed, kText, true) == Pieces{"-", "-", "-"});
  CHECK(split(SplitBehavior::contiguous, "--") == Pieces{"--"});
  CHECK(split(SplitBehavior::merged_with_previous, "-a-") == Pieces{"-", "a-"});
  CHECK(split(SplitBehavior::merged_with_next, "-a-") == Pieces{"-a", "-"});
  CHECK(split(SplitBehavior::removed, "").empty());
}

TEST_CASE("steps: digits, punctuation, white space") {
  using namespace steps;
  CHECK(cut({{.kind = Pre::digits, .individual = true}}, "a12\u00B2 3") ==
        Pieces{"a", "1", "2", "\u00B2", " ", "3"});
  CHECK(cut({{.kind = Pre::digits}}, "a12\u00B2 3") == Pieces{"a", "12\u00B2", " ", "3"});
  CHECK(cut({{.kind = Pre::digits}}, "a1\U00011DE7\U00016FF6b") ==
        Pieces{"a", "1\U00011DE7\U00016FF6", "b"});
  CHECK(cut({{.kind = Pre::punctuation}}, "a+b\u2026!") == Pieces{"a", "+", "b", "\u2026", "!"});
  CHECK(cut({{.kind = Pre::punctuation, .behavior = SplitBehavior::contiguous}}, "a!?b") ==
        Pieces{"a", "!?", "b"});
  CHECK(cut({{.kind = Pre::whitespace}}, " it's \u00E9_1\n") == Pieces{"it", "'", "s", "\u00E9_1"});
  CHECK(cut({{.kind = Pre::whitespace_split}}, " it's\u3000b\n") == Pieces{"it's", "b"});
  CHECK(cut({}, "all of it") == Pieces{"all of it"});
}

TEST_CASE("steps: Metaspace") {
  using namespace steps;
  const auto space = [](PrependScheme scheme, bool cuts) {
    return std::vector<PreTokenizerStep>{
        {.kind = Pre::metaspace, .replacement = "_", .scheme = scheme, .cuts = cuts}};
  };
  CHECK(cut(space(PrependScheme::always, true), "a b  c") == Pieces{"_a", "_b", "_", "_c"});
  CHECK(cut(space(PrependScheme::always, false), "a b") == Pieces{"_a_b"});
  CHECK(cut(space(PrependScheme::always, true), " a") == Pieces{"_a"});
  CHECK(cut(space(PrependScheme::never, true), "a b") == Pieces{"a", "_b"});
  CHECK(cut(space(PrependScheme::first, true), "a b") == Pieces{"_a", "_b"});
  CHECK(cut(space(PrependScheme::first, true), "a b", false) == Pieces{"a", "_b"});
}

TEST_CASE("steps: one behind the other") {
  using namespace steps;
  const PreTokenizerStep pairs = {.kind = Pre::split, .pattern = {"[0-9][0-9]", true}};
  CHECK(cut({{.kind = Pre::punctuation}, PreTokenizerStep(), pairs}, "ab, 123") ==
        Pieces{"ab", ",", "\u0120", "12", "3"});  // as characters, where bytes go on
  CHECK(cut({pairs, {.use_regex = false}}, " 123") == Pieces{" ", "12", "3"});
  CHECK(cut({{.add_prefix_space = true}}, "ab c") == Pieces{" ab", " c"});
  const auto wrong =
      PreTokenizer::create({{.kind = Pre::split, .pattern = {"(", true}}}, true, "t");
  REQUIRE_FALSE(wrong);
  CHECK(wrong.error().message.starts_with("t: pre_tokenizer.pattern: "));
}

TEST_CASE("steps: scanners cut as the expressions say that they stand for") {
  using namespace steps;
  constexpr std::string_view kParts[] = {"a",      "Z",  "\u00E9", "\u4E2D",    "1",       "\u00B2",
                                         " ",      "  ", "\n",     "\r",        "\t",      "\u3000",
                                         "!",      "'",  "'s",     "'LL",       "'\u017F", "/",
                                         "\u0301", "'r", "'re",    "\U0001F600"};
  const std::pair<std::string_view, PieceRules> rules[] = {{kGpt2Pattern, PieceRules::gpt2},
                                                           {kLlama3Pattern, PieceRules::llama3},
                                                           {kLfm25Pattern, PieceRules::llama3},
                                                           {kQwen2Pattern, PieceRules::qwen2}};
  std::mt19937 random(17);
  for (const auto& rule : rules) {
    const std::string_view pattern = rule.first;
    const auto regex = Regex::compile(pattern);
    REQUIRE(regex);
    Pretokenizer scanner;
    for (int i = 0; i < 2000; ++i) {
      std::string text;
      for (auto n = random() % 12; n > 0; --n) text += kParts[random() % std::size(kParts)];
      std::vector<std::size_t> expected, found;
      RegexMatches matches(*regex, text);
      while (const auto match = matches.next()) expected.push_back(match->end);
      for (std::size_t at = 0; at < text.size(); found.push_back(at)) {
        at += scanner.first_piece(std::string_view(text).substr(at), rule.second);
      }
      if (found != expected) FAIL(pattern << " cuts otherwise: " << text);
    }
  }
}

TEST_CASE("steps: normalizers") {
  using namespace steps;
  using Kind = NormalizerStep::Kind;
  const NormalizerStep blanks = {
      .kind = Kind::replace, .pattern = {" ", false}, .content = kMetaspace};
  CHECK(normalized({{.kind = Kind::prepend, .content = kMetaspace}, blanks}, "a b") ==
        "\u2581a\u2581b");
  CHECK(normalized({{.kind = Kind::prepend, .content = "x"}}, "").empty());
  CHECK(normalized({{.kind = Kind::strip}}, "\u3000 a b\n") == "a b");
  CHECK(normalized({{.kind = Kind::strip, .right = false}}, " a ") == "a ");
  CHECK(normalized({{.kind = Kind::strip}}, " \n").empty());
  CHECK(normalized({{.kind = Kind::lowercase}}, "A\u00C9\u0130") == "a\u00E9i\u0307");
  CHECK(normalized({{.kind = Kind::replace, .pattern = {"\\d+", true}, .content = "0"}}, "a12b3") ==
        "a0b0");
  CHECK(normalized({{.kind = Kind::squeeze_blanks}}, "  a   b ") == "a b");
  CHECK(normalized({{}, {.kind = Kind::strip}}, " e\u0301 ") == "\u00E9");
  const std::string text =
      "\uFB01\u00E9e\u0301";  // fi, as one sign; e with an accent, as one and as two
  CHECK(normalized({{.kind = Kind::nfc}}, text) == "\uFB01\u00E9\u00E9");
  CHECK(normalized({{.kind = Kind::nfd}}, text) == "\uFB01e\u0301e\u0301");
  CHECK(normalized({{.kind = Kind::nfkc}}, text) == "fi\u00E9\u00E9");
  CHECK(normalized({{.kind = Kind::nfkd}}, text) == "fie\u0301e\u0301");
}

TEST_CASE("steps: decoders, token by token") {
  using namespace steps;
  const Json replace = {{"type", "Replace"}, {"pattern", {{"String", "\u2581"}}}, {"content", " "}};
  const Json bytes = {{"type", "ByteFallback"}}, fuse = {{"type", "Fuse"}};
  const auto strip = [](int start, int stop) {
    return Json{{"type", "Strip"}, {"content", " "}, {"start", start}, {"stop", stop}};
  };
  const auto sequence = [](const std::vector<Json>& parts) {
    return Json{{"type", "Sequence"}, {"decoders", parts}};
  };
  const auto llama = decoding(sequence({replace, bytes, fuse, strip(1, 0)}));
  CHECK(said(llama, {1, 2, 1}) == "ab a");
  CHECK(said(llama, {5, 1}) == " a");
  CHECK(said(llama, {1, 3, 4, 2}) == "a\u00E9b");
  CHECK(said(llama, {3, 4, 7, 3, 4}) == "\u00E9\n\u00E9");
  CHECK(said(llama, {3, 4, 3, 2}) ==
        "\uFFFD\uFFFD\uFFFD"
        "b");  // all in a row, or none
  CHECK(said(llama, {3}) == "\uFFFD");
  CHECK(said(llama, {}).empty());
  const auto ends = decoding(sequence({replace, fuse, strip(1, 2)}));
  CHECK(said(ends, {6, 2, 6, 5, 2, 6, 5}) == " b   b ");
  CHECK(said(ends, {6, 6}) == " ");
  const auto each = decoding(sequence({replace, strip(1, 0), bytes}));
  CHECK(said(each, {1, 1, 6}) == "aa ");
  const auto space = decoding({{"type", "Metaspace"}, {"replacement", "\u2581"}});
  CHECK(said(space, {6, 1, 2}) == " ab");
  CHECK(said(space, {1, 6, 1}) == "a   a");
  const Json across = {{"type", "Replace"}, {"pattern", {{"String", "\u2581b"}}}, {"content", "!"}};
  const auto behind = decoding(sequence({fuse, across}));
  CHECK(said(behind, {5, 2, 6, 2, 5}) == "!\u2581!\u2581");
}

TEST_CASE("steps: an order of decoders that does not occur is refused") {
  using namespace steps;
  using Kind = DecoderStep::Kind;
  for (const auto& list :
       {std::vector<DecoderStep>{{.kind = Kind::fuse}, {.kind = Kind::byte_fallback}},
        std::vector<DecoderStep>{{.kind = Kind::fuse}, {.kind = Kind::metaspace}},
        std::vector<DecoderStep>{{.kind = Kind::fuse}, {}},
        std::vector<DecoderStep>{{.kind = Kind::fuse},
                                 {.kind = Kind::replace, .pattern = {"a+", true}}}}) {
    const auto made = Decoder::create(list, "t");
    REQUIRE_FALSE(made);
    CHECK(made.error().code == mamba2::ErrorCode::unsupported);
    CHECK(made.error().message.starts_with("t: decoder must be one that "));
  }
}

TEST_CASE("steps: texts of several hands") {
  using namespace steps;
  using Tokens = std::vector<mamba2::Token>;
  Json json = tiny::tokenizer();
  const auto tokenizer = mamba2::Tokenizer::from_json(json.dump()).value();
  CHECK(tokenizer.encode("ab<|end|>") == Tokens{261, 262});
  CHECK(tokenizer.encode("ab<|end|>", {.special_names = false}).size() == 8);
  const mamba2::TextPart parts[] = {{"<|end|>a"}, {"b<|end|>", false}, {"<|end|>"}};
  Tokens expected = {262};
  for (const auto id : tokenizer.encode("ab<|end|>", {.special_names = false})) {
    expected.push_back(id);
  }
  expected.push_back(262);
  CHECK(tokenizer.encode(parts) == expected);  // a and b merge across
  const mamba2::TextPart halves[] = {{"<|en", false}, {"d|>"}};
  CHECK(tokenizer.encode(halves).size() == 7);
  const mamba2::TextPart broken[] = {{"\xE2"}, {"<|end|>", false}, {"\xFF<|end|>"}};
  CHECK(tokenizer.encode(broken).back() == 262);
  CHECK(tokenizer.encode(broken).size() == 3 + 7 + 3 + 1);
  // A name that is looked for in the normalized text, where places have moved.
  json["normalizer"] = {{"type", "NFC"}};
  json["added_tokens"][0]["normalized"] = true;
  const auto moved = mamba2::Tokenizer::from_json(json.dump()).value();
  CHECK(moved.encode("ab<|end|>") == Tokens{261, 262});
  CHECK(moved.encode("ab<|end|>", {.special_names = false}).size() == 8);
}

TEST_CASE("steps: what a text begins and ends with") {
  using namespace steps;
  using Tokens = std::vector<mamba2::Token>;
  Json json = tiny::tokenizer();
  json["post_processor"] = {{"type", "TemplateProcessing"},
                            {"single",
                             {{{"SpecialToken", {{"id", "<|end|>"}}}},
                              {{"Sequence", {{"id", "A"}}}},
                              {{"SpecialToken", {{"id", "<|end|>"}}}}}},
                            {"special_tokens", {{"<|end|>", {{"ids", {262}}}}}}};
  const auto tokenizer = mamba2::Tokenizer::from_json(json.dump()).value();
  CHECK(tokenizer.encode("ab") == Tokens{262, 261, 262});
  CHECK(tokenizer.encode("") == Tokens{262, 262});
  CHECK(tokenizer.encode("ab", {.add_special = false}) == Tokens{261});
  json["post_processor"]["special_tokens"]["<|end|>"]["ids"] = {263};
  const auto beyond = mamba2::Tokenizer::from_json(json.dump(), "t");
  REQUIRE_FALSE(beyond);
  CHECK(beyond.error().message == "t: the tokens around a text must be in 0..262, found 263");
}
