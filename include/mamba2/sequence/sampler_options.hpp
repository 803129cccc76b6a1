// SPDX-License-Identifier: Apache-2.0
// How the next token is chosen: the options, and which of them make sense.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/layers/config.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// What is added to the logit of a token.
struct LogitBias {
  Token token;
  float bias;
};

/// As a LogitBias: the token is never chosen.
inline constexpr float kBanned = -std::numeric_limits<float>::infinity();

/// How the next token is chosen. The steps are taken in this order; each looks only at the tokens
/// which the steps before it have left:
///   1. logit_bias is added; then the logits may be edited (Sampler::sample, GenerateOptions);
///   2. repetition_penalty: the logit of every token seen so far, in prompts and texts, is divided
///      by it if positive, multiplied by it if negative;
///   3. presence_penalty is subtracted from the logit of every token that was chosen in this text,
///      and frequency_penalty as often as it was: the formula of OpenAI's API. A text begins where
///      generate() reads a prompt, or Sampler::begin_text() is called; tokens of prompts do not
///      count;
///   4. top_k: the k largest logits stay (0: all);
///   5. min_p: the tokens stay whose probability is at least min_p times the largest;
///   6. temperature: logits are divided by it; 0 takes the largest at once (greedy);
///   7. top_p: the smallest set of most probable tokens stays whose probability exceeds top_p.
/// One of the remaining tokens is then drawn by its probability. Equal logits: smaller id first.
struct SamplerOptions {
  float temperature = 0.8F;
  std::size_t top_k = 0;
  float top_p = 0.95F;
  float min_p = 0.0F;
  float repetition_penalty = 1.0F;
  std::uint64_t seed = 0;
  float presence_penalty = 0.0F;
  float frequency_penalty = 0.0F;
  std::vector<LogitBias> logit_bias = {};  ///< finite, or kBanned; each token once at most
};

namespace detail {

[[nodiscard]] inline Result<void> check_logit_bias(const std::vector<LogitBias>& biases,
                                                   std::size_t tokens) {
  std::vector<Token> ids;
  for (const LogitBias& b : biases) {
    const auto wrong = [&](const auto&... parts) {
      return Error{ErrorCode::invalid_argument,
                   concat("sampler: logit_bias of token ", b.token, parts...)};
    };
    if (b.token < 0 || static_cast<std::size_t>(b.token) >= tokens) {
      return wrong(": the token must be in 0..", tokens - 1);
    }
    if (!std::isfinite(b.bias) && b.bias != kBanned) {
      return wrong(" must be a finite value or -infinity, found ", b.bias);
    }
    ids.push_back(b.token);
  }
  std::ranges::sort(ids);
  const auto twice = std::ranges::adjacent_find(ids);
  if (twice == ids.end()) return {};
  return Error{ErrorCode::invalid_argument,
               concat("sampler: logit_bias of token ", *twice, " must occur once, found two")};
}

/// Errors: invalid_argument, for options out of range or no tokens.
[[nodiscard]] inline Result<void> check_sampler_options(const SamplerOptions& options,
                                                        std::size_t tokens) {
  const auto invalid = [](std::string_view what, std::string_view expected, float found) {
    return Error{ErrorCode::invalid_argument,
                 concat("sampler: ", what, " must be ", expected, ", found ", found)};
  };
  if (!(options.temperature >= 0.0F && std::isfinite(options.temperature))) {
    return invalid("temperature", "a finite value, at least 0", options.temperature);
  }
  if (!(options.top_p > 0.0F && options.top_p <= 1.0F)) {
    return invalid("top_p", "in (0, 1]", options.top_p);
  }
  if (!(options.min_p >= 0.0F && options.min_p <= 1.0F)) {
    return invalid("min_p", "in [0, 1]", options.min_p);
  }
  if (!(options.repetition_penalty > 0.0F && std::isfinite(options.repetition_penalty))) {
    return invalid("repetition_penalty", "a finite value above 0", options.repetition_penalty);
  }
  if (!std::isfinite(options.presence_penalty)) {
    return invalid("presence_penalty", "a finite value", options.presence_penalty);
  }
  if (!std::isfinite(options.frequency_penalty)) {
    return invalid("frequency_penalty", "a finite value", options.frequency_penalty);
  }
  if (tokens == 0) return Error{ErrorCode::invalid_argument, "sampler: the vocabulary is empty"};
  return check_logit_bias(options.logit_bias, tokens);
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
