// SPDX-License-Identifier: Apache-2.0
// Runs a regular expression's automaton over a text.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "mamba2/regex/alphabet.hpp"
#include "mamba2/regex/automaton.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

struct RegexMatch {
  std::size_t begin, end;  // bytes

  friend bool operator==(const RegexMatch&, const RegexMatch&) = default;
};

/// Searches in one text. What is read behind a match's end, or where none is found, is read in
/// vain, and perhaps again from the next place on. So that this does not add up to the square of
/// the text's size, states that lead to no match are noted at marks in the text: who comes there in
/// one of them stops. So each of the automaton's states is followed once from each mark at most,
/// and the work is at most the text's size times the number of states, whatever the pattern.
class RegexMatcher {
 public:
  /// @param text must outlive this, as must the others
  RegexMatcher(const RegexAlphabet& alphabet, const RegexAutomaton& automaton,
               std::string_view text) noexcept
      : alphabet_(alphabet),
        automaton_(automaton),
        text_(text),
        mark_(std::max<std::size_t>(kMark, automaton.size() / 8)) {}

  /// The first match that begins at or after `from`; nothing if there is none.
  [[nodiscard]] std::optional<RegexMatch> find(std::size_t from) {
    for (std::size_t begin = from;; begin += length_at(begin)) {
      Attempt attempt{start_state(begin), begin, kNone};
      if (!run(attempt, std::min(text_.size(), begin + mark_))) run_far(attempt);
      if (attempt.end != kNone) return RegexMatch{begin, attempt.end};
      if (begin == text_.size()) return std::nullopt;
    }
  }

  /// Bytes of the character at a place before the end.
  [[nodiscard]] std::size_t length_at(std::size_t at) const noexcept {
    return alphabet_.first(text_.substr(at)).length;
  }

 private:
  static constexpr std::size_t kMark = 32;  // bytes between marks, or more: see vain_
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

  struct Attempt {
    std::uint32_t state;  // 0: no way is open, the attempt has ended
    std::size_t read;     // how far the text was read
    std::size_t end;      // of the match, if there is one yet
  };

  [[nodiscard]] std::uint32_t start_state(std::size_t begin) const noexcept {
    const bool behind = automaton_.looks_behind() && begin > 0;
    return automaton_.start(behind ? alphabet_.last(text_.substr(0, begin)) : alphabet_.size());
  }

  /// Reads on until no way is open, or to `limit`.
  /// @return whether the attempt has ended
  [[nodiscard]] bool run(Attempt& attempt, std::size_t limit) const noexcept {
    const char* const text = text_.data();
    const RegexAutomaton::Transition* const table = automaton_.table();
    std::uint32_t state = attempt.state;
    std::size_t read = attempt.read, end = attempt.end;
    const auto step = [&](std::size_t symbol) {
      const RegexAutomaton::Transition next = table[state + symbol];
      end = (next & 1) != 0 ? read : end;
      state = next >> 1;
    };
    while (read < limit && state != 0) {
      const auto byte = static_cast<unsigned char>(text[read]);
      if (byte < 0x80) {
        step(alphabet_.of_ascii(byte));
        ++read;
      } else {
        const RegexAlphabet::Symbol symbol = alphabet_.first({text + read, text_.size() - read});
        step(symbol.value);
        read += symbol.length;
      }
    }
    if (state != 0 && read == text_.size()) step(alphabet_.size());
    attempt = {state, read, end};
    return state == 0;
  }

  /// The same from mark to mark, to the end.
  void run_far(Attempt& attempt) {
    if (vain_.empty()) vain_.resize((text_.size() / mark_ + 1) * automaton_.size());
    passed_.clear();  // notes, which hold if no match ends behind them
    while (true) {
      // The first character's beginning at or behind a mark: the same from wherever one comes.
      const std::size_t mark = (attempt.read + mark_ - 1) / mark_;
      const std::size_t end = attempt.end;
      if (run(attempt, std::min(text_.size(), mark * mark_))) break;
      if (attempt.end != end) passed_.clear();
      const std::size_t note =
          attempt.read / mark_ * automaton_.size() + automaton_.number(attempt.state);
      if (vain_[note]) break;
      passed_.push_back(note);
      const std::size_t before = attempt.end;
      const bool ended = run(attempt, std::min(text_.size(), attempt.read + 1));
      if (attempt.end != before) passed_.clear();
      if (ended) break;
    }
    for (const std::size_t note : passed_) vain_[note] = true;
  }

  const RegexAlphabet& alphabet_;
  const RegexAutomaton& automaton_;
  std::string_view text_;
  std::size_t mark_;
  // By mark and state: no match ends from there on. Marks are the farther apart the more states
  // there are, so that this takes at most as much memory as the text.
  std::vector<bool> vain_;
  std::vector<std::size_t> passed_;
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
