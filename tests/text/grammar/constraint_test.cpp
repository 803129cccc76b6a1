// SPDX-License-Identifier: Apache-2.0
#include "mamba2/text/grammar/constraint.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <random>
#include <string>
#include <vector>

#include "mamba2/unicode/utf8.hpp"
#include "tests/text/grammar/grammar_tokens.hpp"

namespace {
namespace constraints {

using mamba2::Constraint;
using mamba2::Token;

constexpr std::array<const char*, 9> kSchemas = {
    "true",
    R"({"type": "object"})",
    R"({"type": "string", "minLength": 3, "maxLength": 6})",
    R"({"type": "array", "items": {"type": "string", "maxLength": 2}, "minItems": 2})",
    R"({"type": "array", "items": {"anyOf": [{"type": "integer", "minimum": -20, "maximum": 120},
        {"type": "number", "minimum": 0.5}, {"enum": [1, 12, 123, "on", null]}]}})",
    R"({"type": "object", "properties": {"a": {"type": "integer"}, "ab": {"type": "string"},
        "abc": {"type": "boolean"}, "b": {"enum": ["on", "one", "ü"]}}, "required": ["abc"]})",
    R"({"anyOf": [{"type": "object", "properties": {"a": {"const": 1}, "b": {"type": "string"}},
        "required": ["a", "b"]}, {"type": "object", "properties": {"a": {"type": "integer"}},
        "required": ["a"]}, {"type": "object", "properties": {"a": {"const": 12}, "b": {"const": "o"}}}]})",
    R"({"type": "object", "properties": {"v": {"type": "string"}, "next": {"anyOf": [{"$ref": "#"},
        {"type": "null"}]}}, "required": ["next"]})",
    R"({"type": "object", "additionalProperties": {"type": "array", "items": {"type": "null"},
        "maxItems": 2}})"};

/// The tokens that restrict() leaves.
std::vector<bool> left_by(Constraint& constraint, std::vector<float>& logits) {
  const std::vector<Token> ends = {static_cast<Token>(constraint.vocab_size() - 1)};
  logits.assign(constraint.vocab_size(), 1.0F);
  constraint.restrict(logits, ends);
  std::vector<bool> left;
  for (const float logit : logits) left.push_back(logit == 1.0F);
  return left;
}

/// Writes a text with uniformly random tokens; at every step restrict() must leave what accept()
/// takes, and something.
std::string write(Constraint& constraint, std::size_t limit, std::mt19937& random, bool compare) {
  std::string text;
  std::vector<float> logits;
  REQUIRE(constraint.begin(limit));
  for (std::size_t used = 0; !constraint.finished(); ++used) {
    const std::vector<bool> left = left_by(constraint, logits);
    std::vector<Token> choices;
    for (std::size_t i = 0; i < left.size(); ++i) {
      const auto token = static_cast<Token>(i);
      if (left[i]) choices.push_back(token);
      if (!compare || random() % 4 != 0) continue;  // copies are large
      Constraint copy = constraint;
      const bool is_end = i + 1 == left.size();
      if (left[i] != (is_end ? constraint.may_end() : copy.accept(token))) {
        CAPTURE(text);
        CHECK(grammar_tests::tokenizer().token_bytes(token) ==
              std::string(left[i] ? "left" : "not"));
      }
    }
    REQUIRE(!choices.empty());
    const Token token = choices[random() % choices.size()];
    if (static_cast<std::size_t>(token) + 1 == left.size()) break;
    REQUIRE(used < limit);
    REQUIRE(constraint.accept(token));
    text += grammar_tests::tokenizer().token_bytes(token);
  }
  CHECK(constraint.may_end());
  return text;
}

}  // namespace constraints
}  // namespace

TEST_CASE("a constraint leaves the tokens that it accepts, and no others") {
  std::mt19937 random(1);
  for (const char* schema : constraints::kSchemas) {
    CAPTURE(schema);
    mamba2::Constraint constraint(grammar_tests::grammar(schema));
    const std::size_t shortest = grammar_tests::grammar(schema).shortest();
#if defined(MAMBA2_QUICK_TESTS)
    const std::vector<std::size_t> longer = {4};
#else
    const std::vector<std::size_t> longer = {0, 3, 9};
#endif
    for (const std::size_t more : longer) {
      constraints::write(constraint, shortest + more, random, true);
    }
  }
}

