// SPDX-License-Identifier: Apache-2.0
// What drafts can gain: what passes of a few tokens cost, and how fast answers are that repeat what
// they are about.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <mamba2/mamba2.hpp>
#include <nlohmann/json.hpp>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "bench/timing.hpp"

namespace bench {

using Tokens = std::span<const mamba2::Token>;

/// Seconds of a pass that returns the logits of all its tokens; medians.
struct PassCost {
  std::size_t tokens = 0;
  double seconds = 0.0;
  /// The same when all tokens but one of such a pass have just been taken back.
  double after_rewind = 0.0;
};

/// What passes cost, and beside them, in turns, the tokens/s of a prompt.
struct PassCosts {
  std::vector<PassCost> passes;  ///< the first is of one token
  double prompt_tokens_per_s = 0.0;

  /// What a pass of so many tokens should cost at most: as much as the weights take to be read, or
  /// as its tokens take in a prompt.
  [[nodiscard]] double roof(std::size_t tokens) const {
    return std::max(passes.front().seconds, static_cast<double>(tokens) / prompt_tokens_per_s);
  }
};

/// A text with an answer, as tokens.
struct RepeatingText {
  std::string name;
  std::vector<mamba2::Token> prompt, answer;
};

/// How an answer was decoded that was given: median seconds, plainly and with drafts by lookup.
struct AnswerSpeed {
  double plain_seconds = 0.0, seconds = 0.0;
  mamba2::SpeculatorStats stats;  ///< of one run with drafts
};

/// Measures one session. Errors of all: those of the session; malformed, of logits that are not
/// finite.
class Speculation {
 public:
  Speculation(mamba2::AnySession& session, std::size_t repeat)
      : session_(session),
        repeat_(repeat),
        logits_(mamba2::detail::kMostInPass * session.config().vocab_size) {
    std::mt19937 random(7);
    for (mamba2::Token& token : random_) {
      token = static_cast<mamba2::Token>(random() % session.config().vocab_size);
    }
  }

  [[nodiscard]] mamba2::Result<PassCosts> pass_costs() {
    constexpr auto kSizes = mamba2::detail::kPassSizes;
    const std::size_t rounds = 2 * repeat_ + 1;
    std::vector<std::vector<double>> times(kSizes.size()), after(kSizes.size());
    std::vector<double> prompts;
    for (std::size_t round = 0; round <= rounds; ++round) {  // the first warms up
      if (round == 0 || prompts.size() < repeat_) {
        session_.reset();
        const double time = seconds([&] { keep(session_.prefill(prompt())); });
        if (round > 0) prompts.push_back(time);
      }
      static_cast<void>(pass(1, 0));  // behind a prompt, or many tokens, the next takes longer
      for (std::size_t i = 0; i < kSizes.size(); ++i) {
        const double time = pass(kSizes[i], 0);
        const double again = pass(kSizes[i], kSizes[i] - 1);
        if (round > 0) times[i].push_back(time);
        if (round > 0) after[i].push_back(again);
      }
    }
    PassCosts costs;
    for (std::size_t i = 0; i < kSizes.size(); ++i) {
      costs.passes.push_back({kSizes[i], median(times[i]), median(after[i])});
    }
    costs.prompt_tokens_per_s = static_cast<double>(kPrompt) / median(prompts);
    if (!outcome_) return outcome_.error();
    return costs;
  }

  /// Reads a prompt and decodes the answer that is given, as often as is asked for, plainly and
  /// with drafts in turns.
  [[nodiscard]] mamba2::Result<AnswerSpeed> answer(const RepeatingText& text) {
    std::vector<double> plain, drafted;
    AnswerSpeed speed;
    for (std::size_t i = 0; i < repeat_; ++i) {
      plain.push_back(decode(text, nullptr));
      auto speculator = mamba2::Speculator::create(session_.config());
      if (!speculator) return speculator.error();
      if (auto checked = speculator->check(session_); !checked) return checked.error();
      drafted.push_back(decode(text, &*speculator));
      speed.stats = speculator->stats();
    }
    speed.plain_seconds = median(plain);
    speed.seconds = median(drafted);
    if (!outcome_) return outcome_.error();
    return speed;
  }

