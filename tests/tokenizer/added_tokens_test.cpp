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
      text, [](const AddedTokens::Entry&, std::size_t) { return true; },
      [&](std::size_t begin, std::size_t end) {
        out += "[" + std::string(text.substr(begin, end - begin)) + "]";
      },
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

TEST_CASE("added tokens take the white space beside them, and keep out of words") {
  const AddedTokens tokens({{"<l>", 1, false, false, true, false},
                            {"<r>", 2, false, false, false, true},
                            {"<w>", 3, false, true, false, false},
                            {"ab", 4, false, true, false, false},
                            {"  ", 5, false, false, false, false}});
  CHECK(split(tokens, "x \t\u3000<l> y") == "[x]1[ y]");
  CHECK(split(tokens, "x <r> \n y") == "[x ]2[y]");
  CHECK(split(tokens, "<r> <l>") == "21");
  CHECK(split(tokens, "  <l>") == "51");  // is taken already
  CHECK(split(tokens, "<r>  x") ==
        "2"
        "5[x]");  // found within what is taken: counts, too
  CHECK(split(tokens, "a<w>b") == "[a<w>b]");
  CHECK(split(tokens, "a <w>!") == "[a ]3[!]");
  CHECK(split(tokens, "ab, ab_ \u00E9ab ab") == "4[, ab_ \u00E9ab ]4");
}

TEST_CASE("special tokens count where they are asked for") {
  const AddedTokens tokens(
      {{"<s>", 1, true, false, false, false}, {"<s", 2, false, false, false, false}});
  std::string out;
  const std::string_view text = "a<s>b<s";
  tokens.split(
      text,
      [](const AddedTokens::Entry& entry, std::size_t begin) {
        return !entry.special || begin > 3;
      },
      [&](std::size_t begin, std::size_t end) { out += text.substr(begin, end - begin); },
      [&](Token id) { out += std::to_string(id); });
  CHECK(out == "a<s>b2");
}
