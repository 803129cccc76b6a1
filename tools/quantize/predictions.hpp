// SPDX-License-Identifier: Apache-2.0
// How far the predictions of a model are from what they were.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <mamba2/mamba2.hpp>
#include <span>
#include <utility>
#include <vector>

#include "tools/quantize/observed_model.hpp"
#include "tools/score.hpp"

namespace quantize {

/// The probabilities of all tokens after each position of a text.
class Predictions {
 public:
  /// Notes what the model predicts. Takes tokens.size() * vocab_size floats. Errors: those of
  /// Session.
  [[nodiscard]] static mamba2::Result<Predictions> of(ObservedModel& model,
                                                      std::span<const mamba2::Token> tokens) {
    Predictions made(model, tokens);
    const std::size_t vocab = model.vocab_size();
    made.probabilities_.resize(tokens.size() * vocab);
    auto read = made.each([&](std::size_t position, std::span<const float> logits) {
      const double total = cli::log_sum_exp(logits);
      double entropy = 0.0;
      float* p = &made.probabilities_[position * vocab];
      for (std::size_t i = 0; i < vocab; ++i) {
        const double log_p = static_cast<double>(logits[i]) - total;
        const double probability = std::exp(log_p);
        entropy -= probability * log_p;
        p[i] = static_cast<float>(probability);
      }
      made.entropies_[position] = entropy;
    });
    if (!read) return read.error();
    return made;
  }

  /// The mean KL divergence, in nats, of what the model predicts now from that. Errors: those of
  /// Session.
  [[nodiscard]] mamba2::Result<double> divergence() {
    std::vector<double> kl(tokens_.size());
    auto read = each([&](std::size_t position, std::span<const float> logits) {
      // sum p (log p - log q)
      double expected = 0.0;
      const float* p = &probabilities_[position * logits.size()];
      for (std::size_t i = 0; i < logits.size(); ++i) {
        expected += static_cast<double>(p[i]) * static_cast<double>(logits[i]);
      }
      kl[position] = cli::log_sum_exp(logits) - expected - entropies_[position];
    });
    if (!read) return read.error();
    double sum = 0.0;
    for (const double value : kl) sum += value;
    return std::max(0.0, sum / static_cast<double>(kl.size()));
  }

 private:
  Predictions(ObservedModel& model, std::span<const mamba2::Token> tokens)
      : model_(&model), tokens_(tokens.begin(), tokens.end()), entropies_(tokens.size()) {}

  /// body(position, logits) for all positions, by all threads.
  template <class Body>
  mamba2::Result<void> each(Body body) {
    const std::size_t vocab = model_->vocab_size();
    std::size_t first = 0;
    return model_->read(tokens_, true, [&](std::size_t done) -> mamba2::Result<void> {
      model_->executor().run(done - first, [&](std::size_t i) {
        body(first + i, model_->logits().subspan(i * vocab, vocab));
      });
      first = done;
      return {};
    });
  }

  ObservedModel* model_;
  std::vector<mamba2::Token> tokens_;
  std::vector<float> probabilities_;  // (tokens, vocab_size)
  std::vector<double> entropies_;
};

}  // namespace quantize
