// SPDX-License-Identifier: Apache-2.0
// From logits to a token.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "mamba2/core/fixed_exp.hpp"
#include "mamba2/core/linkage.hpp"
#include "mamba2/core/result.hpp"
#include "mamba2/layers/config.hpp"
#include "mamba2/sequence/sampler_options.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// Chooses tokens. The same logits, options and history give the same token on every machine: the
/// probabilities are integers, and so is the random generator.
class Sampler {
 public:
  /// For logits of which the first `tokens` belong to tokens: a model's vocabulary may be padded
  /// with rows that no token has, and these are never chosen.
  /// Errors: invalid_argument for options out of range or no tokens.
  [[nodiscard]] static Result<Sampler> create(const SamplerOptions& options, std::size_t tokens);

  /// Chooses a token from logits (at least `tokens` values) and counts it as seen.
  [[nodiscard]] Token sample(std::span<const float> logits) {
    if (options_.logit_bias.empty()) return choose(logits, logits);
    return sample(logits, [](std::span<float>) {});
  }

  /// The same, with logits that edit(std::span<float>) may change before: a copy of the first
  /// `tokens`, logit_bias added. A token whose logit becomes -infinity is not chosen.
  template <class Edit>
  requires std::invocable<Edit&, std::span<float>>
  [[nodiscard]] Token sample(std::span<const float> logits, Edit&& edit) {
    std::copy_n(logits.begin(), edited_.size(), edited_.begin());
    for (const LogitBias& b : options_.logit_bias) {
      edited_[static_cast<std::size_t>(b.token)] += b.bias;
    }
    edit(std::span<float>(edited_));
    return choose(logits, edited_);
  }

  /// Whether the last call of sample() had a token to choose from. Where logit_bias and edits have
  /// left none, it has returned token 0.
  [[nodiscard]] bool had_choice() const noexcept { return had_choice_; }

  /// Begins a new text: for the presence and the frequency penalty no token was chosen in it yet.
  void begin_text() noexcept { std::ranges::fill(chosen_, 0U); }

  /// Counts a token as seen, for the repetition penalty.
  void accept(Token token) noexcept {
    if (token >= 0 && static_cast<std::size_t>(token) < seen_.size()) {
      seen_[static_cast<std::size_t>(token)] = true;
    }
  }

  [[nodiscard]] const SamplerOptions& options() const noexcept { return options_; }
  /// All that it remembers: the state of its random generator, and which tokens it has seen, by id.
  [[nodiscard]] std::uint64_t random() const noexcept { return random_; }
  [[nodiscard]] const std::vector<bool>& seen() const noexcept { return seen_; }
  /// Goes on as the sampler did that remembered this; seen is as long as that of this one.
  void resume(std::uint64_t random, std::vector<bool> seen) {
    random_ = random;
    seen_ = std::move(seen);
  }

 private:
  struct Candidate {
    float logit;
    Token token;
    /// The order of preference; total, so that every standard library sorts alike.
    bool operator<(const Candidate& other) const noexcept {
      return logit != other.logit ? logit > other.logit : token < other.token;
    }
  };

  Sampler(const SamplerOptions& options, std::size_t tokens)
      : options_(options), random_(options.seed), seen_(tokens), chosen_(tokens), edited_(tokens) {
    candidates_.reserve(tokens);
    weights_.reserve(tokens);
  }

  /// edited: the logits with logit_bias and edits.
  [[nodiscard]] Token choose(std::span<const float> logits, std::span<const float> edited);
  void collect(std::span<const float> logits, std::span<const float> edited);
  [[nodiscard]] float penalised(std::size_t token, float logit) const;
  [[nodiscard]] Token greedy() const;
  [[nodiscard]] Token draw();
  [[nodiscard]] float largest() const;
  [[nodiscard]] static std::uint64_t weight(float logit, float largest, float temperature);
  void keep_top_k();
  void keep_min_p();
  std::uint64_t keep_top_p();
  [[nodiscard]] std::uint64_t random_below(std::uint64_t bound);

  SamplerOptions options_;
  std::uint64_t random_;
  std::vector<bool> seen_;
  std::vector<std::uint32_t> chosen_;  // how often, in this text
  std::vector<float> edited_;          // where logits are changed: a copy of them
  bool had_choice_ = true;
  std::vector<Candidate> candidates_;
  std::vector<std::uint64_t> weights_;
};

#if MAMBA2_HAS_DEFINITIONS

MAMBA2_FUNCTION Result<Sampler> Sampler::create(const SamplerOptions& options, std::size_t tokens) {
  if (auto checked = detail::check_sampler_options(options, tokens); !checked) {
    return std::move(checked).error();
  }
  return Sampler(options, tokens);
}

MAMBA2_FUNCTION Token Sampler::choose(std::span<const float> logits,
                                      std::span<const float> edited) {
  collect(logits, edited);
  const Token token = options_.temperature == 0.0F ? greedy() : draw();
  accept(token);
  ++chosen_[static_cast<std::size_t>(token)];
  return token;
}

