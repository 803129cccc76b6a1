// SPDX-License-Identifier: Apache-2.0
// Holds a text that is being generated to a grammar.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/linkage.hpp"
#include "mamba2/core/result.hpp"
#include "mamba2/layers/config.hpp"
#include "mamba2/text/grammar/grammar.hpp"
#include "mamba2/text/grammar/stacks.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// One text after the other by a Grammar, as tokens: GenerateOptions::constraint does it all; with
/// a loop of one's own:
///
///   constraint.begin(max_tokens)
///   until finished(): restrict(logits, ends), choose a token; if it ends the text, done;
///   accept(token)
///
/// A text ends in time: where only its shortest end still fits into max_tokens, only the tokens of
/// such an end are allowed. Special tokens never are, but those that end a text, where it may end.
/// Allocates when it is made, and never after. For one sequence; not for several threads at a time.
class Constraint {
 public:
  explicit Constraint(const Grammar& grammar)
      : program_(grammar.program()),
        stacks_(*program_),
        levels_(detail::ByteTrie::kMaxBytes + 1),
        marks_(detail::ByteTrie::kMaxBytes + 1),
        allowed_((program_->tokens->size() + 63) / 64),
        suffix_costs_(program_->tokens->suffix_count) {
    static_cast<void>(begin(kNoLimit));
  }

  static constexpr std::size_t kNoLimit = std::numeric_limits<std::size_t>::max();

  /// Begins a text of at most so many tokens, one that ends it not counted. Errors:
  /// invalid_argument, if the shortest text of the grammar has more (Grammar::shortest); then it
  /// begins none.
  [[nodiscard]] Result<void> begin(std::size_t max_tokens);

  /// Sets the logits of all tokens to -infinity that must not come next. `ends` are tokens that end
  /// a text: they may come where it may end. Logits past the vocabulary's are not allowed either.
  void restrict(std::span<float> logits, std::span<const Token> ends = {});

  /// The token comes next. False if it must not: then nothing has changed.
  [[nodiscard]] bool accept(Token token);

  /// Whether the text may end here.
  [[nodiscard]] bool may_end() const {
    return std::ranges::any_of(live_, [&](auto stack) { return stacks_.may_end(stack); });
  }
  /// Whether it must: nothing may follow.
  [[nodiscard]] bool finished() const {
    return std::ranges::all_of(live_, [](auto stack) { return stack == 0; });
  }

  /// The tokens of its vocabulary: Tokenizer::vocab_size().
  [[nodiscard]] std::size_t vocab_size() const noexcept { return program_->tokens->size(); }

  /// Bytes of memory, without the Grammar.
  [[nodiscard]] std::size_t bytes() const noexcept {
    return sizeof *this + stacks_.memory() + levels_.capacity() * sizeof levels_[0] +
           marks_.capacity() * sizeof marks_[0] + allowed_.capacity() * sizeof allowed_[0] +
           suffix_costs_.capacity() * sizeof suffix_costs_[0];
  }

 private:
  using Stacks = detail::GrammarStacks;
  using Stack = Stacks::Stack;

  [[nodiscard]] std::uint32_t cost(const Stacks::Set& set) const {
    std::uint32_t least = detail::kNeverEnds;
    for (const Stack stack : set) least = std::min(least, stacks_.cost(stack));
    return least;
  }
  /// Tokens that may follow the next one.
  [[nodiscard]] std::uint32_t left() const { return remaining_ - 1; }

  void find_allowed();
  template <class Visit>
  void walk(Stack stack, const detail::ByteTrie& trie, Visit&& visit);
  void allow_all(Stack stack);
  void allow_in_string(Stack stack);
  void allow_inside(const detail::GrammarFrame& frame, const detail::GrammarNode& node);
  void allow_leaving(Stack stack, const detail::GrammarFrame& frame,
                     const detail::GrammarNode& node);

