// SPDX-License-Identifier: Apache-2.0
// The deterministic automaton of a program: one table look-up a character.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/regex/alphabet.hpp"
#include "mamba2/regex/program.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// A state is the list of the program's ways that are open, the preferred first; ways behind one
/// that matches are closed. What a transition tells is whether a match ends before its character:
/// so assertions about the next character are known when they are needed.
class RegexAutomaton {
 public:
  static constexpr std::size_t kMaxBytes = std::size_t{1} << 22;  // of the table

  /// Bit 0: a match ends before the character; the rest: the next state, as the place of its row in
  /// the table; 0 if no way is open.
  using Transition = std::uint32_t;

  /// The transition of a state over a symbol is table()[state + symbol].
  [[nodiscard]] const Transition* table() const noexcept { return table_.data(); }

  /// @param behind the symbol of the character before; that of the edge if there is none
  [[nodiscard]] std::uint32_t start(std::size_t behind) const noexcept {
    return starts_[behind_kinds_[behind]];
  }
  [[nodiscard]] bool looks_behind() const noexcept { return starts_.size() > 1; }
  /// How many states there are, and which of them has a row.
  [[nodiscard]] std::size_t size() const noexcept { return table_.size() / stride_; }
  [[nodiscard]] std::size_t number(std::uint32_t row) const noexcept { return row / stride_; }

 private:
  friend class RegexAutomatonBuilder;

  std::size_t stride_ = 1;
  std::vector<Transition> table_;
  std::vector<std::uint32_t> starts_;        // by kind of what is behind
  std::vector<std::uint16_t> behind_kinds_;  // by symbol: those that no assertion tells apart
};

class RegexAutomatonBuilder {
 public:
  /// @return an error without the pattern's name
  [[nodiscard]] static Result<RegexAutomaton> build(const RegexProgram& program,
                                                    const RegexAlphabet& alphabet) {
    RegexAutomatonBuilder builder(program, alphabet);
    builder.sort_behinds();
    for (std::size_t kind = 0; kind < builder.kind_samples_.size(); ++kind) {
      builder.out_.starts_.push_back(
          builder.row_of({static_cast<std::uint32_t>(kind), program.start}));
    }
    while (builder.done_ < builder.states_.size()) {
      if (!builder.fill_row()) {
        return Error{ErrorCode::unsupported,
                     "a pattern that needs so many states is not supported"};
      }
    }
    return std::move(builder.out_);
  }

 private:
  /// The kind of what is behind, then the open ways.
  using State = std::vector<std::uint32_t>;

  RegexAutomatonBuilder(const RegexProgram& program, const RegexAlphabet& alphabet)
      : program_(program),
        alphabet_(alphabet),
        seen_(program.code.size()),
        listed_(program.code.size()) {
    out_.stride_ = alphabet.size() + 1;
    static_cast<void>(row_of({0}));  // the state without ways
  }

  [[nodiscard]] bool holds(const RegexInstruction& look, std::size_t symbol) const {
    if (symbol == alphabet_.size()) return look.edge;
    return alphabet_.symbols_of(look.set)[symbol] != look.negated;
  }

  /// Numbers the symbols, and the edge, by what the assertions about the character behind say.
  void sort_behinds() {
    std::map<std::vector<bool>, std::uint16_t> kinds;
    for (std::size_t symbol = 0; symbol <= alphabet_.size(); ++symbol) {
      std::vector<bool> answers;
      for (const RegexInstruction& look : program_.code) {
        if (look.kind == RegexInstruction::Kind::behind) answers.push_back(holds(look, symbol));
      }
      const auto [entry, is_new] =
          kinds.try_emplace(std::move(answers), static_cast<std::uint16_t>(kinds.size()));
      if (is_new) kind_samples_.push_back(symbol);
      out_.behind_kinds_.push_back(entry->second);
    }
  }

  /// Where a state's row is, or will be.
  [[nodiscard]] std::uint32_t row_of(State state) {
    if (state.size() == 1) state[0] = 0;  // no way is open: whatever is behind
    const auto [entry, is_new] = rows_.try_emplace(
        std::move(state), static_cast<std::uint32_t>(states_.size() * out_.stride_));
    if (is_new) states_.push_back(&entry->first);
    return entry->second;
  }

  /// The transitions of the next state that has none. False if there are too many states, or it
  /// takes too long.
  [[nodiscard]] bool fill_row() {
    const State& state = *states_[done_++];
    for (std::size_t symbol = 0; symbol < out_.stride_; ++symbol) {
      const bool matched = step(state, symbol);
      const bool edge = symbol == alphabet_.size();
      if (edge) after_.resize(1);
      out_.table_.push_back(row_of(after_) << 1 | (matched ? 1 : 0));
    }
    return steps_ < kMaxSteps &&
           states_.size() * out_.stride_ * sizeof(RegexAutomaton::Transition) <=
               RegexAutomaton::kMaxBytes;
  }

  /// Follows all ways of a state over a symbol: `after_` is where they lead.
  /// @return whether one of them matches before it
  [[nodiscard]] bool step(const State& state, std::size_t symbol) {
    ++round_;
    after_.assign(1, out_.behind_kinds_[symbol]);
    for (std::size_t i = 1; i < state.size(); ++i) {
      stack_.assign(1, state[i]);
      while (!stack_.empty()) {
        const std::uint32_t at = stack_.back();
        stack_.pop_back();
        ++steps_;
        if (seen_[at] == round_) {
          if (program_.code[at].loop) stack_.push_back(program_.code[at].other);
          continue;
        }
        seen_[at] = round_;
        if (program_.code[at].kind == RegexInstruction::Kind::match) return true;
        follow(program_.code[at], kind_samples_[state[0]], symbol);
      }
    }
    return false;
  }

  void follow(const RegexInstruction& instruction, std::size_t behind, std::size_t symbol) {
    switch (instruction.kind) {
      case RegexInstruction::Kind::match:
        return;
      case RegexInstruction::Kind::take:
        if (symbol == alphabet_.size() || !alphabet_.symbols_of(instruction.set)[symbol]) return;
        if (listed_[instruction.next] == round_) return;
        listed_[instruction.next] = round_;
        after_.push_back(instruction.next);
        return;
      case RegexInstruction::Kind::fork:
        stack_.push_back(instruction.other);
        stack_.push_back(instruction.next);
        return;
      case RegexInstruction::Kind::ahead:
        if (holds(instruction, symbol)) stack_.push_back(instruction.next);
        return;
      case RegexInstruction::Kind::behind:
        if (holds(instruction, behind)) stack_.push_back(instruction.next);
        return;
    }
  }

  static constexpr std::size_t kMaxSteps = 20'000'000;

  const RegexProgram& program_;
  const RegexAlphabet& alphabet_;
  RegexAutomaton out_;
  std::map<State, std::uint32_t> rows_;
  std::vector<const State*> states_;
  std::vector<std::size_t> kind_samples_;  // a symbol of each kind
  std::size_t done_ = 0, steps_ = 0;
  std::uint32_t round_ = 0;  // of what the marks below are of
  std::vector<std::uint32_t> seen_, listed_;
  std::vector<std::uint32_t> stack_;
  State after_;
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
