// SPDX-License-Identifier: Apache-2.0
#include "mamba2/tokenizer/bpe.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using mamba2::Token;
using mamba2::detail::Bpe;
using mamba2::detail::Merge;
using mamba2::detail::MergeTable;

/// Letters a, b, ... and random merges of what there is.
struct RandomRules {
  explicit RandomRules(unsigned seed, int letters, std::size_t merges) : table(merges) {
    std::mt19937 random(seed);
    bytes.fill(Bpe::kNoToken);
    for (int i = 0; i < letters; ++i) {
      bytes[static_cast<std::size_t>('a' + i)] = i;
      texts.push_back(std::string(1, static_cast<char>('a' + i)));
    }
    std::map<std::string, Token> ids;
    for (std::size_t i = 0; i < texts.size(); ++i) ids[texts[i]] = static_cast<Token>(i);
    while (ranks.size() < merges) {
      const std::pair pair(static_cast<Token>(random() % texts.size()),
                           static_cast<Token>(random() % texts.size()));
      const std::string text = texts[static_cast<std::size_t>(pair.first)] +
                               texts[static_cast<std::size_t>(pair.second)];
      if (text.size() > 70 || ranks.contains(pair)) continue;
      const auto [entry, is_new] = ids.try_emplace(text, static_cast<Token>(texts.size()));
      if (is_new) texts.push_back(text);
      const Merge merge{static_cast<std::uint32_t>(ranks.size()), entry->second};
      ranks[pair] = merge;
      REQUIRE(table.insert(pair.first, pair.second, merge));
    }
  }

  /// The rule, word by word.
  [[nodiscard]] std::vector<Token> slow_encode(std::string_view piece) const {
    std::vector<Token> ids;
    for (const char c : piece) {
      const Token id = bytes[static_cast<unsigned char>(c)];
      if (id != Bpe::kNoToken) ids.push_back(id);
    }
    while (true) {
      Merge best;
      std::size_t at = 0;
      for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
        const auto found = ranks.find({ids[i], ids[i + 1]});
        if (found != ranks.end() && found->second.rank < best.rank) {
          best = found->second;
          at = i;
        }
      }
      if (best.rank == Merge::kNoRank) return ids;
      ids[at] = best.id;
      ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(at) + 1);
    }
  }

  Bpe::ByteTokens bytes;
  std::vector<std::string> texts;
  std::map<std::pair<Token, Token>, Merge> ranks;
  MergeTable table;
};

std::vector<Token> encode(const Bpe& bpe, std::string_view piece) {
  Bpe::Scratch scratch;
  std::vector<Token> out;
  bpe.encode(piece, scratch, out);
  return out;
}

}  // namespace

TEST_CASE("pieces of every length are merged as the rule says") {
  std::mt19937 random(3);
  for (unsigned seed = 0; seed < 40; ++seed) {
    const int letters = 1 + static_cast<int>(seed % 4);
    const RandomRules rules(seed, letters, 1 + seed * 3);
    const Bpe bpe(rules.bytes, rules.table);
    Bpe::Scratch scratch;
    std::vector<Token> out;
    for (std::size_t length = 0; length < 160; ++length) {
      std::string piece(length, '\0');
      // One letter more than there are tokens: some bytes are left out.
      for (char& c : piece) c = static_cast<char>('a' + random() % (rules.bytes['b'] < 0 ? 1 : 4));
      out = {-7};  // is appended to
      bpe.encode(piece, scratch, out);
      const std::vector<Token> expected = rules.slow_encode(piece);
      REQUIRE(out.size() == expected.size() + 1);
      REQUIRE(out[0] == -7);
      REQUIRE(std::equal(expected.begin(), expected.end(), out.begin() + 1));
    }
  }
}

TEST_CASE("of equal merges the leftmost goes first") {
  MergeTable table(2);
  REQUIRE(table.insert(0, 0, {0, 1}));
  Bpe::ByteTokens bytes;
  bytes.fill(Bpe::kNoToken);
  bytes['a'] = 0;
  const Bpe bpe(bytes, table);
  CHECK(encode(bpe, "aaa") == std::vector<Token>{1, 0});
  const std::vector<Token> long_run = encode(bpe, std::string(1001, 'a'));
  CHECK(long_run.size() == 501);
  CHECK(long_run.back() == 0);
}

TEST_CASE("nothing to merge, nothing to encode") {
  CHECK(encode(Bpe(), "").empty());
  CHECK(encode(Bpe(), "abc").empty());
  CHECK(encode(Bpe(), std::string(1000, 'x')).empty());
}

TEST_CASE("a piece of a megabyte is merged in reasonable time") {
  constexpr std::size_t kSize = std::size_t{1} << 20;
  MergeTable table(6);  // a + a = aa, aa + aa = aaaa, ... up to 64
  for (int i = 0; i < 6; ++i) REQUIRE(table.insert(i, i, {static_cast<std::uint32_t>(i), i + 1}));
  Bpe::ByteTokens bytes;
  bytes.fill(Bpe::kNoToken);
  bytes['a'] = 0;
  bytes['b'] = 100;
  const Bpe bpe(bytes, table);
  CHECK(encode(bpe, std::string(kSize, 'a')) == std::vector<Token>(kSize / 64, 6));
  CHECK(encode(bpe, std::string(kSize, 'b')) == std::vector<Token>(kSize, 100));
}
