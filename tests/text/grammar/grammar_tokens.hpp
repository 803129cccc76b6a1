// SPDX-License-Identifier: Apache-2.0
// A small vocabulary with tokens of every kind that a grammar must cope with.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/grammar.hpp"
#include "mamba2/tokenizer/tokenizer.hpp"
#include "tests/tokenizer/tiny_tokenizer.hpp"

namespace grammar_tests {

/// All bytes (but those left out), some pieces of JSON and of characters, two tokens with the same
/// bytes, and <|end|>, the last id.
inline mamba2::Tokenizer make_tokenizer(std::string_view without = "") {
  tiny::Json json = tiny::tokenizer();
  tiny::Json vocab = tiny::Json::object();
  std::size_t id = 0;
  const auto add = [&](std::string_view bytes) {
    std::string text;
    for (const char c : bytes) text += tiny::symbol(static_cast<unsigned char>(c));
    if (!vocab.contains(text)) vocab[text] = id++;
  };
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    if (without.find(c) == std::string_view::npos) add(std::string_view(&c, 1));
  }
  for (const char* text : {"he",        "ll",       "\"}",    "\", \"",    "\": ",
                           "\": \"",    ", ",       "{\"",    "[[",        "]]",
                           "]}",        "}, {\"",   "12",     "123",       "00",
                           "0.",        ".5",       "true",   "false, ",   "null",
                           "\": [",     "a\"",      "ab",     "abc",       " abc",
                           "b\", \"a",  "\"a\": 1", "\xC3",   "\xBC",      "\xC3\xBC",
                           "\xE6\x97",  "\x97\xA5", "\xA5\"", "x\xF0\x9F", "\x98\x80\xE6",
                           "\\n",       "\\",       "\\\"",   "\"\"",      "\"]",
                           "-1",        "1, 2",     "\n",     "\r\n",      "aaaaaaaaaaaaaaaa",
                           "\"b\": \"", "e5",       "\"on\"", "\"o",       "n\"}",
                           "\": {\"",   "\xC0",     "\xFF"}) {
    add(text);
  }
  json["model"]["vocab"] = vocab;
  json["model"]["merges"] = tiny::Json::array();
  // The special token, and one with the bytes of another.
  json["added_tokens"][0]["id"] = id;
  return mamba2::Tokenizer::from_json(json.dump(), "grammar").value();
}

inline const mamba2::Tokenizer& tokenizer() {
  static const mamba2::Tokenizer instance = make_tokenizer();
  return instance;
}
inline const mamba2::GrammarTokens& tokens() {
  static const mamba2::GrammarTokens instance(tokenizer());
  return instance;
}

inline mamba2::Grammar grammar(std::string_view schema) {
  return mamba2::json_schema_grammar(schema, tokens()).value();
}

inline std::string refused(std::string_view schema) {
  const auto made = mamba2::json_schema_grammar(schema, tokens());
  return made ? "accepted" : made.error().message;
}

/// Whether all of a text, byte by byte, is one of a grammar.
inline bool takes(mamba2::Constraint& constraint, std::string_view text) {
  if (!constraint.begin(mamba2::Constraint::kNoLimit)) return false;
  for (const char c : text) {
    const auto token = tokenizer().find(std::string_view(&c, 1));
    if (!token || !constraint.accept(*token)) return false;
  }
  return constraint.may_end();
}
inline bool takes(std::string_view schema, std::string_view text) {
  mamba2::Constraint constraint(grammar(schema));
  return takes(constraint, text);
}

}  // namespace grammar_tests
