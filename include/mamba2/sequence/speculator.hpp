// SPDX-License-Identifier: Apache-2.0
// Drafts tokens, so that one pass over the weights checks several of them.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/linkage.hpp"
#include "mamba2/core/result.hpp"
#include "mamba2/layers/config.hpp"
#include "mamba2/sequence/draft_model.hpp"
#include "mamba2/sequence/draft_policy.hpp"
#include "mamba2/sequence/prompt_lookup.hpp"
#include "mamba2/sequence/session.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

struct SpeculatorOptions {
  /// Drafts what followed in the text before: PromptLookup.
  bool lookup = true;
  /// So many tokens of the text are remembered.
  std::size_t remembered = std::size_t{1} << 16U;
  /// A draft model that has not followed a text reads so many of its last tokens at most: what it
  /// drafts depends on them, but not what is chosen.
  std::size_t draft_window = 128;
  /// 0: as many drafts as pay, by what passes cost here and how often drafts are right, and none
  /// where they do not. 1..15: so many at every pass, for tests and measurements.
  std::size_t drafts = 0;
  /// Drafts of the application's own, of which it knows what comes, a form that is filled in, say:
  /// writes them to `out` and returns how many; where it has none, the others are asked.
  std::function<std::size_t(const TokenHistory& text, std::span<Token> out)> own = {};
  /// The time in seconds; without it, std::chrono::steady_clock's.
  std::function<double()> clock = {};
};

/// What a Speculator has done. A token that a text was given and that a pass then read counts.
struct SpeculatorStats {
  std::uint64_t tokens = 0;    ///< that passes have read, and that stayed
  std::uint64_t passes = 0;    ///< over the weights
  std::uint64_t drafted = 0;   ///< tokens that were compared with what came
  std::uint64_t accepted = 0;  ///< of these, that were right
  double seconds = 0.0;        ///< of the passes, and of drafting
  double drafting_seconds = 0.0;
  std::uint64_t single_passes = 0;  ///< of one token
  double single_seconds = 0.0;

  /// How many times as fast all was as if every token had been a pass of its own, by those that
  /// were; 0: none was.
  [[nodiscard]] double speedup() const noexcept {
    if (single_passes == 0 || seconds <= 0.0) return 0.0;
    return single_seconds / static_cast<double>(single_passes) * static_cast<double>(tokens) /
           seconds;
  }
};

/// Knows a text and drafts how it goes on: by what came before in it, by a draft model, or both.
/// Learns how many drafts pay, from text to text. For one sequence at a time; GenerateOptions::
/// speculator does it all, SpeculativeDecoder is for loops of one's own. Allocates when it is made,
/// and never after.
class Speculator {
 public:
  /// What SessionOptions::rewind must be at least, of the model and of the one that drafts.
  static constexpr std::size_t kRewind = detail::kMostInPass;

  /// For sessions of a model with this config. Errors: invalid_argument (options).
  [[nodiscard]] static Result<Speculator> create(const Config& config,
                                                 const SpeculatorOptions& options = {});
  /// The same with a draft model: a session of a smaller model, of the same vocabulary, that can
  /// take back kRewind tokens. Errors also: mismatch, of a model with another number of tokens
  /// (whether they are the same is for check_same_tokens() to say); unsupported, of one that takes
  /// nothing back; invalid_argument, of one with too little context.
  [[nodiscard]] static Result<Speculator> create(const Config& config, AnySession draft,
                                                 const SpeculatorOptions& options = {});

  /// Errors: unsupported, of a session that cannot take back kRewind tokens; mismatch, of one
  /// of another vocabulary. name: of the model, for messages.
  [[nodiscard]] Result<void> check(const AnySession& session,
                                   std::string_view name = "the model") const;

  /// The session has read these tokens behind `before` others: prompts, that is. What followed in
  /// the text as it was known is forgotten, all of it where something is missing in between.
  void read(std::uint64_t before, std::span<const Token> tokens) noexcept {
    if (before != text().size()) {
      lookup_.cut(before);
      if (model_) model_->cut(before);
    }
    for (const Token token : tokens) lookup_.add(token);
  }

  [[nodiscard]] const TokenHistory& text() const noexcept { return lookup_.history(); }
  [[nodiscard]] const SpeculatorStats& stats() const noexcept { return stats_; }
  /// What passes cost, and how often drafts were right.
  [[nodiscard]] const detail::DraftPolicy& policy() const noexcept { return policy_; }

 private:
  friend class SpeculativeDecoder;
  static constexpr std::size_t kMostDrafts = detail::kMostInPass - 1;

  Speculator(std::size_t vocab_size, const SpeculatorOptions& options)
      : options_(options), lookup_(options.remembered), logits_(detail::kMostInPass * vocab_size) {}

  [[nodiscard]] double now() const {
    if (options_.clock) return options_.clock();
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }

  /// What may follow the text, at most so many tokens: a size of a pass, less one.
  [[nodiscard]] std::span<const Token> draft(std::size_t most);
  [[nodiscard]] std::size_t draft_own(std::size_t most);
  [[nodiscard]] std::size_t draft_by_lookup(std::size_t most);
  [[nodiscard]] std::size_t draft_by_model(std::size_t most);
  /// Of so many drafts, those that pay.
  [[nodiscard]] detail::DraftPolicy::Pass worthwhile(std::size_t drafts) const noexcept {
    if (!adapts()) return {drafts, 0.0};
    return policy_.pass_of(std::span(kinds_).first(drafts));
  }
  [[nodiscard]] bool adapts() const noexcept { return options_.drafts == 0; }

