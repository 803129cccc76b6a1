// SPDX-License-Identifier: Apache-2.0
// How many tokens to draft.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "mamba2/core/platform.hpp"
#include "mamba2/sequence/pass_costs.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// Of a drafted token: what is known of how likely it is to be right.
using DraftKind = std::uint8_t;

/// Where drafts come from, in the order in which they are asked: the application, the text, a
/// model.
enum class DraftSource : std::uint8_t { own, lookup, model };

/// The kinds of drafts by lookup, by the number of tokens that agree before them, those of a draft
/// model by the logit that it has before the next best, and that of the application's own.
struct DraftKinds {
  static constexpr std::array<std::size_t, 5> kMatched = {1, 2, 4, 8, 16};
  static constexpr std::array<float, 5> kMargins = {0.0F, 0.5F, 1.0F, 2.0F, 4.0F};
  static constexpr DraftKind kOwn = kMatched.size() + kMargins.size();
  static constexpr std::size_t kCount = kOwn + 1;
  /// How likely each is to be right, before anything is known.
  static constexpr std::array<double, kCount> kGuess = {0.25, 0.4,  0.6, 0.8,  0.9, 0.35,
                                                        0.5,  0.65, 0.8, 0.95, 0.9};

  [[nodiscard]] static DraftKind of_matched(std::size_t matched) noexcept {
    const auto above = std::ranges::upper_bound(kMatched, matched);
    return static_cast<DraftKind>(std::max<std::ptrdiff_t>(1, above - kMatched.begin()) - 1);
  }
  [[nodiscard]] static DraftKind of_margin(float margin) noexcept {
    const auto above = std::ranges::upper_bound(kMargins, margin);
    return static_cast<DraftKind>(
        kMatched.size() +
        static_cast<std::size_t>(std::max<std::ptrdiff_t>(1, above - kMargins.begin()) - 1));
  }
};

/// How often drafts of each kind were right, lately. What is not tried is forgotten slowly, so that
/// it is tried again.
class DraftRates {
 public:
  DraftRates() {
    for (std::size_t i = 0; i < rates_.size(); ++i) rates_[i].share = DraftKinds::kGuess[i];
  }

  [[nodiscard]] double of(DraftKind kind) const noexcept { return rates_[kind].share; }
  /// The share that was right of a draft model's.
  [[nodiscard]] double of_model() const noexcept { return model_.share; }

  /// A draft was compared with the token that came.
  void add(DraftKind kind, bool is_right) noexcept {
    learn(rates_[kind], is_right);
    if (is_of_model(kind)) learn(model_, is_right);
  }
  /// A token came that was not drafted.
  void add_undrafted() noexcept {
    for (std::size_t i = 0; i < rates_.size(); ++i) forget(rates_[i], DraftKinds::kGuess[i]);
    forget(model_, kGuessOfModel);
  }

 private:
  static constexpr double kForgotten = 1.0 / 1024.0, kGuessOfModel = 0.7;
  // A guess counts as so many drafts, what is known as so many at most.
  static constexpr double kGuessed = 4.0, kRemembered = 48.0;

  struct Rate {
    double share = kGuessOfModel;
    double drafts = kGuessed;
  };

  [[nodiscard]] static bool is_of_model(DraftKind kind) noexcept {
    return kind >= DraftKinds::kMatched.size() && kind < DraftKinds::kOwn;
  }
  static void learn(Rate& rate, bool is_right) noexcept {
    rate.drafts = std::min(rate.drafts + 1.0, kRemembered);
    rate.share += ((is_right ? 1.0 : 0.0) - rate.share) / rate.drafts;
  }
  static void forget(Rate& rate, double guess) noexcept {
    rate.share += (guess - rate.share) * kForgotten;
  }

  std::array<Rate, DraftKinds::kCount> rates_;
  Rate model_;
};

/// Decides what drafting is worth, in seconds: what passes cost is measured, and how often drafts
/// are right is learnt. Losses are bounded, whatever the text is: a pass with drafts is made only
/// if, should none be right, the time lost stays within a credit of kCredit tokens and kShare of
/// the time since then; what drafts have gained fills it up.
class DraftPolicy {
 public:
  static constexpr double kCredit = 3.0, kShare = 0.01;

  [[nodiscard]] const PassCosts& costs() const noexcept { return costs_; }
  [[nodiscard]] const DraftRates& rates() const noexcept { return rates_; }
  DraftRates& rates() noexcept { return rates_; }

  /// Whether the next pass may have drafts: passes of one token are measured first, and now and
  /// then.
  [[nodiscard]] bool may_draft() const noexcept {
    return costs_.is_known() && since_single_ < between_singles_;
  }

