// SPDX-License-Identifier: Apache-2.0
// From scores to what is reported of a task.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "tools/eval/encode.hpp"

namespace eval {

/// Characters: the code points of valid UTF-8.
[[nodiscard]] inline std::size_t code_points(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

/// The place of the largest value; of several, the first.
[[nodiscard]] inline std::size_t first_maximum(std::span<const double> values) {
  return static_cast<std::size_t>(std::ranges::max_element(values) - values.begin());
}

/// What a model made of a question.
struct Outcome {
  std::vector<Request> requests;
  std::size_t picked;       ///< the choice of the highest log-likelihood
  std::size_t picked_norm;  ///< per character of the choice
  bool right;               ///< acc counts it
  bool right_norm;          ///< acc_norm counts it
};

[[nodiscard]] inline Outcome judge(const Task& task, const Question& question,
                                   std::vector<Request> requests) {
  std::vector<double> plain;
  std::vector<double> per_character;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    plain.push_back(requests[i].score.log_likelihood);
    per_character.push_back(plain.back() / static_cast<double>(code_points(question.choices[i])));
  }
  Outcome outcome{.requests = std::move(requests),
                  .picked = first_maximum(plain),
                  .picked_norm = first_maximum(per_character),
                  .right = false,
                  .right_norm = false};
  outcome.right =
      task.chooses ? outcome.picked == question.gold : outcome.requests.front().score.is_greedy;
  outcome.right_norm = outcome.picked_norm == question.gold;
  return outcome;
}

struct Estimate {
  double value;
  double standard_error;  ///< not a number, of a single value
};

/// The mean, and its standard error from the deviation of the sample: s / sqrt(n).
[[nodiscard]] inline Estimate mean(std::span<const double> values) {
  const auto n = static_cast<double>(values.size());
  double sum = 0.0;
  for (const double value : values) sum += value;
  double squares = 0.0;
  for (const double value : values) squares += (value - sum / n) * (value - sum / n);
  return {sum / n, std::sqrt(squares / (n - 1.0) / n)};
}

/// exp(-mean) of log-likelihoods. The standard error is that of the mean times the slope,
/// exp(-mean) (delta method).
[[nodiscard]] inline Estimate perplexity(std::span<const double> log_likelihoods) {
  const Estimate log = mean(log_likelihoods);
  const double value = std::exp(-log.value);
  return {value, value * log.standard_error};
}

/// The outcomes of the same questions by two models, where they differ.
struct Flips {
  std::size_t to_wrong = 0;
  std::size_t to_right = 0;

  /// How probable so uneven a split is, or a more uneven one, if both directions are equally
  /// probable: McNemar's test, exact, two-sided.
  [[nodiscard]] double p_value() const {
    const auto n = static_cast<double>(to_wrong + to_right);
    double tail = 0.0;
    for (std::size_t k = 0; k <= std::min(to_wrong, to_right); ++k) {
      const auto i = static_cast<double>(k);
      tail += std::exp(std::lgamma(n + 1.0) - std::lgamma(i + 1.0) - std::lgamma(n - i + 1.0) -
                       n * std::log(2.0));
    }
    return std::min(1.0, 2.0 * tail);
  }
};

/// right: &Outcome::right, or &Outcome::right_norm.
[[nodiscard]] inline Flips flips(std::span<const Outcome> before, std::span<const Outcome> after,
                                 bool Outcome::*right) {
  Flips flips;
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (before[i].*right && !(after[i].*right)) ++flips.to_wrong;
    if (!(before[i].*right) && after[i].*right) ++flips.to_right;
  }
  return flips;
}

}  // namespace eval
