// SPDX-License-Identifier: Apache-2.0
// What comes next, by what came next before: drafts from the text itself.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "mamba2/layers/config.hpp"
#include "mamba2/sequence/token_history.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// Finds where the end of a text occurred in it before, and drafts what followed there. For each of
/// a few lengths n a table knows the last place of n tokens, by their hash; the longest n that is
/// found counts. Adding a token and drafting take the same time however long the text is; memory is
/// bytes(), allocated when it is made. Two ends of the same hash share a place, so that the earlier
/// of them is forgotten; what is drafted did follow the tokens that it is said to have followed.
class PromptLookup {
 public:
  /// The lengths of ends that are looked for.
  static constexpr std::array<std::size_t, 4> kLengths = {8, 4, 2, 1};
  /// Longer agreement is not told.
  static constexpr std::size_t kMostMatched = 32;

  /// remembered: how many tokens it looks back, as TokenHistory has them.
  explicit PromptLookup(std::size_t remembered = std::size_t{1} << 16U)
      : history_(remembered), bits_(static_cast<unsigned>(std::countr_zero(history_.capacity()))) {
    for (std::vector<std::uint32_t>& table : tables_) table.resize(std::size_t{1} << bits_);
  }

  [[nodiscard]] const TokenHistory& history() const noexcept { return history_; }
  [[nodiscard]] std::size_t bytes() const noexcept {
    return sizeof *this + history_.capacity() * sizeof(Token) +
           (tables_.size() << bits_) * sizeof(std::uint32_t);
  }

  /// The text goes on with this token.
  void add(Token token) noexcept {
    // An end is of use from when something follows it.
    for (std::size_t i = 0; i < kLengths.size(); ++i) {
      if (known() >= kLengths[i]) slot(i) = static_cast<std::uint32_t>(history_.size());
    }
    history_.push(token);
  }
  /// TokenHistory::cut().
  void cut(std::uint64_t size) noexcept { history_.cut(size); }

  /// What a draft is by.
  struct Draft {
    std::size_t tokens = 0;   ///< how many of the span were written: all or none
    std::size_t matched = 0;  ///< so many tokens at the end of the text came before them, too
  };
  /// Writes what may come next. A repetition that reaches the end of the text goes round.
  Draft draft(std::span<Token> out) const noexcept {
    for (std::size_t i = 0; i < kLengths.size() && !out.empty(); ++i) {
      if (known() < kLengths[i]) continue;
      // Places modulo 2^32: what is said of another text is found to be wrong by the comparison.
      const std::uint32_t back = static_cast<std::uint32_t>(history_.size()) - slot(i);
      const std::size_t matched = agreement(back);
      if (matched < kLengths[i]) continue;
      for (std::size_t k = 0; k < out.size(); ++k) {
        out[k] = history_[history_.size() - back + k % back];
      }
      return {out.size(), matched};
    }
    return {};
  }

 private:
  /// Tokens that are remembered.
  [[nodiscard]] std::uint64_t known() const noexcept { return history_.size() - history_.oldest(); }

  /// How many tokens, before the end and before so many tokens back, are the same.
  [[nodiscard]] std::size_t agreement(std::uint32_t back) const noexcept {
    if (back == 0 || back >= known()) return 0;
    const auto most = std::min<std::uint64_t>(kMostMatched, known() - back);
    std::uint64_t end = history_.size();
    std::size_t matched = 0;
    while (matched < most && history_[end - 1] == history_[end - 1 - back]) --end, ++matched;
    return matched;
  }

  /// Where the place is that follows the end of length kLengths[i], as the text ends now.
  [[nodiscard]] std::size_t index(std::size_t i) const noexcept {
    std::uint64_t hash = 0;
    for (std::size_t k = 1; k <= kLengths[i]; ++k) {
      hash =
          (hash ^ static_cast<std::uint32_t>(history_[history_.size() - k])) * 0x9E3779B97F4A7C15U;
      hash ^= hash >> 32U;
    }
    return static_cast<std::size_t>(hash & ((std::uint64_t{1} << bits_) - 1));
  }
  [[nodiscard]] std::uint32_t& slot(std::size_t i) noexcept { return tables_[i][index(i)]; }
  [[nodiscard]] std::uint32_t slot(std::size_t i) const noexcept { return tables_[i][index(i)]; }

  TokenHistory history_;
  unsigned bits_;  // of the tables' indices: as many as tokens
  std::array<std::vector<std::uint32_t>, kLengths.size()> tables_;
};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
