// SPDX-License-Identifier: Apache-2.0
// What a model thinks of tokens: the logarithms of their probabilities.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "mamba2/core/fixed_exp.hpp"
#include "mamba2/layers/config.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// A token and the natural logarithm of its probability.
struct TokenLogprob {
  Token token = 0;
  float logprob = 0.0F;
};

/// The natural logarithm of the sum of the exponentials of logits: what is subtracted from a logit
/// to make it the logarithm of a probability. Within 1e-4 for up to 2^18 logits (1e-8 where no more
/// than a few count). What is not a number is left out; without a finite logit: 0.
[[nodiscard]] inline double log_sum_exp(std::span<const float> logits) {
  float largest = -std::numeric_limits<float>::infinity();
  for (const float logit : logits) {
    if (logit > largest) largest = logit;
  }
  if (!std::isfinite(largest)) return 0.0;
  std::uint64_t sum = 0;
  for (const float logit : logits) {
    sum += detail::fixed_exp(static_cast<double>(largest) - static_cast<double>(logit));
  }
  return static_cast<double>(largest) +
         std::log(static_cast<double>(sum) / static_cast<double>(detail::kFixedOne));
}

/// The tokens with the largest logits, the largest first (of equal ones the smaller id), as many as
/// `best` has room for and there are: returns that part of it. log_sum: log_sum_exp(logits).
/// Allocates nothing.
inline std::span<TokenLogprob> best_tokens(std::span<const float> logits, double log_sum,
                                           std::span<TokenLogprob> best) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const float logit = logits[i];
    if (std::isnan(logit) || best.empty()) continue;
    if (count == best.size()) {
      if (logit <= best[count - 1].logprob) continue;
      --count;
    }
    std::size_t at = count++;
    for (; at > 0 && best[at - 1].logprob < logit; --at) best[at] = best[at - 1];
    best[at] = {static_cast<Token>(i), logit};
  }
  for (TokenLogprob& b : best.first(count)) {
    b.logprob = static_cast<float>(static_cast<double>(b.logprob) - log_sum);
  }
  return best.first(count);
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2
