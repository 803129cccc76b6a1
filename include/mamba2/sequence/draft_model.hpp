// SPDX-License-Identifier: Apache-2.0
// A small model that drafts for a large one.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "mamba2/sequence/draft_policy.hpp"
#include "mamba2/sequence/session.hpp"
#include "mamba2/sequence/token_history.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// A session that follows a text as it goes on, and reads ahead what it drafts itself. What it
/// drafted wrongly it takes back.
class DraftModel {
 public:
  /// window: tokens of the text that it reads at most before it drafts, where it has not followed.
  DraftModel(AnySession session, std::size_t window)
      : session_(std::move(session)), pending_(std::max<std::size_t>(window, kMostInPass)) {
    session_.reset();
    // Memory that was never touched takes its time: not in the middle of a text.
    static_cast<void>(session_.prefill(pending_));
    session_.reset();
  }

  /// The text is its first tokens again.
  void cut(std::uint64_t size) noexcept {
    if (size < place_) follows_ = false;
  }

  /// Reads what is new in the text, and returns how many tokens that were. 0: it cannot.
  [[nodiscard]] std::size_t follow(const TokenHistory& text) {
    take_back(text);
    const std::uint64_t behind = text.size() - place_;
    if (!follows_ || place_ < text.oldest() || behind > pending_.size() ||
        behind + kMostInPass > session_.state().room()) {
      session_.reset();
      follows_ = true;
      place_ = text.size() - std::min<std::uint64_t>(pending_.size(), text.size() - text.oldest());
    }
    const auto pending = std::span(pending_).first(static_cast<std::size_t>(text.size() - place_));
    text.copy(place_, pending);
    if (!take(session_.prefill(pending), text.size())) return 0;
    session_.settle();  // all that it reads ahead may be wrong
    return pending.size();
  }

  /// The token that it takes to be the next, and by how much its logit is the largest.
  struct Guess {
    Token token = 0;
    float margin = 0.0F;
  };
  /// After follow(), or add().
  [[nodiscard]] Guess guess() const noexcept {
    Guess best;
    float largest = -std::numeric_limits<float>::infinity(), second = largest;
    for (std::size_t i = 0; i < logits_.size(); ++i) {
      const float logit = logits_[i];
      if (logit > largest) {
        second = std::exchange(largest, logit);
        best.token = static_cast<Token>(i);
      } else if (logit > second) {
        second = logit;
      }
    }
    best.margin = largest - second;
    return best;
  }
  /// Reads a token that it drafted, kMostInPass - 2 of them at most. False: it cannot.
  [[nodiscard]] bool add(Token token) {
    if (!take(session_.decode(token), place_)) return false;
    ahead_[ahead_count_++] = token;
    return true;
  }

 private:
  /// It has read so many tokens of the text, and what it read ahead, if reading went well.
  bool take(const Result<std::span<const float>>& logits, std::uint64_t place) {
    follows_ = logits.has_value();
    if (follows_) logits_ = *logits;
    place_ = place;
    return follows_;
  }

  /// What it read ahead is compared with what came, but for the last token: that is to be read, as
  /// the logits behind it are not here any more.
  void take_back(const TokenHistory& text) {
    std::size_t right = 0;
    while (follows_ && right < ahead_count_ && place_ + 1 < text.size() &&
           text[place_] == ahead_[right]) {
      ++place_, ++right;
    }
    const std::size_t wrong = ahead_count_ - right;
    ahead_count_ = 0;
    if (wrong > 0 && !session_.rewind(session_.state().tokens() - wrong)) follows_ = false;
  }

  AnySession session_;
  std::vector<Token> pending_;
  std::uint64_t place_ = 0;  // so many tokens of the text it has read
  bool follows_ = false;     // what it has read is that text, or the end of it
  std::array<Token, kMostInPass> ahead_{};
  std::size_t ahead_count_ = 0;
  std::span<const float> logits_;
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