  std::shared_ptr<const detail::GrammarProgram> program_;
  Stacks stacks_;
  Stacks::Set live_;
  std::uint32_t remaining_ = 0;
  // What follows is scratch of restrict() and accept().
  std::vector<Stacks::Set> levels_;   // by bytes of a token
  std::vector<std::uint32_t> marks_;  // the frames that were there before each
  detail::TokenMask allowed_;
  std::vector<std::uint32_t> suffix_costs_;
};

#if MAMBA2_HAS_DEFINITIONS

MAMBA2_FUNCTION Result<void> Constraint::begin(std::size_t max_tokens) {
  const std::uint32_t shortest = program_->nodes[0].cost;
  live_.size = 0;
  remaining_ =
      static_cast<std::uint32_t>(std::min<std::size_t>(max_tokens, detail::kNeverEnds - 1));
  const Stack first = stacks_.begin();
  if (first == Stacks::kDead) {
    return Error{ErrorCode::invalid_argument,
                 detail::concat("constraint: the shortest text is nested deeper than ",
                                Stacks::kMostFrames, " levels")};
  }
  if (shortest > remaining_) {
    return Error{ErrorCode::invalid_argument,
                 detail::concat("constraint: the shortest text takes ", shortest,
                                " tokens, expected at most ", remaining_)};
  }
  live_.stacks[0] = first;
  live_.size = 1;
  return {};
}

MAMBA2_FUNCTION bool Constraint::accept(Token token) {
  const detail::TokenTable& tokens = *program_->tokens;
  if (token < 0 || static_cast<std::size_t>(token) >= tokens.size() || remaining_ == 0)
    return false;
  const std::string_view bytes = tokens.bytes_of(static_cast<std::size_t>(token));
  if (bytes.empty()) return false;
  const std::uint32_t mark = stacks_.mark();
  Stacks::Set now = live_;
  for (const char c : bytes) {
    Stacks::Set next;
    for (const Stack stack : now) stacks_.step(stack, static_cast<unsigned char>(c), next);
    now = next;
  }
  if (now.size == 0 || cost(now) > left()) {
    stacks_.release(mark);
    return false;
  }
  --remaining_;
  live_ = now;
  stacks_.keep(live_);
  return true;
}

MAMBA2_FUNCTION void Constraint::restrict(std::span<float> logits, std::span<const Token> ends) {
  constexpr float kNever = -std::numeric_limits<float>::infinity();
  find_allowed();
  if (may_end()) {
    for (const Token token : ends) {
      const auto i = static_cast<std::size_t>(token);
      if (token >= 0 && i < program_->tokens->size()) detail::set_bit(allowed_, i);
    }
  }
  const std::size_t size = std::min(logits.size(), program_->tokens->size());
  for (std::size_t begin = 0; begin < size; begin += 64) {
    const std::uint64_t bits = allowed_[begin / 64];
    if (bits == ~std::uint64_t{0}) continue;
    const std::span<float> some = logits.subspan(begin, std::min<std::size_t>(64, size - begin));
    if (bits == 0) {
      std::ranges::fill(some, kNever);
      continue;
    }
    for (std::size_t i = 0; i < some.size(); ++i) {
      if ((bits >> i & 1U) == 0) some[i] = kNever;
    }
  }
  for (float& logit : logits.subspan(size)) logit = kNever;
}

/// Fills allowed_, but for tokens that end a text.
MAMBA2_FUNCTION void Constraint::find_allowed() {
  std::ranges::fill(allowed_, 0U);
  if (remaining_ == 0) return;
  for (const Stack stack : live_) {
    if (stack == 0) continue;
    const detail::GrammarFrame& frame = stacks_.frame(stack);
    const bool in_string = program_->nodes[frame.node].kind == detail::GrammarNode::Kind::string &&
                           frame.state != Stacks::kBeforeString;
    in_string ? allow_in_string(stack) : allow_all(stack);
  }
  for (const auto& [token, twin] : program_->tokens->twins) {
    if (detail::has_bit(allowed_, token)) detail::set_bit(allowed_, twin);
  }
}

