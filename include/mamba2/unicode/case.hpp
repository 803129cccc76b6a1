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

/// A character that folds to several ones; unused ones at the end are 0.
struct FullFold {
  char32_t from;
  std::array<char32_t, 3> to;
};

[[nodiscard]] inline const std::vector<FullFold>& full_folds() {
  static const std::vector<FullFold> kFolds = [] {
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
  }();
  return kFolds;
}

/// Simple case folding (Unicode chapter 5.18).
[[nodiscard]] inline char32_t simple_fold(char32_t c) {
  static const std::vector<CasePair> kPairs = case_pairs(kFoldRuns);
  const auto found =
      std::lower_bound(kPairs.begin(), kPairs.end(), c,
                       [](const CasePair& pair, char32_t key) { return pair.from < key; });
  return found != kPairs.end() && found->from == c ? found->to : c;
}

/// Adds to a set all that differ from a member in case only, as simple case folding has it.
inline void add_other_cases(CharSet& set) {
  static const std::vector<CasePair> kPairs = case_pairs(kFoldRuns);
  CharSet more;
  for (const CasePair pair : kPairs) {
    if (set.contains(pair.from)) more.add(pair.to, pair.to);
  }
  set.add(more);
  set.settle();  // what members fold to is in it: now all that folds to that
  for (const CasePair pair : kPairs) {
    if (set.contains(pair.to)) more.add(pair.from, pair.from);
  }
  set.add(more);
  set.settle();
}

/// Appends the lower case of `text`, each character for itself: a sigma at a word's end is as any.
/// @param text valid UTF-8
inline void append_lower(std::string_view text, std::string& out) {
  static const std::vector<CasePair> kPairs = case_pairs(kLowerRuns);
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
      const auto found =
          std::lower_bound(kPairs.begin(), kPairs.end(), c.value,
                           [](const CasePair& pair, char32_t key) { return pair.from < key; });
      const bool changes = found != kPairs.end() && found->from == c.value;
      append_code_point(changes ? found->to : c.value, out);
    }
    i += c.length;
  }
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
