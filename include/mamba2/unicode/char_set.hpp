// SPDX-License-Identifier: Apache-2.0
// A set of code points, as sorted ranges.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "mamba2/core/platform.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

inline constexpr char32_t kLastCodePoint = 0x10FFFF;

struct CodePointRange {
  char32_t first, last;

  friend bool operator==(const CodePointRange&, const CodePointRange&) = default;
};

/// Ranges in ascending order; between two there is a gap. Made by adding, then settle().
class CharSet {
 public:
  CharSet() = default;
  CharSet(char32_t first, char32_t last) : ranges_{{first, last}} {}

  [[nodiscard]] const std::vector<CodePointRange>& ranges() const noexcept { return ranges_; }
  [[nodiscard]] bool empty() const noexcept { return ranges_.empty(); }

  [[nodiscard]] bool contains(char32_t c) const noexcept {
    const auto after = std::upper_bound(
        ranges_.begin(), ranges_.end(), c,
        [](char32_t value, const CodePointRange& range) { return value < range.first; });
    return after != ranges_.begin() && c <= (after - 1)->last;
  }

  /// What is added counts from the next settle() on.
  void add(char32_t first, char32_t last) { ranges_.push_back({first, last}); }
  void add(const CharSet& other) {
    ranges_.insert(ranges_.end(), other.ranges_.begin(), other.ranges_.end());
  }

  /// Sorts and joins the ranges.
  void settle() {
    std::sort(ranges_.begin(), ranges_.end(),
              [](const CodePointRange& a, const CodePointRange& b) { return a.first < b.first; });
    std::size_t kept = 0;
    for (const CodePointRange range : ranges_) {
      if (kept != 0 && range.first <= ranges_[kept - 1].last + 1) {
        ranges_[kept - 1].last = std::max(ranges_[kept - 1].last, range.last);
      } else {
        ranges_[kept++] = range;
      }
    }
    ranges_.resize(kept);
  }

  /// All code points that are not in it.
  [[nodiscard]] CharSet complement() const {
    CharSet out;
    char32_t next = 0;
    for (const CodePointRange range : ranges_) {
      if (range.first > next) out.add(next, range.first - 1);
      next = range.last + 1;
    }
    if (next <= kLastCodePoint) out.add(next, kLastCodePoint);
    return out;
  }

  /// Those that are in both.
  [[nodiscard]] CharSet operator&(const CharSet& other) const {
    CharSet out = complement();
    out.add(other.complement());
    out.settle();
    return out.complement();
  }

  friend bool operator==(const CharSet&, const CharSet&) = default;

 private:
  std::vector<CodePointRange> ranges_;
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
