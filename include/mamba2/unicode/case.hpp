// SPDX-License-Identifier: Apache-2.0
// Case of letters: folding for case-insensitive comparison, lower case.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/unicode/char_set.hpp"
#include "mamba2/unicode/packed.hpp"
#include "mamba2/unicode/property_tables.hpp"
#include "mamba2/unicode/utf8.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// A character and what it is mapped to.
struct CasePair {
  char32_t from, to;
};

/// All pairs of a table such as kFoldRuns, by `from`.
[[nodiscard]] inline std::vector<CasePair> case_pairs(const char* table) {
  std::vector<CasePair> out;
  char32_t first = 0;
  for (PackedReader reader(table); !reader.done();) {
    first += reader.number();
    const std::uint32_t count_and_step = reader.number();
    const std::int32_t distance = reader.signed_number();
    for (char32_t i = 0; i <= count_and_step / 2; ++i) {
      const char32_t c = first + i * (count_and_step % 2 + 1);
      out.push_back({c, c + static_cast<char32_t>(distance)});
    }
  }
  return out;
}

/// What a table such as kFoldRuns maps a character to; itself where it is not there.
[[nodiscard]] inline char32_t mapped_by(const char* table, char32_t c) {
  char32_t first = 0;
  for (PackedReader reader(table); !reader.done();) {
    first += reader.number();
    const std::uint32_t count_and_step = reader.number();
    const std::int32_t distance = reader.signed_number();
    if (c < first) break;
    const char32_t step = count_and_step % 2 + 1;
    const char32_t last = first + count_and_step / 2 * step;
    if (c <= last && (c - first) % step == 0) return c + static_cast<char32_t>(distance);
  }
  return c;
}

/// A character that folds to several ones; unused ones at the end are 0.
struct FullFold {
  char32_t from;
  std::array<char32_t, 3> to;
};

[[nodiscard]] inline std::vector<FullFold> full_folds() {
  std::vector<FullFold> out;
  char32_t c = 0;
  for (PackedReader reader(kFullFolds); !reader.done();) {
    c += reader.number();
    FullFold fold{c, {}};
    const std::uint32_t count = reader.number();
    for (std::uint32_t i = 0; i < count; ++i) fold.to[i] = reader.number();
    out.push_back(fold);
  }
  return out;
}

/// Simple case folding (Unicode chapter 5.18).
[[nodiscard]] inline char32_t simple_fold(char32_t c) { return mapped_by(kFoldRuns, c); }

/// Adds to a set all that differ from a member in case only, as simple case folding has it.
inline void add_other_cases(CharSet& set) {
  const std::vector<CasePair> pairs = case_pairs(kFoldRuns);
  CharSet more;
  for (const CasePair pair : pairs) {
    if (set.contains(pair.from)) more.add(pair.to, pair.to);
  }
  set.add(more);
  set.settle();  // what members fold to is in it: now all that folds to that
  for (const CasePair pair : pairs) {
    if (set.contains(pair.to)) more.add(pair.from, pair.from);
  }
  set.add(more);
  set.settle();
}

/// Appends the lower case of `text`, each character for itself: a sigma at a word's end is as any.
/// @param text valid UTF-8
inline void append_lower(std::string_view text, std::string& out) {
  constexpr char32_t kCapitalIWithDot = 0x130;
  for (std::size_t i = 0; i < text.size();) {
    const unsigned char byte = static_cast<unsigned char>(text[i]);
    if (byte < 0x80) {
      const bool upper = byte >= 'A' && byte <= 'Z';
      out += static_cast<char>(upper ? byte + ('a' - 'A') : byte);
      ++i;
      continue;
    }
    const CodePoint c = first_code_point(text.substr(i));
    if (c.value == kCapitalIWithDot) {
      out += "i\u0307";
    } else {
      append_code_point(mapped_by(kLowerRuns, c.value), out);
    }
    i += c.length;
  }
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
