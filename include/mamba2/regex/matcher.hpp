// SPDX-License-Identifier: Apache-2.0
// Runs a regular expression's automaton over a text.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "mamba2/core/result.hpp"
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
/// the text's size, states are noted at marks in the text: who comes there in a state that led to
/// no match before stops. What this does not catch is bounded by a budget.
class RegexMatcher {
 public:
  /// @param text must outlive this, as must the others
  RegexMatcher(const RegexAlphabet& alphabet, const RegexAutomaton& automaton,
               std::string_view text) noexcept
      : alphabet_(alphabet),
        automaton_(automaton),
        text_(text),
        budget_(text.size() * kVainPerByte + kVain) {}

  /// The first match that begins at or after `from`; nothing if there is none, or on giving up.
  [[nodiscard]] std::optional<RegexMatch> find(std::size_t from) {
    for (std::size_t begin = from; !gave_up();) {
      Attempt attempt{start_state(begin), begin, kNone};
      if (!run(attempt, std::min(text_.size(), begin + kMark))) run_far(attempt, begin);
      if (attempt.end != kNone) {
        spend(attempt.read - attempt.end);
        return RegexMatch{begin, attempt.end};
      }
      spend(attempt.read - begin);
      if (begin == text_.size()) break;
      begin += length_at(begin);
    }
    return std::nullopt;
  }

  /// Bytes of the character at a place before the end.
  [[nodiscard]] std::size_t length_at(std::size_t at) const noexcept {
    return alphabet_.first(text_.substr(at)).length;
  }

  [[nodiscard]] bool gave_up() const noexcept { return budget_ == 0; }
  [[nodiscard]] static Error too_much_work() {
    return {
        ErrorCode::unsupported,
        "a regular expression reads ahead in vain from too many places of a text: its work would "
        "grow with the square of the text's size"};
  }

 private:
  static constexpr std::size_t kVainPerByte = 128, kVain = std::size_t{1} << 16;
  static constexpr std::size_t kMark = 32;  // bytes between marks
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

  void spend(std::size_t vain) noexcept { budget_ -= std::min(vain, budget_); }

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
  void run_far(Attempt& attempt, std::size_t begin) {
    if (vain_states_.empty()) vain_states_.resize(text_.size() / kMark + 1);
    while (true) {
      // The first character's beginning at or behind a mark: the same from wherever one comes.
      const std::size_t mark = (attempt.read + kMark - 1) / kMark;
      if (run(attempt, std::min(text_.size(), mark * kMark))) break;
      std::uint32_t& vain = vain_states_[attempt.read / kMark];
      if (vain == attempt.state) break;
      vain = attempt.state;
      if (run(attempt, std::min(text_.size(), attempt.read + 1))) break;
    }
    if (attempt.end == kNone) return;
    // What led to the match was not in vain.
    for (std::size_t mark = begin / kMark; mark <= attempt.end / kMark; ++mark) {
      vain_states_[mark] = 0;
    }
  }

  const RegexAlphabet& alphabet_;
  const RegexAutomaton& automaton_;
  std::string_view text_;
  std::size_t budget_;                      // bytes that may still be read in vain
  std::vector<std::uint32_t> vain_states_;  // by mark: a state that leads to no match from there on
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