TEST_CASE("texts end in time, valid, whatever the limit") {
  std::mt19937 random(2);
  for (const char* schema : constraints::kSchemas) {
    CAPTURE(schema);
    const mamba2::Grammar grammar = grammar_tests::grammar(schema);
    mamba2::Constraint constraint(grammar);
    for (int i = 0; i < 30; ++i) {
      const std::size_t limit = grammar.shortest() + random() % 40;
      const std::string text = constraints::write(constraint, limit, random, false);
      CHECK(nlohmann::json::accept(text));
      CHECK(mamba2::detail::valid_utf8_prefix(text) == text.size());
      CHECK(grammar_tests::takes(constraint, text));
    }
    const auto refused = constraint.begin(grammar.shortest() - 1);
    REQUIRE(!refused);
    CHECK(refused.error().message.find("the shortest text takes " +
                                       std::to_string(grammar.shortest())) != std::string::npos);
  }
}

TEST_CASE("tokens may span several elements, and half a character") {
  const char* schema = R"({"type": "object", "properties": {"a": {"type": "integer"},
      "b": {"type": "string"}}, "required": ["a", "b"]})";
  mamba2::Constraint constraint(grammar_tests::grammar(schema));
  const auto accept = [&](std::string_view text) {
    return constraint.accept(grammar_tests::tokenizer().find(text).value());
  };
  REQUIRE(constraint.begin(20));
  for (const char* token :
       {"{", "\"a\": 1", ", ", "\"b\": \"", "x\xF0\x9F", "\x98\x80\xE6", "\x97\xA5"}) {
    CAPTURE(token);
    CHECK(accept(token));
  }
  CHECK(!constraint.may_end());
  CHECK(!accept("\xBC"));  // no character continues so
  CHECK(!accept("\n"));
  CHECK(accept("\xE6\x97"));
  CHECK(!accept("\"}"));
  CHECK(accept("\xA5\""));
  CHECK(accept("}"));
  CHECK(constraint.finished());
  CHECK(!accept("}"));
}

TEST_CASE("special tokens and ids that are none are never accepted") {
  mamba2::Constraint constraint(grammar_tests::grammar("true"));
  const auto end = static_cast<mamba2::Token>(constraint.vocab_size() - 1);
  CHECK(grammar_tests::tokenizer().is_special(end));
  CHECK(!constraint.accept(end));
  CHECK(!constraint.accept(-1));
  CHECK(!constraint.accept(end + 1));
  // Rows of the logits that no token has.
  std::vector<float> logits(constraint.vocab_size() + 5, 1.0F);
  constraint.restrict(logits, std::vector<mamba2::Token>{end, end + 2, -7});
  for (std::size_t i = constraint.vocab_size() - 1; i < logits.size(); ++i) {
    CHECK(std::isinf(logits[i]));
  }
}

TEST_CASE("a number at the top may go on, or end") {
  mamba2::Constraint constraint(grammar_tests::grammar(R"({"type": "integer", "maximum": 130})"));
  REQUIRE(constraint.begin(4));
  CHECK(constraint.accept(grammar_tests::tokenizer().find("12").value()));
  CHECK(constraint.may_end());
  CHECK(!constraint.finished());
  CHECK(!constraint.accept(grammar_tests::tokenizer().find("12").value()));
  CHECK(constraint.accept(grammar_tests::tokenizer().find("3").value()));
  CHECK(constraint.finished());
}

TEST_CASE("a copy of a constraint is a text of its own") {
  mamba2::Constraint one(grammar_tests::grammar(R"({"enum": ["on", "off"]})"));
  REQUIRE(one.accept(grammar_tests::tokenizer().find("\"o").value()));
  mamba2::Constraint other = one;
  CHECK(one.accept(grammar_tests::tokenizer().find("n").value()));
  CHECK(other.accept(grammar_tests::tokenizer().find("f").value()));
  CHECK(one.bytes() < 1U << 20U);
}

TEST_CASE("a grammar that the tokens cannot write is refused") {
  const mamba2::GrammarTokens tokens(grammar_tests::make_tokenizer("\"}"));
  for (const char* schema : {R"({"type": "object"})", R"({"type": "string"})"}) {
    const auto made = mamba2::json_schema_grammar(schema, tokens);
    REQUIRE(!made);
    CHECK(made.error().message.find("no text of it ends") != std::string::npos);
  }
  CHECK(mamba2::json_schema_grammar(R"({"type": "array", "items": {"type": "null"}})", tokens));
}

TEST_CASE("characters that the tokens cannot complete are not begun") {
  const mamba2::Tokenizer tokenizer = grammar_tests::make_tokenizer("\x98");
  mamba2::Constraint constraint(
      mamba2::json_schema_grammar(R"({"type": "string"})", mamba2::GrammarTokens(tokenizer))
          .value());
  REQUIRE(constraint.accept(tokenizer.find("\"").value()));
  CHECK(constraint.accept(tokenizer.find("x\xF0\x9F").value()));  // other bytes can complete it
}
