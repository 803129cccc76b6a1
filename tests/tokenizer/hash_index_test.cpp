// SPDX-License-Identifier: Apache-2.0
#include "mamba2/tokenizer/hash_index.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

using namespace mamba2::detail;

TEST_CASE("strings are found, others are not") {
  std::vector<std::string> keys = {""};
  for (int i = 0; i < 5000; ++i)
    keys.push_back(std::string(std::size_t(i % 23), 'x') + std::to_string(i));
  const auto key_of = [&](std::uint32_t i) -> std::string_view { return keys[i]; };
  StringIndex index(keys.size());
  for (std::uint32_t i = 0; i < keys.size(); ++i) {
    CHECK(index.find(keys[i], key_of) == StringIndex::kNone);
    CHECK(index.insert(keys[i], i));
  }
  for (std::uint32_t i = 0; i < keys.size(); ++i) CHECK(index.find(keys[i], key_of) == i);
  CHECK(index.find("y", key_of) == StringIndex::kNone);
  CHECK(index.find(std::string_view("\0", 1), key_of) == StringIndex::kNone);
  CHECK(StringIndex().find("x", key_of) == StringIndex::kNone);
}

TEST_CASE("merges are found and replaced") {
  MergeTable table(3000);
  CHECK(MergeTable().find(0, 0).rank == Merge::kNoRank);
  for (int i = 0; i < 3000; ++i) {
    REQUIRE(table.insert(i % 60, i / 60, {static_cast<std::uint32_t>(i), i + 7}));
  }
  REQUIRE(table.insert(3, 4, {9999, 1}));
  for (int i = 0; i < 3000; ++i) {
    const Merge merge = table.find(i % 60, i / 60);
    const bool replaced = i % 60 == 3 && i / 60 == 4;
    CHECK(merge.rank == (replaced ? 9999U : static_cast<std::uint32_t>(i)));
    CHECK(merge.id == (replaced ? 1 : i + 7));
  }
  CHECK(table.find(60, 0).rank == Merge::kNoRank);
  CHECK(table.find(0, 60).rank == Merge::kNoRank);
}

TEST_CASE("keys that collide are an error, not a wait") {
  StringIndex index(kMaxProbes);
  std::uint32_t inserted = 0;
  while (inserted < 2 * kMaxProbes && index.insert("the same", inserted)) ++inserted;
  CHECK(inserted == kMaxProbes);
}
