// SPDX-License-Identifier: Apache-2.0
// A model that predicts, with weights of any policy.
#pragma once

#include <cstddef>
#include <mamba2/mamba2.hpp>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tools/cli.hpp"
#include "tools/loading.hpp"
#include "tools/weights.hpp"

namespace perplexity {

/// A sequence of a model of any policy.
class Predictor {
 public:
  Predictor() = default;
  Predictor(const Predictor&) = delete;
  Predictor& operator=(const Predictor&) = delete;
  virtual ~Predictor() = default;
  [[nodiscard]] virtual const mamba2::Config& config() const = 0;
  /// Starts an empty sequence, and reads tokens; there may be none.
  [[nodiscard]] virtual mamba2::Result<void> start(std::span<const mamba2::Token> tokens) = 0;
  /// Reads on. The logits after each token: (tokens, vocab_size), valid until the next call.
  [[nodiscard]] virtual mamba2::Result<std::span<const float>> predict(
      std::span<const mamba2::Token> tokens) = 0;
};

class ModelPredictor final : public Predictor {
 public:
  explicit ModelPredictor(mamba2::AnySession session) : session_(std::move(session)) {}

  const mamba2::Config& config() const override { return session_.config(); }

  mamba2::Result<void> start(std::span<const mamba2::Token> tokens) override {
    session_.reset();
    if (tokens.empty()) return {};
    const auto read = session_.prefill(tokens);
    return read ? mamba2::Result<void>() : read.error();
  }

  mamba2::Result<std::span<const float>> predict(std::span<const mamba2::Token> tokens) override {
    logits_.resize(tokens.size() * config().vocab_size);
    const auto read = session_.prefill(tokens, logits_);
    if (!read) return read.error();
    return std::span<const float>(logits_);
  }

 private:
  mamba2::AnySession session_;
  std::vector<float> logits_;
};

/// Errors: those of Mamba2Model::load and session().
inline mamba2::Result<std::unique_ptr<Predictor>> open_predictor(
    const std::string& path, const std::string& weights, const mamba2::SessionOptions& options,
    const cli::LoadingOptions& loading = {}) {
  const auto model = loading.load(path, cli::plan_named(weights), options.workers);
  if (!model) return model.error();
  auto session = model->session(options);
  if (!session) return session.error();
  return std::unique_ptr<Predictor>(std::make_unique<ModelPredictor>(*std::move(session)));
}

}  // namespace perplexity
