// SPDX-License-Identifier: Apache-2.0
// Goes on with many texts at a time, greedily.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <mamba2/mamba2.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tools/eval/scorer.hpp"

namespace eval {

/// A text, and how long to go on with it.
struct Prompt {
  std::vector<Token> context;  ///< at least one
  /// Texts that end it, looked for in all that the tokens say, special tokens included; then cut
  /// off in this order, each where it begins in the text, which has no special tokens.
  std::vector<std::string> until;
  std::size_t max_tokens;  ///< at least one
  std::string text = {};   ///< what comes
};

/// Takes the most likely token again and again, as mamba2::generate() does at temperature 0. As
/// many sequences as the scorer reads at a time go through the weights together; when one ends, the
/// next takes its place. What is written does not depend on the others.
class Writer {
 public:
  /// sampler: a greedy one.
  Writer(Scorer& scorer, const mamba2::Tokenizer& tokenizer, mamba2::Sampler sampler)
      : scorer_(scorer), tokenizer_(tokenizer), sampler_(std::move(sampler)) {}

  /// Fills in the texts. Errors: those of Batch::prefill; malformed (logits that are not finite).
  [[nodiscard]] Result<void> write(std::span<Prompt> prompts) {
    const std::size_t count = std::min(scorer_.sequences(), prompts.size());
    const std::span<mamba2::State> states = scorer_.states(count);
    std::vector<Text> texts;
    for (mamba2::State& state : states) {
      texts.push_back(start(prompts.front(), state));
      prompts = prompts.subspan(1);
    }
    while (!texts.empty()) {
      if (Result<void> read = go_on(texts); !read) return read;
      for (Text& text : texts) {
        if (!text.done || prompts.empty()) continue;
        text = start(prompts.front(), *text.state);
        prompts = prompts.subspan(1);
      }
      std::erase_if(texts, [](const Text& text) { return text.done; });
    }
    return {};
  }

 private:
  /// One that is being written.
  struct Text {
    Prompt* prompt;
    mamba2::State* state;
    mamba2::StreamingDecoder decoder;
    mamba2::StreamingDecoder saying;  ///< special tokens, too
    std::string said = {};            ///< by that
    Token token = 0;                  ///< the last
    std::size_t tokens = 0;           ///< so many
    bool done = false;
  };

  [[nodiscard]] Text start(Prompt& prompt, mamba2::State& state) const {
    state.reset();
    prompt.text.clear();
    return {&prompt, &state, mamba2::StreamingDecoder(tokenizer_),
            mamba2::StreamingDecoder(tokenizer_, {.skip_special = false})};
  }

  /// One token more for each.
  [[nodiscard]] Result<void> go_on(std::span<Text> texts) {
    const std::size_t size = scorer_.config().vocab_size;
    logits_.resize(std::max(logits_.size(), texts.size() * size));
    std::vector<mamba2::Reading> readings;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const std::span<const Token> all = texts[i].prompt->context;
      const auto tokens = texts[i].tokens == 0 ? all : std::span<const Token>(&texts[i].token, 1);
      readings.push_back({texts[i].state, tokens, std::span(logits_).subspan(i * size, size)});
    }
    if (Result<void> read = scorer_.batch().prefill(readings); !read) return read;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const std::span<const float> logits = readings[i].logits;
      texts[i].token = sampler_.sample(logits);
      if (!std::isfinite(logits[static_cast<std::size_t>(texts[i].token)])) {
        return Error{ErrorCode::malformed, "the model gives logits that are not finite"};
      }
      take(texts[i]);
    }
    return {};
  }

  /// The text's new token.
  void take(Text& text) const {
    Prompt& prompt = *text.prompt;
    const auto& ends = scorer_.config().eos_token_ids;
    const bool is_end = std::ranges::find(ends, text.token) != ends.end();
    const std::size_t before = text.said.size();
    if (!is_end) {
      prompt.text += text.decoder.push(text.token);
      text.said += text.saying.push(text.token);
    }
    text.done = is_end || ++text.tokens == prompt.max_tokens || stops(text, before);
    if (!text.done) return;
    prompt.text += text.decoder.finish();
    for (const std::string& stop : prompt.until) {
      if (!stop.empty()) prompt.text.resize(std::min(prompt.text.size(), prompt.text.find(stop)));
    }
  }

  /// Whether a text that ends it ends behind the first `before` bytes of what is said.
  [[nodiscard]] static bool stops(const Text& text, std::size_t before) {
    return std::ranges::any_of(text.prompt->until, [&](const std::string& stop) {
      const std::size_t begin = before - std::min(before, stop.size());
      return !stop.empty() && text.said.find(stop, begin) != std::string::npos;
    });
  }

  Scorer& scorer_;
  const mamba2::Tokenizer& tokenizer_;
  mamba2::Sampler sampler_;
  std::vector<float> logits_;
};

}  // namespace eval
