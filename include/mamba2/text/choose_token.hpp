// SPDX-License-Identifier: Apache-2.0
// From the logits of a text that is being generated to its next token.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/sequence/log_probabilities.hpp"
#include "mamba2/sequence/sampler.hpp"
#include "mamba2/text/generate_options.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// Chooses the tokens of one text. Allocates when it is made, and where edit_logits is given once
/// in many thousand tokens, but not for each token. Sampler and options must outlive it.
class TokenChooser {
 public:
  /// ends: the tokens that end a text.
  TokenChooser(Sampler& sampler, const GenerateOptions& options, std::span<const Token> prompt,
               std::span<const Token> ends)
      : sampler_(sampler), options_(options), ends_(ends) {
    constexpr std::size_t kUsual = 16384;
    if (options.logprobs) best_.resize(std::min(options.best_tokens, sampler.seen().size()));
    if (!options.edit_logits) return;
    tokens_.reserve(prompt.size() + std::min(options.max_tokens, kUsual) + 1);
    tokens_.assign(prompt.begin(), prompt.end());
  }

  /// The token after `read` tokens. Errors: malformed (a model whose logits are not finite),
  /// invalid_argument (logit_bias, edit_logits and constraint have left none).
  [[nodiscard]] Result<Token> choose(std::span<const float> logits, std::uint64_t read) {
    const auto edit = [&](std::span<float> edited) {
      if (options_.edit_logits) options_.edit_logits(edited, tokens_);
      if (options_.constraint != nullptr) options_.constraint->restrict(edited, ends_);
    };
    const bool edits = options_.edit_logits || options_.constraint != nullptr;
    const Token token = edits ? sampler_.sample(logits, edit) : sampler_.sample(logits);
    if (!std::isfinite(logits[static_cast<std::size_t>(token)])) {
      return Error{ErrorCode::malformed,
                   concat("the model's logits are not finite after ", read, " tokens")};
    }
    if (sampler_.had_choice()) return token;
    return Error{ErrorCode::invalid_argument,
                 "no token is left to choose: logit_bias, edit_logits and constraint ban all"};
  }

  /// Whether such a token ends the text.
  [[nodiscard]] bool ends(Token token) const {
    const bool may_end = options_.stop_at_eos || options_.constraint != nullptr;
    return may_end && std::ranges::find(ends_, token) != ends_.end();
  }
  /// Whether nothing may follow.
  [[nodiscard]] bool complete() const {
    return options_.constraint != nullptr && options_.constraint->finished();
  }

  /// The token is part of the text: tells on_token. logits: those it was chosen by.
  void add(Token token, std::span<const float> logits) {
    if (options_.edit_logits) tokens_.push_back(token);
    if (options_.constraint != nullptr) static_cast<void>(options_.constraint->accept(token));
    if (!options_.on_token) return;
    if (!options_.logprobs) return options_.on_token({token, 0.0F, {}});
    const auto usable = logits.first(sampler_.seen().size());
    const double log_sum = log_sum_exp(usable);
    const double logit = static_cast<double>(logits[static_cast<std::size_t>(token)]);
    options_.on_token(
        {token, static_cast<float>(logit - log_sum), best_tokens(usable, log_sum, best_)});
  }

 private:
  Sampler& sampler_;
  const GenerateOptions& options_;
  std::span<const Token> ends_;
  std::vector<Token> tokens_;       // where edit_logits asks for them
  std::vector<TokenLogprob> best_;  // room for the most probable ones
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