/// Calls visit(value, cost) for all entries of a tree that may follow a stack, with the tokens that
/// it takes from there to the end of the text.
template <class Visit>
void Constraint::walk(Stack stack, const detail::ByteTrie& trie, Visit&& visit) {
  const std::uint32_t mark = stacks_.mark();
  levels_[0].stacks[0] = stack;
  levels_[0].size = 1;
  marks_[0] = mark;
  trie.walk(
      [&](std::size_t depth, unsigned byte) {
        stacks_.release(marks_[depth]);
        Stacks::Set& next = levels_[depth + 1];
        next.size = 0;
        for (const Stack from : levels_[depth]) stacks_.step(from, byte, next);
        marks_[depth + 1] = stacks_.mark();
        return next.size > 0;
      },
      [&](std::size_t depth, std::uint32_t value) { visit(value, cost(levels_[depth])); });
  stacks_.release(mark);
}

MAMBA2_FUNCTION void Constraint::allow_all(Stack stack) {
  walk(stack, program_->tokens->trie, [&](std::uint32_t token, std::uint32_t cost) {
    if (cost <= left()) detail::set_bit(allowed_, token);
  });
}

/// Inside a string nearly all tokens are allowed. Which stay inside is known beforehand; which
/// leave it is a matter of the few texts that may follow it.
MAMBA2_FUNCTION void Constraint::allow_in_string(Stack stack) {
  const detail::GrammarFrame frame = stacks_.frame(stack);
  const detail::GrammarNode& node = program_->nodes[frame.node];
  const auto at = static_cast<detail::StringAt>(frame.state);
  const std::uint32_t characters_left = node.max - frame.count;
  const std::uint32_t longest =
      detail::add_costs(program_->string_cost(node, detail::StringAt::boundary, frame.count), 4);
  const bool loose = characters_left >= program_->tokens->most_characters &&
                     detail::add_costs(longest, frame.rest) <= left();
  if (!loose && at != detail::StringAt::boundary) return allow_all(stack);
  if (loose) {
    const detail::TokenMask& mask = program_->tokens->inside[frame.state];
    for (std::size_t i = 0; i < mask.size(); ++i) allowed_[i] |= mask[i];
  } else {
    allow_inside(frame, node);
  }
  allow_leaving(stack, frame, node);
}

/// Tokens that stay inside a string whose length, or the text's, is about to reach its limit.
MAMBA2_FUNCTION void Constraint::allow_inside(const detail::GrammarFrame& frame,
                                              const detail::GrammarNode& node) {
  const detail::TokenTable& tokens = *program_->tokens;
  const detail::TokenMask& mask = tokens.inside[0];
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (!detail::has_bit(mask, i) || tokens.characters[i] > node.max - frame.count) continue;
    const std::uint32_t after =
        program_->string_cost(node, tokens.end[i], frame.count + tokens.characters[i]);
    if (detail::add_costs(after, frame.rest) <= left()) detail::set_bit(allowed_, i);
  }
}

MAMBA2_FUNCTION void Constraint::allow_leaving(Stack stack, const detail::GrammarFrame& frame,
                                               const detail::GrammarNode& node) {
  const detail::TokenTable& tokens = *program_->tokens;
  std::ranges::fill(suffix_costs_, detail::kNeverEnds);
  const Stack below = stacks_.below(stack);
  if (const std::uint32_t none = tokens.suffixes.root_value(); none < suffix_costs_.size()) {
    suffix_costs_[none] = stacks_.cost(below);
  }
  walk(below, tokens.suffixes,
       [&](std::uint32_t suffix, std::uint32_t cost) { suffix_costs_[suffix] = cost; });
  for (const detail::TokenTable::Leaving& token : tokens.leaving[frame.state]) {
    const std::uint64_t characters = std::uint64_t{frame.count} + token.characters;
    if (characters < node.min || characters > node.max) continue;
    if (suffix_costs_[token.suffix] <= left()) detail::set_bit(allowed_, token.token);
  }
}

#endif

}  // namespace MAMBA2_ISA
}  // namespace mamba2
