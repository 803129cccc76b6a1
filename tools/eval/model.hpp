// SPDX-License-Identifier: Apache-2.0
// A model with weights of any policy, to ask questions.
#pragma once

#include <cstddef>
#include <mamba2/mamba2.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <utility>

#include "tools/cli.hpp"
#include "tools/eval/scorer.hpp"
#include "tools/eval/writer.hpp"
#include "tools/loading.hpp"
#include "tools/weights.hpp"

namespace eval {

/// What answers: a model in some precision.
struct Subject {
  std::string model, weights;
  cli::LoadingOptions loading = {};

  [[nodiscard]] nlohmann::ordered_json to_json() const {
    nlohmann::ordered_json json = {{"model", model}, {"weights", weights}};
    if (!loading.lora.empty()) json["lora"] = loading.lora;
    return json;
  }
};

/// It is loaded.
class Evaluator {
 public:
  Evaluator() = default;
  Evaluator(const Evaluator&) = delete;
  Evaluator& operator=(const Evaluator&) = delete;
  virtual ~Evaluator() = default;
  [[nodiscard]] virtual const mamba2::Config& config() const = 0;
  /// Fills in the scores.
  [[nodiscard]] virtual Result<void> score(std::span<Request> requests) = 0;
  /// Fills in the texts.
  [[nodiscard]] virtual Result<void> write(const mamba2::Tokenizer& tokenizer,
                                           std::span<Prompt> prompts) = 0;
};

class ModelEvaluator final : public Evaluator {
 public:
  explicit ModelEvaluator(Scorer scorer) : scorer_(std::move(scorer)) {}
  const mamba2::Config& config() const override { return scorer_.config(); }
  Result<void> score(std::span<Request> requests) override { return scorer_.score(requests); }
  Result<void> write(const mamba2::Tokenizer& tokenizer, std::span<Prompt> prompts) override {
    auto sampler = mamba2::Sampler::create({.temperature = 0.0F}, tokenizer.vocab_size());
    if (!sampler) return std::move(sampler).error();
    return Writer(scorer_, tokenizer, *std::move(sampler)).write(prompts);
  }

 private:
  Scorer scorer_;
};

/// Errors: those of Mamba2Model::load and Scorer::create.
[[nodiscard]] inline Result<std::unique_ptr<Evaluator>> open_model(const Subject& subject,
                                                                   const ScorerOptions& options,
                                                                   const mamba2::Workers& workers) {
  auto executor = workers.get();
  if (!executor) return executor.error();
  const auto model = subject.loading.load(subject.model, cli::plan_named(subject.weights), workers);
  if (!model) return model.error();
  auto scorer = Scorer::create(*model, options, *executor);
  if (!scorer) return std::move(scorer).error();
  return std::unique_ptr<Evaluator>(std::make_unique<ModelEvaluator>(*std::move(scorer)));
}

}  // namespace eval