 private:
  static constexpr std::size_t kPrompt = 512;

  [[nodiscard]] Tokens prompt() const { return Tokens(random_).first(kPrompt); }

  /// Of a result the error, of logits that are not finite, too.
  void keep(const mamba2::Result<std::span<const float>>& logits) {
    if (!outcome_) return;
    if (!logits) {
      outcome_ = logits.error();
    } else if (!std::isfinite(logits->front()) || !std::isfinite(logits->back())) {
      outcome_ = mamba2::Error{mamba2::ErrorCode::malformed, "the model's logits are not finite"};
    }
  }
  void keep(const mamba2::Result<void>& outcome) {
    if (outcome_ && !outcome) outcome_ = outcome.error();
  }

  /// Seconds of a pass, with what it takes to take tokens back before.
  [[nodiscard]] double pass(std::size_t tokens, std::size_t taken_back) {
    const auto some = Tokens(random_).first(tokens);
    const auto rows = std::span(logits_).first(tokens * session_.config().vocab_size);
    return seconds([&] {
      if (taken_back > 0) keep(session_.rewind(session_.state().tokens() - taken_back));
      if (tokens == 1) return keep(session_.decode(some.front()));
      keep(session_.decode(some, rows));
      keep(std::span<const float>(rows));
    });
  }

  [[nodiscard]] double decode(const RepeatingText& text, mamba2::Speculator* speculator) {
    session_.reset();
    keep(session_.prefill(text.prompt));
    if (speculator != nullptr) speculator->read(0, text.prompt);
    return seconds([&] {
      mamba2::SpeculativeDecoder decoder(session_, speculator);
      std::size_t left = text.answer.size();
      for (const mamba2::Token token : text.answer) keep(decoder.decode(token, --left));
      keep(decoder.finish());
    });
  }

  mamba2::AnySession& session_;
  std::size_t repeat_;
  std::vector<float> logits_;
  std::vector<mamba2::Token> random_ = std::vector<mamba2::Token>(kPrompt);
  mamba2::Result<void> outcome_;
};

/// Reads a file such as bench/repeating_texts.json. Errors: io, malformed; mismatch, of a tokenizer
/// with more tokens than the model.
[[nodiscard]] inline mamba2::Result<std::vector<RepeatingText>> read_texts(
    const std::string& path, const mamba2::Tokenizer& tokenizer, std::size_t vocab_size) {
  const auto malformed = [&path](const std::string& what) {
    return mamba2::Error{mamba2::ErrorCode::malformed, path + ": " + what};
  };
  const auto text = mamba2::read_text_file(path, std::size_t{1} << 24U);
  if (!text) return text.error();
  const auto json = nlohmann::json::parse(*text, nullptr, false);
  if (!json.is_array()) return malformed("must be a list of objects");
  std::vector<RepeatingText> texts;
  for (const auto& each : json) {
    RepeatingText made;
    for (const auto& [key, place] : {std::pair("prompt", &made.prompt), {"answer", &made.answer}}) {
      if (!each.contains(key) || !each[key].is_string() || !each["name"].is_string()) {
        return malformed("each object must have name, prompt and answer, texts");
      }
      *place = tokenizer.encode(each[key].get<std::string>());
      const auto largest = std::ranges::max_element(*place);
      if (largest == place->end()) return malformed("prompts and answers must not be empty");
      if (static_cast<std::size_t>(*largest) >= vocab_size) {
        return mamba2::Error{
            mamba2::ErrorCode::mismatch,
            mamba2::detail::concat(path, ": token ", *largest, ", the model has ", vocab_size)};
      }
    }
    made.name = each["name"].get<std::string>();
    texts.push_back(std::move(made));
  }
  return texts;
}

}  // namespace bench
