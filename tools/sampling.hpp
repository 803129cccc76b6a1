// SPDX-License-Identifier: Apache-2.0
// Options that choose how tokens are chosen.
#pragma once

#include <CLI/CLI.hpp>
#include <cstddef>
#include <functional>
#include <mamba2/sequence/sampler.hpp>
#include <mamba2/sequence/state_header.hpp>
#include <mamba2/tokenizer/tokenizer.hpp>
#include <optional>
#include <random>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "cli.hpp"

namespace cli {

/// GenerateOptions::finish_sentence where no length is asked for: most sentences take less.
inline constexpr std::size_t kFinishSentence = 64;

/// --temperature and its kind. Stays where it is once add() was called.
class SamplingOptions {
 public:
  void add(CLI::App& app) {
    using mamba2::SamplerOptions;
    add_one(app, "-t,--temperature", &SamplerOptions::temperature,
            "0: always the most likely token; 1: as the model says; more: wilder");
    add_one(app, "--top-k", &SamplerOptions::top_k, "Choose among the K most likely tokens; 0: all")
        ->transform(kWhole);
    add_one(app, "--top-p", &SamplerOptions::top_p,
            "Choose among the most likely tokens that together exceed this probability");
    add_one(app, "--min-p", &SamplerOptions::min_p,
            "Drop tokens less likely than this times the most likely one");
    add_one(app, "--repetition-penalty", &SamplerOptions::repetition_penalty,
            "Above 1: tokens seen already become less likely");
    add_one(app, "--presence-penalty", &SamplerOptions::presence_penalty,
            "Subtract this from the logits of tokens that the text has already");
    add_one(app, "--frequency-penalty", &SamplerOptions::frequency_penalty,
            "Subtract this from the logits of tokens as often as the text has them");
    app.add_option("--logit-bias", biases_,
                   "TOKEN=X: add X to the logit of a token, an id or its text, such as \" the\"; "
                   "-inf: never choose it; may be repeated")
        ->default_str("")
        ->type_name("TOKEN=X")
        ->allow_extra_args(false)
        ->check(checked_bias());
    seed_ = add_one(app, "--seed", &SamplerOptions::seed,
                    "The same seed gives the same text; without it a random one")
                ->default_str("random")
                ->transform(kWhole);
    app.callback([this] {
      if (!seed_given()) values_.seed = std::random_device()();
    });
  }

  /// Reads the tokens of --logit-bias. Errors: invalid_argument.
  [[nodiscard]] mamba2::Result<void> resolve(const mamba2::Tokenizer& tokenizer) {
    values_.logit_bias.clear();
    for (const std::string& text : biases_) {
      const std::string name = unescape(text.substr(0, text.rfind('=')));
      const auto token = token_named(name, tokenizer);
      if (!token) {
        return mamba2::Error{
            mamba2::ErrorCode::invalid_argument,
            mamba2::detail::concat("--logit-bias: ", shown(name), " is no token of this model")};
      }
      values_.logit_bias.push_back({*token, bias_in(text).value_or(0.0F)});
    }
    return {};
  }

  /// As given on the command line, with a random seed if none was; logit_bias after resolve().
  [[nodiscard]] const mamba2::SamplerOptions& values() const { return values_; }
  /// Whether a state file can have a sampler with these options.
  [[nodiscard]] bool can_be_saved() const {
    return biases_.empty() && mamba2::StateHeader::holds(values_);
  }
  [[nodiscard]] bool seed_given() const { return seed_->count() > 0; }

  /// A sampler that goes on as `saved` did, but by the options which are given here.
  [[nodiscard]] mamba2::Result<mamba2::Sampler> resume(const mamba2::Sampler& saved) const {
    mamba2::SamplerOptions options = saved.options();
    for (const auto& take : takes_) take(options);
    options.logit_bias = values_.logit_bias;
    auto sampler = mamba2::Sampler::create(options, saved.seen().size());
    if (sampler) sampler->resume(seed_given() ? sampler->random() : saved.random(), saved.seen());
    return sampler;
  }

 private:
  /// What follows the last = of TOKEN=X.
  [[nodiscard]] static std::optional<float> bias_in(const std::string& text) {
    const std::size_t equals = text.rfind('=');
    if (equals == std::string::npos || equals == 0) return std::nullopt;
    std::string number = text.substr(equals + 1);
    if (number == "-inf") return mamba2::kBanned;
    if (!kNumber(number).empty()) return std::nullopt;
    return static_cast<float>(*parse_number(number));
  }

  [[nodiscard]] static CLI::Validator checked_bias() {
    return {[](std::string& text) -> std::string {
              return bias_in(text) ? ""
                                   : "must be TOKEN=X, X a number or -inf, found " + shown(text);
            },
            ""};
  }

  /// A token by its id or its text.
  [[nodiscard]] static std::optional<mamba2::Token> token_named(
      const std::string& name, const mamba2::Tokenizer& tokenizer) {
    std::string id = name;
    if (!whole(0, tokenizer.vocab_size() - 1)(id).empty()) return tokenizer.find(name);
    return static_cast<mamba2::Token>(std::stoull(id));
  }

  /// Asks Sampler::create about the number for one option.
  [[nodiscard]] static CLI::Validator checked(float mamba2::SamplerOptions::*member) {
    return {[member](std::string& text) -> std::string {
              if (std::string wrong = kNumber(text); !wrong.empty()) return wrong;
              mamba2::SamplerOptions options;
              options.*member = static_cast<float>(*parse_number(text));
              const auto sampler = mamba2::Sampler::create(options, 1);
              if (sampler) return {};
              const std::string& message = sampler.error().message;
              return message.substr(message.find("must be"));  // after the name in C++
            },
            ""};
  }

  template <class Number>
  CLI::Option* add_one(CLI::App& app, const std::string& names,
                       Number mamba2::SamplerOptions::*member, const std::string& help) {
    CLI::Option* option = app.add_option(names, values_.*member, help);
    if constexpr (std::is_same_v<Number, float>) option->check(checked(member));
    takes_.push_back([this, option, member](mamba2::SamplerOptions& options) {
      if (option->count() > 0) options.*member = values_.*member;
    });
    return option;
  }

  mamba2::SamplerOptions values_;
  std::vector<std::function<void(mamba2::SamplerOptions&)>> takes_;  // what was given
  std::vector<std::string> biases_;                                  // TOKEN=X
  CLI::Option* seed_ = nullptr;
};

}  // namespace cli