/// Candidates with their penalised logits. What is not a number can not be chosen, nor what was
/// made -infinity.
MAMBA2_FUNCTION void Sampler::collect(std::span<const float> logits,
                                      std::span<const float> edited) {
  constexpr float kNever = -std::numeric_limits<float>::infinity();
  candidates_.clear();
  for (std::size_t i = 0; i < seen_.size(); ++i) {
    if (edited[i] == kNever && logits[i] != kNever) continue;
    const float logit = penalised(i, edited[i]);
    if (!std::isnan(logit)) candidates_.push_back({logit, static_cast<Token>(i)});
  }
  had_choice_ = !candidates_.empty();
  if (candidates_.empty()) candidates_.push_back({0.0F, 0});
}

MAMBA2_FUNCTION float Sampler::penalised(std::size_t token, float logit) const {
  if (seen_[token]) {
    logit =
        logit < 0.0F ? logit * options_.repetition_penalty : logit / options_.repetition_penalty;
  }
  if (chosen_[token] == 0) return logit;
  return logit - (options_.presence_penalty +
                  options_.frequency_penalty * static_cast<float>(chosen_[token]));
}

MAMBA2_FUNCTION Token Sampler::greedy() const {
  return std::min_element(candidates_.begin(), candidates_.end())->token;
}

MAMBA2_FUNCTION Token Sampler::draw() {
  keep_top_k();
  keep_min_p();
  std::uint64_t left = random_below(keep_top_p());
  std::size_t chosen = 0;
  while (left >= weights_[chosen]) left -= weights_[chosen++];
  return candidates_[chosen].token;
}

MAMBA2_FUNCTION float Sampler::largest() const {
  return std::min_element(candidates_.begin(), candidates_.end())->logit;
}

/// The probability of a logit relative to that of the largest, which is detail::kFixedOne.
MAMBA2_FUNCTION std::uint64_t Sampler::weight(float logit, float largest, float temperature) {
  if (logit == largest) return detail::kFixedOne;  // also where both are infinite
  return detail::fixed_exp((static_cast<double>(largest) - static_cast<double>(logit)) /
                           static_cast<double>(temperature));
}

MAMBA2_FUNCTION void Sampler::keep_top_k() {
  if (options_.top_k == 0 || options_.top_k >= candidates_.size()) return;
  const auto end = candidates_.begin() + static_cast<std::ptrdiff_t>(options_.top_k);
  std::partial_sort(candidates_.begin(), end, candidates_.end());
  candidates_.erase(end, candidates_.end());
}

MAMBA2_FUNCTION void Sampler::keep_min_p() {
  if (options_.min_p == 0.0F) return;
  const float top = largest();
  const double limit = static_cast<double>(options_.min_p) * static_cast<double>(detail::kFixedOne);
  std::erase_if(candidates_, [&](const Candidate& candidate) {
    return static_cast<double>(weight(candidate.logit, top, 1.0F)) < limit;
  });
}

/// Fills weights_ with the probabilities (times an unknown factor) of the first candidates, as many
/// as top_p leaves, and returns their sum.
MAMBA2_FUNCTION std::uint64_t Sampler::keep_top_p() {
  const float top = largest();
  std::uint64_t total = 0;
  weights_.clear();
  for (const Candidate& candidate : candidates_) {
    weights_.push_back(weight(candidate.logit, top, options_.temperature));
    total += weights_.back();
  }
  if (options_.top_p == 1.0F) return total;

  // Few candidates carry most of the probability: sort no more of them than are needed.
  const double limit = static_cast<double>(options_.top_p) * static_cast<double>(total);
  const auto at = [&](std::size_t i) {
    return candidates_.begin() + static_cast<std::ptrdiff_t>(i);
  };
  weights_.clear();
  std::uint64_t kept = 0;
  std::size_t sorted = 0;
  while (weights_.size() < candidates_.size() && !(static_cast<double>(kept) > limit)) {
    if (weights_.size() == sorted) {
      const std::size_t next = std::min(candidates_.size(), std::max<std::size_t>(64, 4 * sorted));
      std::partial_sort(at(sorted), at(next), candidates_.end());
      sorted = next;
    }
    weights_.push_back(weight(candidates_[weights_.size()].logit, top, options_.temperature));
    kept += weights_.back();
  }
  return kept;
}

/// A number in 0..bound-1, every one as likely: SplitMix64 (Steele, Lea, Flood 2014), whose draws
/// above the last multiple of bound are thrown away.
MAMBA2_FUNCTION std::uint64_t Sampler::random_below(std::uint64_t bound) {
  const std::uint64_t excess = (UINT64_MAX % bound + 1) % bound;
  for (;;) {
    random_ += 0x9E3779B97F4A7C15U;
    std::uint64_t z = random_;
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
    z ^= z >> 31U;
    if (z <= UINT64_MAX - excess) return z % bound;
  }
}

#endif

}  // namespace MAMBA2_ISA
}  // namespace mamba2
