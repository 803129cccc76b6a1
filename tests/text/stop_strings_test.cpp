// SPDX-License-Identifier: Apache-2.0
#include "mamba2/text/stop_strings.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "tests/tokenizer/tiny_tokenizer.hpp"

using mamba2::StoppingDecoder;
using mamba2::StopStrings;
using mamba2::Token;

namespace {

constexpr Token kTinyEnd = 262;     // <|end|>, special
constexpr Token kTinyStart = 263;   // <|start|>, special
constexpr Token kTinyCorner = 264;  // <>, an added token that is text

/// Tokens 0 to 255 are bytes.
const mamba2::Tokenizer& stop_tokenizer() {
  static const auto loaded = [] {
    tiny::Json json = tiny::tokenizer();
    for (const auto& [id, content, special] : std::vector<std::tuple<Token, std::string, bool>>{
             {kTinyStart, "<|start|>", true}, {kTinyCorner, "<>", false}}) {
      tiny::Json token = json["added_tokens"][0];
      token["id"] = id;
      token["content"] = content;
      token["special"] = special;
      json["added_tokens"].push_back(token);
    }
    return mamba2::Tokenizer::from_json(json.dump(), "tiny").value();
  }();
  return loaded;
}

struct Decoded {
  std::string text;
  bool stopped;
  bool operator==(const Decoded&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Decoded& decoded) {
  return out << decoded.text << (decoded.stopped ? " (stopped)" : "");
}

/// What comes out when these tokens go in; checks that each part is whole.
Decoded decode_until(const std::vector<std::string>& stops, const std::vector<Token>& tokens,
                     mamba2::DecodeOptions options = {}) {
  StoppingDecoder decoder(stop_tokenizer(), stops, options);
  std::string text;
  const auto take = [&](std::string_view part) {
    if (mamba2::detail::valid_utf8_prefix(part) != part.size()) FAIL("half a sequence");
    text += part;
  };
  for (const Token token : tokens) take(decoder.push(token));
  take(decoder.finish());
  return {text, decoder.stopped()};
}

/// The bytes of a text, one token each.
std::vector<Token> byte_tokens(std::string_view text) {
  std::vector<Token> tokens;
  for (const char c : text) tokens.push_back(static_cast<unsigned char>(c));
  return tokens;
}

std::vector<Token> joined(std::initializer_list<std::vector<Token>> parts) {
  std::vector<Token> all;
  for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

/// What comes out when the text goes in `step` bytes at a time.
std::string pass(const std::vector<std::string>& stops, std::string_view text, std::size_t step) {
  StopStrings stop(stops);
  std::string out;
  for (std::size_t i = 0; i < text.size(); i += step) out += stop.push(text.substr(i, step));
  out += stop.finish();
  return out;
}

}  // namespace

TEST_CASE("text ends before the first stop string, however it arrives") {
  for (const std::size_t step : std::vector<std::size_t>{1, 2, 3, 7, 100}) {
    CAPTURE(step);
    CHECK(pass({"END"}, "once upon END a time", step) == "once upon ");
    CHECK(pass({"END"}, "once upon EN a time EN", step) == "once upon EN a time EN");
    CHECK(pass({"aab"}, "aaaab", step) == "aa");
    CHECK(pass({"xyz", "b c"}, "a b c xyz", step) == "a ");
    CHECK(pass({}, "all of it", step) == "all of it");
    CHECK(pass({""}, "all of it", step) == "all of it");
  }
}

TEST_CASE("only what may begin a stop string is held back") {
  StopStrings stop({"\n\nQ:"});
  CHECK(stop.push("An answer.\n") == "An answer.");
  CHECK(stop.push("\n") == "");
  CHECK(stop.push("More") == "\n\nMore");
  CHECK(!stop.stopped());
  CHECK(stop.push("\n\nQ: why") == "");
  CHECK(stop.stopped());
  CHECK(stop.push("more") == "");
  CHECK(stop.finish() == "");
}

TEST_CASE("what was held back comes out at the end") {
  StopStrings stop({"stop"});
  CHECK(stop.push("do not sto") == "do not ");
  CHECK(stop.finish() == "sto");
}

TEST_CASE("what is hidden is looked at, and never given out") {
  StopStrings stop({"\n<end>"});
  CHECK(stop.push("one\n") == "one");
  CHECK(stop.push_hidden("<start>") == "\n");
  CHECK(stop.push("two\n") == "two");
  CHECK(stop.push_hidden("<end") == "");
  CHECK(stop.push("ing") == "\ning");
  CHECK(!stop.stopped());
  CHECK(stop.push("three\n") == "three");
  CHECK(stop.push_hidden("<end>") == "");
  CHECK(stop.stopped());
  CHECK(stop.finish() == "");

  StopStrings inside({"d>x"});
  CHECK(inside.push("a") == "a");
  CHECK(inside.push_hidden("<end>") == "");
  CHECK(inside.push("xy") == "");
  CHECK(inside.stopped());

  StopStrings unfinished({"stop"});
  CHECK(unfinished.push("s") == "");
  CHECK(unfinished.push_hidden("to") == "");
  CHECK(unfinished.finish() == "s");
  CHECK(unfinished.push("top") == "top");  // as new
}

TEST_CASE("tokens end at a special token by its name, alone or beside text") {
  const std::vector<Token> end = {kTinyEnd};
  const std::vector<Token> start = {kTinyStart};
  const auto hello = joined({byte_tokens("hello\n"), end, byte_tokens("\nand so on"), end});
  CHECK(decode_until({}, hello) == Decoded{"hello\n\nand so on", false});
  CHECK(decode_until({"<|end|>"}, hello) == Decoded{"hello\n", true});
  CHECK(decode_until({"\n<|end|>"}, hello) == Decoded{"hello", true});
  CHECK(decode_until({"<|end|>\n"}, hello) == Decoded{"hello\n", true});
  CHECK(decode_until({"lo\n<|end|>\na"}, hello) == Decoded{"hel", true});
  CHECK(decode_until({"<|end|>\n<|start|>"}, hello) == Decoded{"hello\n\nand so on", false});
  CHECK(decode_until({"<|end|><|start|>"}, joined({byte_tokens("a"), end, start})) ==
        Decoded{"a", true});
  CHECK(decode_until({"<|start|>"}, hello) == Decoded{"hello\n\nand so on", false});
  // Two lines that are one only in what is shown.
  CHECK(decode_until({"\n\n"}, hello) == Decoded{"hello\n\nand so on", false});
  // The same bytes as text end it, too: in tokens of bytes, in longer ones, from within one.
  CHECK(decode_until({"<|end|>"}, byte_tokens("so<|end|>")) == Decoded{"so", true});
  CHECK(decode_until({"llo w"}, {259, 260, 'x'}) == Decoded{"he", true});
  // Where special tokens are given out, they are text like any other.
  const mamba2::DecodeOptions keep = {.skip_special = false};
  CHECK(decode_until({"nd|>\n"}, hello, keep) == Decoded{"hello\n<|e", true});
  // An added token that is not special is text.
  CHECK(decode_until({}, {'a', kTinyCorner, 'b'}) == Decoded{"a<>b", false});
  CHECK(decode_until({">b"}, {'a', kTinyCorner, 'b'}) == Decoded{"a<", true});
}

TEST_CASE("a stop text beside half a character leaves whole characters") {
  // The character goes on behind a special token that ends nothing, and is cut by one that does.
  CHECK(decode_until({"<|start|>"}, {'a', 0xE2, kTinyEnd, 0x82, 0xAC}) ==
        Decoded{"a\u20AC", false});
  CHECK(decode_until({"<|end|>"}, {'a', 0xE2, kTinyEnd, 0x82, 0xAC}) == Decoded{"a\uFFFD", true});
  CHECK(decode_until({"<|end|>!"}, {'a', 0xE2, kTinyEnd, 0x82, 0xAC}) == Decoded{"a\u20AC", false});
  CHECK(decode_until({"<|end|>!"}, {'a', 0xE2, kTinyEnd, '!'}) == Decoded{"a\uFFFD", true});
  // Stop texts of many bytes, and one that has begun with half a character.
  CHECK(decode_until({"\u20AC"}, byte_tokens("1 \u20AC")) == Decoded{"1 ", true});
  CHECK(decode_until({"\u20AC"}, byte_tokens("\u20AB\u20A0")) == Decoded{"\u20AB\u20A0", false});
  CHECK(decode_until({"\u20AC"}, {'a', 0xE2, 0x82}) == Decoded{"a\uFFFD", false});
  CHECK(decode_until({"\x82"}, byte_tokens("\u20AC")) == Decoded{"\uFFFD", true});
}

TEST_CASE("without a stop text a StoppingDecoder gives what decode() does") {
  std::mt19937 random(3);
  for (int i = 0; i < 2000; ++i) {
    std::vector<Token> tokens(random() % 20);
    for (Token& t : tokens) t = static_cast<Token>(random() % 300) - 5;
    const mamba2::DecodeOptions options = {.skip_special = i % 2 == 0};
    const std::string whole = stop_tokenizer().decode(tokens, options);
    CHECK(decode_until({"never", "<|end|><|end|><|end|>"}, tokens, options) ==
          Decoded{whole, false});
  }
}
