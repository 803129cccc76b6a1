// SPDX-License-Identifier: Apache-2.0
// One sequence: a model's weights, a State, and the scratch memory to take it further.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <utility>

#include "mamba2/block.hpp"
#include "mamba2/state.hpp"
#include "mamba2/weights.hpp"

namespace mamba2::inline MAMBA2_ISA {

struct SessionOptions {
  /// Tokens that prefill() takes through the model at a time: more are faster, and need more
  /// scratch memory (about 16 * d_model bytes * expand each). At least 1.
  std::size_t prefill_batch = 128;
};

/// One sequence of tokens. Made by Mamba2Model::session(); shares the weights, so that it may
/// outlive the model object. Not for two threads at a time; different Sessions are independent.
template <WeightPolicy WeightT>
class Session {
 public:
  /// Errors: invalid_argument (prefill_batch of 0), out_of_memory.
  [[nodiscard]] static Result<Session> create(std::shared_ptr<const Weights<WeightT>> weights,
                                              const SessionOptions& options);

  /// Reads one token and returns the logits of the next, (vocab_size), valid until the next call.
  /// Error: invalid_argument for an id that is not in 0..vocab_size-1; nothing has changed then.
  [[nodiscard]] Result<std::span<const float>> decode(Token token) {
    return prefill(std::span(&token, 1));
  }

  /// Reads tokens and returns the logits after the last, (vocab_size), valid until the next call.
  /// May be called again and again: a text split anywhere gives the same result to rounding.
  /// Errors: invalid_argument for no token at all, or an id out of range; nothing has changed then.
  [[nodiscard]] Result<std::span<const float>> prefill(std::span<const Token> tokens);

  /// Reads tokens and writes the logits after every one of them: logits (tokens, vocab_size).
  /// Errors as above, and invalid_argument for a span of another size.
  [[nodiscard]] Result<void> prefill(std::span<const Token> tokens, std::span<float> logits);

  [[nodiscard]] const Config& config() const noexcept { return weights_->config; }

  /// What has been read so far. Copy it to fork the sequence or to come back to it.
  [[nodiscard]] const State& state() const noexcept { return state_; }
  /// Continues from another state. Error: mismatch, if it is of a model of another shape.
  [[nodiscard]] Result<void> set_state(const State& state);
  /// Starts an empty sequence.
  void reset() noexcept { state_.reset(); }

 private:
  Session(std::shared_ptr<const Weights<WeightT>> weights, Arena arena, Carver carver,
          std::size_t prefill_batch)
      : weights_(std::move(weights)),
        state_(weights_->config),
        arena_(std::move(arena)),
        activations_(carver, weights_->config, prefill_batch),
        logits_(carver.take<float>(weights_->config.vocab_size)) {}

  [[nodiscard]] Result<void> check(std::span<const Token> tokens) const;
  /// Takes tokens through all blocks; the result is in the residual of the returned activations.
  Activations forward(std::span<const Token> tokens);
  /// rows of the residual to logits: (residual.rows, vocab_size).
  void head(const Activations& a, MutableRows residual, float* logits);

  std::shared_ptr<const Weights<WeightT>> weights_;
  State state_;
  Arena arena_;
  Activations activations_;
  float* logits_;
};

template <WeightPolicy WeightT>
Result<Session<WeightT>> Session<WeightT>::create(std::shared_ptr<const Weights<WeightT>> weights,
                                                  const SessionOptions& options) {
  // A batch is cut into tiles of tokens; past this size nothing is gained, and sizes could
  // overflow.
  constexpr std::size_t kMaxBatch = 4096;
  if (options.prefill_batch < 1 || options.prefill_batch > kMaxBatch) {
    return Error{ErrorCode::invalid_argument,
                 detail::concat("session: prefill_batch must be in 1..", kMaxBatch, ", found ",
                                options.prefill_batch)};
  }
  Carver counter;
  (void)Activations(counter, weights->config, options.prefill_batch);
  (void)counter.take<float>(weights->config.vocab_size);
  Result<Arena> arena = Arena::create(counter.used());
  if (!arena) return std::move(arena).error();
  const Carver carver(arena->data());
  return Session(std::move(weights), *std::move(arena), carver, options.prefill_batch);
}

template <WeightPolicy WeightT>
Result<void> Session<WeightT>::check(std::span<const Token> tokens) const {
  const auto invalid = [](auto... parts) {
    return Error{ErrorCode::invalid_argument, detail::concat(parts...)};
  };
  if (tokens.empty()) return invalid("prefill: no tokens: the prompt is empty");
  const std::size_t vocab_size = config().vocab_size;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] < 0 || static_cast<std::size_t>(tokens[i]) >= vocab_size) {
      return invalid("prefill: token ", i, " must be in 0..", vocab_size - 1, ", found ",
                     tokens[i]);
    }
  }
  return {};
}

template <WeightPolicy WeightT>
Activations Session<WeightT>::forward(std::span<const Token> tokens) {
  const Activations a = activations_.first(tokens.size());
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    WeightT::row(weights_->embedding, static_cast<std::size_t>(tokens[t]), a.residual[t]);
  }
  for (std::size_t i = 0; i < config().n_layer; ++i) {
    block(config(), weights_->blocks[i], state_.conv(i), state_.ssm(i), a);
  }
  state_.count(tokens.size());
  return a;
}

template <WeightPolicy WeightT>
void Session<WeightT>::head(const Activations& a, MutableRows residual, float* logits) {
  const MutableRows h = a.u.middle(0, residual.rows);
  kernels::rms_norm(residual, weights_->norm_f, config().norm_eps, h);
  WeightT::multiply(weights_->lm_head, h, {logits, residual.rows, config().vocab_size});
}

template <WeightPolicy WeightT>
Result<std::span<const float>> Session<WeightT>::prefill(std::span<const Token> tokens) {
  if (Result<void> checked = check(tokens); !checked) return std::move(checked).error();
  const std::size_t batch = activations_.residual.rows;
  for (; tokens.size() > batch; tokens = tokens.subspan(batch)) forward(tokens.first(batch));
  const Activations a = forward(tokens);
  head(a, a.residual.middle(tokens.size() - 1, 1), logits_);
  return std::span<const float>(logits_, config().vocab_size);
}

template <WeightPolicy WeightT>
Result<void> Session<WeightT>::prefill(std::span<const Token> tokens, std::span<float> logits) {
  if (Result<void> checked = check(tokens); !checked) return checked;
  const std::size_t vocab_size = config().vocab_size;
  if (logits.size() != tokens.size() * vocab_size) {
    return Error{ErrorCode::invalid_argument,
                 detail::concat("prefill: logits must hold ", tokens.size(), " x ", vocab_size,
                                " values, found ", logits.size())};
  }
  const std::size_t batch = activations_.residual.rows;
  for (std::size_t done = 0; done < tokens.size(); done += batch) {
    const Activations a = forward(tokens.subspan(done, std::min(batch, tokens.size() - done)));
    head(a, a.residual, logits.data() + done * vocab_size);
  }
  return {};
}

template <WeightPolicy WeightT>
Result<void> Session<WeightT>::set_state(const State& state) {
  if (!state.same_shape(state_)) {
    return Error{ErrorCode::mismatch, "session: the state belongs to a model of another shape"};
  }
  state_ = state;
  return {};
}

}  // namespace mamba2::inline MAMBA2_ISA
