// SPDX-License-Identifier: Apache-2.0
// Unicode properties of code points, from the tables.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <utility>

#include "mamba2/tokenizer/unicode_tables.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// What the pre-tokenizer's regular expression tells apart: \p{L}, \p{N}, \s and the rest.
enum class CharClass : std::uint8_t { other, letter, number, space };

/// A stretch of code points of one class.
struct ClassRange {
  char32_t first = 0;
  char32_t size = 0;
  CharClass value = CharClass::other;

  [[nodiscard]] bool contains(char32_t c) const noexcept { return c - first < size; }
};

/// The entry of a table of changes (see unicode_tables.hpp) that governs `c`.
template <std::size_t N>
[[nodiscard]] constexpr const std::uint32_t* find_change(const std::uint32_t (&changes)[N],
                                                         int bits, char32_t c) noexcept {
  const std::uint32_t last_key = ((static_cast<std::uint32_t>(c) + 1) << bits) - 1;
  return std::upper_bound(changes, changes + N, last_key) - 1;
}

[[nodiscard]] inline ClassRange class_range(char32_t c) noexcept {
  const std::uint32_t* entry = find_change(kClassChanges, 2, c);
  const char32_t first = *entry >> 2;
  const char32_t end = entry + 1 == std::end(kClassChanges) ? 0x110000 : entry[1] >> 2;
  return {first, end - first, static_cast<CharClass>(*entry & 3)};
}

/// Canonical combining class.
[[nodiscard]] inline unsigned combining_class(char32_t c) noexcept {
  return c < 0x300 ? 0 : *find_change(kCombiningChanges, 8, c) & 0xFF;
}

/// Whether NFC may change `c` or join it to the character before it: a text may be cut before any
/// other character, normalized in parts and put together again.
[[nodiscard]] inline bool nfc_joins(char32_t c) noexcept {
  return c >= 0x300 && (*find_change(kJoinedChanges, 1, c) & 1) != 0;
}

// Hangul syllables are composed by arithmetic (Unicode chapter 3.12).
inline constexpr char32_t kHangulS = 0xAC00, kHangulL = 0x1100, kHangulV = 0x1161,
                          kHangulT = 0x11A7;
inline constexpr char32_t kHangulVs = 21, kHangulTs = 28;
inline constexpr char32_t kHangulLs = 19, kHangulSs = kHangulLs * kHangulVs * kHangulTs;

/// One step of the canonical decomposition; {0, 0} if there is none, {x, 0} if it is one character.
[[nodiscard]] inline std::pair<char32_t, char32_t> decompose(char32_t c) noexcept {
  if (c - kHangulS < kHangulSs) {
    const char32_t s = c - kHangulS;
    if (s % kHangulTs != 0) return {c - s % kHangulTs, kHangulT + s % kHangulTs};
    return {kHangulL + s / (kHangulVs * kHangulTs), kHangulV + s / kHangulTs % kHangulVs};
  }
  const auto* found =
      std::lower_bound(std::begin(kDecompositions), std::end(kDecompositions), c,
                       [](const Decomposition& d, char32_t key) { return d.code_point < key; });
  if (found == std::end(kDecompositions) || found->code_point != c) return {0, 0};
  return {found->first, found->second};
}

/// The character that NFC composes from `a` and `b`; 0 if there is none.
[[nodiscard]] inline char32_t compose(char32_t a, char32_t b) noexcept {
  if (a - kHangulL < kHangulLs && b - kHangulV < kHangulVs) {
    return kHangulS + ((a - kHangulL) * kHangulVs + (b - kHangulV)) * kHangulTs;
  }
  if (a - kHangulS < kHangulSs && (a - kHangulS) % kHangulTs == 0 && b > kHangulT &&
      b < kHangulT + kHangulTs) {
    return a + (b - kHangulT);
  }
  const auto before = [](std::uint16_t index, std::pair<char32_t, char32_t> key) {
    return std::pair(kDecompositions[index].first, kDecompositions[index].second) < key;
  };
  const auto* found =
      std::lower_bound(std::begin(kCompositions), std::end(kCompositions), std::pair(a, b), before);
  if (found == std::end(kCompositions)) return 0;
  const Decomposition& d = kDecompositions[*found];
  return d.first == a && d.second == b ? d.code_point : 0;
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
