// SPDX-License-Identifier: Apache-2.0
#include "mamba2/tokenizer/added_tokens.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace {

using mamba2::Token;
using mamba2::detail::AddedTokens;

/// Texts in brackets, tokens as numbers.
std::string split(const AddedTokens& tokens, std::string_view text) {
  std::string out;
  tokens.split(
      text, [&](std::string_view part) { out += "[" + std::string(part) + "]"; },
      [&](Token id) { out += std::to_string(id); });
  return out;
}

std::string slow_split(const std::vector<AddedTokens::Entry>& entries, std::string_view text) {
  std::string out, part;
  const auto flush = [&] {
    if (!part.empty()) out += "[" + part + "]";
    part.clear();
  };
  while (!text.empty()) {
    const AddedTokens::Entry* best = nullptr;
    for (const auto& entry : entries) {
      if (text.starts_with(entry.text) &&
          (best == nullptr || entry.text.size() > best->text.size()))
        best = &entry;
    }
    if (best == nullptr) {
      part += text[0];
      text.remove_prefix(1);
    } else {
      flush();
      out += std::to_string(best->id);
      text.remove_prefix(best->text.size());
    }
  }
  flush();
  return out;
}

}  // namespace

TEST_CASE("the leftmost and longest is found") {
  const AddedTokens tokens({{"ab", 1}, {"abcd", 2}, {"bc", 3}, {"  ", 4}, {"   ", 5}, {"\xFF", 6}});
  CHECK(split(tokens, "") == "");
  CHECK(split(tokens, "xyz") == "[xyz]");
  CHECK(split(tokens, "ab") == "1");
  CHECK(split(tokens, "abcx") == "1[cx]");  // longer ones fail, the shorter stands
  CHECK(split(tokens, "xabcdbcab") == "[x]231");
  CHECK(split(tokens, "a b  c   d    e") == "[a b]4[c]5[d]5[ e]");
  CHECK(split(tokens, "\xFF\xFF") == "66");
  CHECK(split(AddedTokens(), "ab") == "[ab]");
}

TEST_CASE("random texts are cut as the rule says") {
  std::mt19937 random(11);
  for (int round = 0; round < 200; ++round) {
    std::vector<AddedTokens::Entry> entries;
    for (Token id = 0; id < 12; ++id) {
      std::string text(1 + random() % 5, '\0');
      for (char& c : text) c = static_cast<char>('a' + random() % 3);
      bool twice = false;
      for (const auto& entry : entries) twice = twice || entry.text == text;
      if (!twice) entries.push_back({text, id});
    }
    const AddedTokens tokens(entries);
    CHECK(tokens.duplicate() == nullptr);
    for (const auto& entry : entries) CHECK(tokens.find(entry.text) == entry.id);
    for (int i = 0; i < 20; ++i) {
      std::string text(random() % 40, '\0');
      for (char& c : text) c = static_cast<char>('a' + random() % 4);
      CHECK(split(tokens, text) == slow_split(entries, text));
    }
  }
}

TEST_CASE("whole texts are found by name, duplicates by looking for them") {
  const AddedTokens tokens({{"ab", 1}, {"abcd", 2}, {"x", 3}, {"ab", 4}});
  CHECK(tokens.find("abcd") == 2);
  CHECK_FALSE(tokens.find("abc").has_value());
  CHECK_FALSE(tokens.find("").has_value());
  REQUIRE(tokens.duplicate() != nullptr);
  CHECK(*tokens.duplicate() == "ab");
  CHECK_FALSE(AddedTokens().find("ab").has_value());
}