  /// A pass, and what to expect of it.
  struct Pass {
    std::size_t drafts = 0;          ///< 0: none pay
    double tokens_per_second = 0.0;  ///< that stay
  };
  /// The best with drafts of these kinds, or the first of them.
  [[nodiscard]] Pass pass_of(std::span<const DraftKind> kinds) const noexcept {
    return best(kinds.size(), 0.0, [&](std::size_t i) { return rates_.of(kinds[i]); });
  }
  /// The same with drafts of a model that are not made yet: as likely to be right as they are on
  /// average. Which of them pay is for goes_on() and pass_of() to say.
  [[nodiscard]] Pass pass_of_model(std::size_t most) const noexcept {
    return best(most, draft_seconds(), [&](std::size_t) { return rates_.of_model(); });
  }
  /// More than so many are not tried yet; one, until it is known what that costs.
  [[nodiscard]] std::size_t most_drafts() const noexcept {
    return drafting_.is_known() ? kPassSizes[costs_.most()] - 1 : 1;
  }
  /// Whether a model should draft one token more, behind `drafted` of which all are right with
  /// this probability.
  [[nodiscard]] bool goes_on(std::size_t drafted, double probability) const noexcept {
    const double next = costs_.of(pass_size_index(std::min(drafted + 2, kMostInPass)));
    const double more = std::max(0.0, next - costs_.of(pass_size_index(drafted + 1)));
    return probability * rates_.of_model() * costs_.of_one() > draft_seconds() + more;
  }

  /// A draft model has drafted so many tokens. followed: the seconds that it took before to read a
  /// long text, which is no part of what drafts cost.
  void add_drafting(std::size_t tokens, double seconds, double followed = 0.0) noexcept {
    if (tokens > 0) drafting_.add(seconds / static_cast<double>(tokens));
    const double cost = static_cast<double>(tokens) * draft_seconds();
    balance_ -= cost + std::min(followed, costs_.of_one());
  }
  /// A pass of so many tokens is over, of which `kept` stay.
  void add_pass(std::size_t tokens, double seconds, std::size_t kept) noexcept {
    const bool was_known = costs_.is_known();
    costs_.add(tokens, seconds);
    const double one = costs_.of_one();
    if (tokens == 1) {
      if (!was_known && costs_.is_known()) balance_ = kCredit * one;
      if (since_single_ >= between_singles_) {
        between_singles_ = std::min(2 * between_singles_, kMostBetween);
      }
      since_single_ = 0;
    } else {
      ++since_single_;
      // By what passes cost as a rule: on a busy machine each takes longer than that, of one token,
      // too.
      const std::size_t size = pass_size_index(tokens);
      balance_ -=
          costs_.is_known(size) ? costs_.known(size) : std::min(seconds, kMostCounted * one);
      balance_ += static_cast<double>(kept) * one;
    }
    balance_ += kShare * one * static_cast<double>(kept);
    balance_ = std::clamp(balance_, -kMostDebt * one, 2.0 * kCredit * one);
  }

  /// What a model's draft of one token costs; until it is known, a guess.
  [[nodiscard]] double draft_seconds() const noexcept {
    return drafting_.is_known() ? drafting_.get() : kGuessOfDrafting * costs_.of_one();
  }

 private:
  static constexpr std::size_t kFirstBetween = 32, kMostBetween = 128;
  static constexpr double kGuessOfDrafting = 0.2;
  static constexpr double kLeastGain = 1.02;   // less is not worth it
  static constexpr double kMostCounted = 4.0;  // passes of one, of a size that is tried
  static constexpr double kMostDebt = 2.0;     // passes of one: bad luck is forgotten in time

  /// drafting: the seconds that a draft takes; rate(i): how likely the i'th is to be right.
  template <class Rate>
  [[nodiscard]] Pass best(std::size_t most, double drafting, Rate rate) const noexcept {
    const std::size_t last = std::min(pass_size_index(most + 1), costs_.most());
    const double one = costs_.of_one();
    Pass best = {0, kLeastGain / one};
    double reached = 1.0, expected = 1.0;  // tokens that stay
    std::size_t drafts = 0;
    for (std::size_t i = 1; i <= last; ++i) {
      for (; drafts + 1 < kPassSizes[i]; ++drafts) expected += reached *= rate(drafts);
      const double made = drafting * static_cast<double>(drafts);
      const double speed = expected / (costs_.of(i) + made);
      const double lost = (costs_.is_known(i) ? costs_.known(i) : costs_.of(i)) + made - one;
      if (lost <= balance_ && speed > best.tokens_per_second) best = {drafts, speed};
    }
    return best;
  }

  PassCosts costs_;
  RunningTime drafting_;
  DraftRates rates_;
  double balance_ = 0.0;                                            // seconds that may be lost
  std::size_t since_single_ = 0, between_singles_ = kFirstBetween;  // passes
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
