// SPDX-License-Identifier: Apache-2.0
// How well logits predict tokens, and how far they are from a reference's.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

namespace cli {

/// log(sum(exp(logits))), in double.
inline double log_sum_exp(std::span<const float> logits) {
  const auto top = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
  double sum = 0.0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - top);
  return top + std::log(sum);
}

/// The loss over the scored tokens.
class Loss {
 public:
  /// A token of `bytes` bytes with -log p = `nats`.
  void add(double nats, std::size_t bytes) {
    tokens_ += 1;
    bytes_ += bytes;
    sum_ += nats;
    squares_ += nats * nats;
  }

  [[nodiscard]] std::size_t tokens() const { return tokens_; }
  [[nodiscard]] double mean() const { return sum_ / static_cast<double>(tokens_); }
  [[nodiscard]] double perplexity() const { return std::exp(mean()); }
  /// Standard error of the perplexity.
  [[nodiscard]] double standard_error() const {
    const auto n = static_cast<double>(tokens_);
    const double variance = squares_ / n - mean() * mean();
    return perplexity() * std::sqrt(std::max(0.0, variance) / (n - 1.0));
  }
  [[nodiscard]] double nats() const { return sum_; }
  /// Of the scored tokens.
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  std::size_t tokens_ = 0;
  std::size_t bytes_ = 0;
  double sum_ = 0.0;
  double squares_ = 0.0;
};

/// How far the predictions q are from those of a reference, p.
class Divergence {
 public:
  /// One position, whose next token turned out to be `token`.
  void add(std::span<const float> p, std::span<const float> q, std::size_t token) {
    const double log_p = log_sum_exp(p);
    const double log_q = log_sum_exp(q);
    double kl = 0.0;
    for (std::size_t i = 0; i < p.size(); ++i) {
      const double p_i = static_cast<double>(p[i]) - log_p;
      const double q_i = static_cast<double>(q[i]) - log_q;
      kl += std::exp(p_i) * (p_i - q_i);
    }
    kl_.push_back(std::max(0.0, kl));  // rounding can leave it below
    const double change = std::exp(static_cast<double>(q[token]) - log_q) -
                          std::exp(static_cast<double>(p[token]) - log_p);
    changes_ += change;
    squares_ += change * change;
    const auto best = [](std::span<const float> v) {
      return std::ranges::max_element(v) - v.begin();
    };
    if (best(p) == best(q)) ++same_top_;
  }

  /// KL(p || q) in nats: its mean over the positions.
  [[nodiscard]] double kl_mean() const {
    double sum = 0.0;
    for (const double kl : kl_) sum += kl;
    return sum / count();
  }
  /// The value that a share of the positions does not exceed; share in 0..1.
  [[nodiscard]] double kl_quantile(double share) const {
    std::vector<double> sorted = kl_;
    std::ranges::sort(sorted);
    return sorted[static_cast<std::size_t>(share * (count() - 1.0) + 0.5)];
  }
  /// The share of positions where both have the same most likely token.
  [[nodiscard]] double same_top1() const { return static_cast<double>(same_top_) / count(); }
  /// Mean change of the probability of the token that came, and the root of its mean square.
  [[nodiscard]] double mean_change() const { return changes_ / count(); }
  [[nodiscard]] double rms_change() const { return std::sqrt(squares_ / count()); }

 private:
  [[nodiscard]] double count() const { return static_cast<double>(kl_.size()); }

  std::vector<double> kl_;
  double changes_ = 0.0;
  double squares_ = 0.0;
  std::size_t same_top_ = 0;
};

}  // namespace cli