  SpeculatorOptions options_;
  PromptLookup lookup_;
  std::optional<detail::DraftModel> model_;
  detail::DraftPolicy policy_;
  SpeculatorStats stats_;
  std::array<Token, kMostDrafts> drafts_{};
  std::array<detail::DraftKind, kMostDrafts> kinds_{};
  std::vector<float> logits_;  // (kMostInPass, vocab_size): of a pass
  std::size_t vocab_size_ = logits_.size() / detail::kMostInPass;
};

#if MAMBA2_HAS_DEFINITIONS

MAMBA2_FUNCTION Result<Speculator> Speculator::create(const Config& config,
                                                      const SpeculatorOptions& options) {
  if (options.drafts > kMostDrafts) {
    return Error{ErrorCode::invalid_argument,
                 detail::concat("speculator: drafts must be in 0..", kMostDrafts, ", found ",
                                options.drafts)};
  }
  return Speculator(config.vocab_size, options);
}

MAMBA2_FUNCTION Result<Speculator> Speculator::create(const Config& config, AnySession draft,
                                                      const SpeculatorOptions& options) {
  Result<Speculator> made = create(config, options);
  if (!made) return made;
  if (auto checked = made->check(draft, "the draft model"); !checked) return checked.error();
  std::size_t window = std::max(options.draft_window, detail::kMostInPass);
  if (const std::size_t context = draft.state().context(); context > 0) {
    if (context < 2 * detail::kMostInPass) {
      return Error{ErrorCode::invalid_argument,
                   detail::concat("speculator: the context of the draft model must be at least ",
                                  2 * detail::kMostInPass, ", found ", context)};
    }
    window = std::min(window, context / 2);
  }
  made->model_.emplace(std::move(draft), window);
  return made;
}

MAMBA2_FUNCTION Result<void> Speculator::check(const AnySession& session,
                                               std::string_view name) const {
  if (session.config().vocab_size != vocab_size_) {
    return Error{ErrorCode::mismatch,
                 detail::concat("speculator: the vocabulary of ", name, " must have ", vocab_size_,
                                " rows, found ", session.config().vocab_size)};
  }
  const StateLayout& layout = session.state().layout();
  if (!layout.can_rewind() && layout.options().rewind < kRewind) {
    return Error{
        ErrorCode::unsupported,
        detail::concat("speculator: sessions of ", name, " must be able to take back ", kRewind,
                       " tokens (SessionOptions::rewind), found ", layout.options().rewind)};
  }
  return {};
}

MAMBA2_FUNCTION std::span<const Token> Speculator::draft(std::size_t most) {
  most = std::min(most, adapts() ? kMostDrafts : options_.drafts);
  if (most == 0 || (adapts() && !policy_.may_draft())) return {};
  std::size_t drafts = options_.own ? draft_own(most) : 0;
  if (drafts == 0 && options_.lookup) drafts = draft_by_lookup(most);
  if (drafts == 0 && model_) drafts = draft_by_model(most);
  return std::span(drafts_).first(drafts);
}

MAMBA2_FUNCTION std::size_t Speculator::draft_own(std::size_t most) {
  const auto out = std::span(drafts_).first(most);
  const auto written = out.first(std::min(options_.own(text(), out), most));
  const auto wrong = std::ranges::find_if(written, [this](Token token) {
    return token < 0 || static_cast<std::size_t>(token) >= vocab_size_;
  });
  std::ranges::fill(kinds_, detail::DraftKinds::kOwn);
  return worthwhile(static_cast<std::size_t>(wrong - written.begin())).drafts;
}

MAMBA2_FUNCTION std::size_t Speculator::draft_by_lookup(std::size_t most) {
  const auto found = lookup_.draft(std::span(drafts_).first(most));
  // Where drafts are right, more and more tokens agree.
  for (std::size_t i = 0; i < found.tokens; ++i) {
    kinds_[i] = detail::DraftKinds::of_matched(found.matched + i);
  }
  const auto pass = worthwhile(found.tokens);
  const bool model_is_better =
      adapts() && model_ && policy_.pass_of_model(most).tokens_per_second > pass.tokens_per_second;
  return model_is_better ? 0 : pass.drafts;
}

MAMBA2_FUNCTION std::size_t Speculator::draft_by_model(std::size_t most) {
  if (adapts() && policy_.pass_of_model(most).drafts == 0) return 0;
  if (adapts()) most = std::min(most, policy_.most_drafts());
  const double start = now();
  const std::size_t followed = model_->follow(text());
  if (followed == 0) return 0;
  const double ready = now();
  std::size_t drafts = 0;
  double probability = 1.0;  // that all are right
  for (;;) {
    const auto guess = model_->guess();
    drafts_[drafts] = guess.token;
    kinds_[drafts] = detail::DraftKinds::of_margin(guess.margin);
    probability *= policy_.rates().of(kinds_[drafts]);
    ++drafts;
    if (drafts == most || (adapts() && !policy_.goes_on(drafts, probability))) break;
    if (!model_->add(guess.token)) break;
  }
  if (followed <= detail::kMostInPass) {
    policy_.add_drafting(drafts, now() - start);
  } else {  // the first of them came with the reading
    policy_.add_drafting(drafts - 1, now() - ready, ready - start);
  }
  return worthwhile(drafts).drafts;
}

#endif

}  // namespace MAMBA2_ISA
}  // namespace mamba2
