// SPDX-License-Identifier: Apache-2.0
#include "mamba2/unicode/char_set.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <bitset>
#include <random>
#include <vector>

namespace {

using mamba2::detail::CharSet;
using mamba2::detail::CodePointRange;

CharSet set_of(const std::vector<CodePointRange>& ranges) {
  CharSet out;
  for (const CodePointRange range : ranges) out.add(range.first, range.last);
  out.settle();
  return out;
}

}  // namespace

TEST_CASE("ranges that touch or overlap are one") {
  CHECK(set_of({{5, 7}, {1, 2}, {3, 4}, {6, 9}, {20, 20}}).ranges() ==
        std::vector<CodePointRange>{{1, 9}, {20, 20}});
  CHECK(set_of({}).empty());
  CHECK(set_of({}).complement() == CharSet(0, 0x10FFFF));
  CHECK(CharSet(0, 0x10FFFF).complement().empty());
  CHECK(set_of({{0, 4}, {9, 0x10FFFF}}).complement() == CharSet(5, 8));
}

TEST_CASE("sets are as those of single numbers") {
  std::mt19937 random(2);
  constexpr char32_t kSize = 64;
  for (int round = 0; round < 300; ++round) {
    std::bitset<kSize> bits[2];
    CharSet sets[2];
    for (int k = 0; k < 2; ++k) {
      for (auto i = random() % 6; i > 0; --i) {
        const auto first = static_cast<char32_t>(random() % kSize);
        const char32_t last = std::min(kSize - 1, first + static_cast<char32_t>(random() % 9));
        sets[k].add(first, last);
        for (char32_t c = first; c <= last; ++c) bits[k].set(c);
      }
      sets[k].settle();
    }
    const CharSet both = sets[0] & sets[1];
    const CharSet other = sets[0].complement();
    for (char32_t c = 0; c < kSize; ++c) {
      REQUIRE(sets[0].contains(c) == bits[0][c]);
      REQUIRE(both.contains(c) == (bits[0] & bits[1])[c]);
      REQUIRE(other.contains(c) != bits[0][c]);
    }
    REQUIRE(other.contains(kSize));
    REQUIRE(!both.contains(kSize));
  }
}
