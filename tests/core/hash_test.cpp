// SPDX-License-Identifier: Apache-2.0
// The hash: values that the reference implementation gives, pieces, flipped bits.
#include "mamba2/core/hash.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

using mamba2::Hash;

namespace {

/// The high bytes of a linear congruential generator.
std::vector<std::byte> hash_input(std::size_t size) {
  std::vector<std::byte> bytes(size);
  std::uint64_t x = 1;
  for (std::byte& byte : bytes) {
    x = x * 6364136223846793005U + 1442695040888963407U;
    byte = static_cast<std::byte>(x >> 56U);
  }
  return bytes;
}

std::uint64_t hash_text(std::string_view text) { return Hash::of(std::as_bytes(std::span(text))); }

}  // namespace

TEST_CASE("hashes are those of the reference implementation") {
  CHECK(hash_text("") == 0xEF46DB3751D8E999U);
  CHECK(hash_text("abc") == 0x44BC2CF5AD770999U);
  // By the Python package xxhash 3.x: xxhash.xxh64(bytes).intdigest().
  const std::pair<std::size_t, std::uint64_t> values[] = {
      {0, 0xEF46DB3751D8E999U},     {1, 0xF88DBA187615C755U},   {3, 0xA8289444BACB8722U},
      {4, 0xB5F3937E33746DFEU},     {7, 0x14B81207FEBDE331U},   {8, 0x483DBBB3EFAF16AFU},
      {17, 0x44570E72B4CAEF4FU},    {31, 0xF5C9F1CA24BFD59EU},  {32, 0x9D7BE8531562310DU},
      {33, 0x0CA16790699C7125U},    {63, 0xA333BAEF911FF536U},  {64, 0x3D88D4FD7DECCFC0U},
      {65, 0xAC4A4540F43C6383U},    {100, 0x9EC1C0729F271FCDU}, {1000, 0x08B112153CDBA2BBU},
      {100000, 0x4BB746E0B9F57D29U}};
  for (const auto& value : values) {
    CAPTURE(value.first);
    CHECK(Hash::of(hash_input(value.first)) == value.second);
  }
  Hash number;
  number.add(0x0123456789ABCDEFU);
  CHECK(number.value() == 0xEA3C52081E9843ECU);
}

TEST_CASE("a hash does not depend on the pieces, nor on where they lie") {
  const std::vector<std::byte> input = hash_input(150);
  const std::uint64_t whole = Hash::of(input);
  for (std::size_t first = 0; first <= input.size(); ++first) {
    for (const std::size_t piece : {1U, 5U, 31U, 32U, 70U}) {
      Hash hash;
      hash.add(std::span(input).first(first));
      for (std::size_t at = first; at < input.size(); at += piece) {
        hash.add(std::span(input).subspan(at, std::min(piece, input.size() - at)));
      }
      CHECK(hash.value() == whole);
      CHECK(hash.value() == whole);  // asking changes nothing
    }
  }
  std::vector<std::byte> moved(input.size() + 1);
  std::copy(input.begin(), input.end(), moved.begin() + 1);
  CHECK(Hash::of(std::span(moved).subspan(1)) == whole);
}

TEST_CASE("every flipped bit and every shorter length has another hash") {
  std::vector<std::byte> input = hash_input(200);
  std::vector<std::uint64_t> seen;
  for (std::size_t bit = 0; bit < 8 * input.size(); ++bit) {
    const std::byte mask = std::byte{1} << (bit % 8);
    input[bit / 8] ^= mask;
    seen.push_back(Hash::of(input));
    input[bit / 8] ^= mask;
  }
  for (std::size_t size = 0; size <= input.size(); ++size) {
    seen.push_back(Hash::of(std::span(input).first(size)));
  }
  std::ranges::sort(seen);
  CHECK(std::ranges::adjacent_find(seen) == seen.end());
}
