// SPDX-License-Identifier: Apache-2.0
// A prompt in, text out.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/io/printable.hpp"
#include "mamba2/sequence/sampler.hpp"
#include "mamba2/sequence/session.hpp"
#include "mamba2/sequence/speculative_decoder.hpp"
#include "mamba2/text/choose_token.hpp"
#include "mamba2/text/generate_options.hpp"
#include "mamba2/text/stop_strings.hpp"
#include "mamba2/tokenizer/tokenizer.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

namespace detail {

[[nodiscard]] inline double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// How many ids may be chosen: those that both the tokenizer and the model know. A tokenizer may
/// have more than its model has rows, added after the model was trained.
[[nodiscard]] inline std::size_t usable_tokens(const Tokenizer& tokenizer,
                                               const Config& config) noexcept {
  return std::min(tokenizer.vocab_size(), config.vocab_size);
}

/// Error mismatch: a text has a token that the model does not.
[[nodiscard]] inline Result<void> check_tokens(std::span<const Token> tokens,
                                               const Tokenizer& tokenizer, const Config& config) {
  for (const Token token : tokens) {
    if (static_cast<std::size_t>(token) < config.vocab_size) continue;
    return Error{ErrorCode::mismatch,
                 concat("the tokenizer does not belong to the model, or has more tokens: ",
                        in_quotes(tokenizer.token_bytes(token)), " in the text is token ", token,
                        ", the model's vocabulary has ", config.vocab_size, " rows")};
  }
  return {};
}

/// Reads a prompt piece by piece. An empty span: cancelled. Without a prompt: the logits after what
/// was read before, if anything was.
inline Result<std::span<const float>> read_prompt(AnySession& session,
                                                  std::span<const Token> prompt,
                                                  const GenerateOptions& options) {
  constexpr std::size_t kPiece = 512;
  const std::size_t total = prompt.size();
  Result<std::span<const float>> logits = std::span<const float>();
  if (prompt.empty()) logits = session.logits();
  if (!logits->empty()) return logits;
  if (total > session.state().room()) return session.prefill(prompt);  // which says why not
  do {
    const std::size_t piece = std::min(kPiece, prompt.size());
    logits = session.prefill(prompt.first(piece));
    prompt = prompt.subspan(piece);
    if (logits && options.on_prompt && !options.on_prompt(total - prompt.size(), total)) {
      return std::span<const float>();
    }
  } while (logits && !prompt.empty());
  return logits;
}

/// Begins the text of options.constraint, if one is to be generated behind so many tokens. Errors:
/// those of Constraint::begin; mismatch (of another vocabulary).
inline Result<void> begin_constraint(const AnySession& session, std::size_t prompt_tokens,
                                     std::size_t usable, const GenerateOptions& options) {
  if (options.constraint == nullptr || options.max_tokens == 0) return {};
  if (options.constraint->vocab_size() != usable) {
    return Error{ErrorCode::mismatch, concat("the constraint must be one for ", usable,
                                             " tokens, found ", options.constraint->vocab_size())};
  }
  const std::uint64_t room = session.state().room();
  if (prompt_tokens > room) return {};  // prefill says that
  const std::uint64_t left = room - prompt_tokens;
  return options.constraint->begin(
      static_cast<std::size_t>(std::min<std::uint64_t>(options.max_tokens, left)));
}

/// Whether a sentence may end with this token: a full stop or the like, with what closes a
/// quotation or a bracket behind it, or the end of a line.
[[nodiscard]] inline bool ends_sentence(std::string_view token) {
  constexpr std::array<std::string_view, 8> kEnds = {".",      "!",      "?",      "\n",
                                                     "\u2026", "\u3002", "\uFF01", "\uFF1F"};
  constexpr std::array<std::string_view, 7> kClosing = {"\"",     "'",      ")",     "]",
                                                        "\u2019", "\u201D", "\u00BB"};
  const auto ends_with_one = [&](const auto& list) {
    return std::ranges::find_if(list, [&](std::string_view end) { return token.ends_with(end); });
  };
  for (auto closing = ends_with_one(kClosing); closing != kClosing.end();) {
    token.remove_suffix(closing->size());
    closing = ends_with_one(kClosing);
  }
  return ends_with_one(kEnds) != kEnds.end();
}

/// How many tokens may follow so many, by the options.
[[nodiscard]] inline std::size_t tokens_left(const GenerateOptions& options, std::size_t tokens) {
  const std::size_t more = options.constraint == nullptr ? options.finish_sentence : 0;
  const std::size_t most = options.max_tokens + std::min(more, SIZE_MAX - options.max_tokens);
  return most - tokens;
}

/// The way from tokens to the application: text, held back where a stop string may have begun.
template <class OnText>
class TextOut {
 public:
  TextOut(const Tokenizer& tokenizer, const std::vector<std::string>& stop, bool at_start,
          OnText& on_text)
      : decoder_(tokenizer, stop, {.at_start = at_start}), on_text_(on_text) {}

  void push(Token token) { give(decoder_.push(token)); }
  void finish() { give(decoder_.finish()); }
  [[nodiscard]] bool open() const noexcept { return !cancelled_ && !decoder_.stopped(); }
  [[nodiscard]] bool cancelled() const noexcept { return cancelled_; }

 private:
  void give(std::string_view text) {
    if (!cancelled_ && !text.empty()) cancelled_ = !on_text_(text);
  }

  StoppingDecoder decoder_;
  OnText& on_text_;
  bool cancelled_ = false;
};

}  // namespace detail

/// A sampler for the ids that both a tokenizer and a model know. Error invalid_argument: options
/// out of range.
[[nodiscard]] inline Result<Sampler> make_sampler(const SamplerOptions& options,
                                                  const Tokenizer& tokenizer,
                                                  const Config& config) {
  return Sampler::create(options, detail::usable_tokens(tokenizer, config));
}

/// Reads `prompt` into the session, in a new one behind what the tokenizer's file begins texts
/// with, such as <s>, and generates text after it, which `on_text(std::string_view)` receives bit
/// by bit, always whole UTF-8 sequences; returning false from it stops. The session has then read
/// the prompt and every token generated, so that another call goes on from there, with what is to
/// follow; without a prompt, as if the call before had not ended, but that a character which it cut
/// in two has become two U+FFFD. Chooses tokens by `sampler` (make_sampler), which goes on from
/// call to call; options.sampling does not count. Errors: invalid_argument (an empty prompt, where
/// nothing was read before; a prompt that the context has no room for, of which nothing is read
/// then; a constraint with no text that is short enough, with the same effect; no token that may be
/// chosen), mismatch (a tokenizer of another model, or a sampler or a constraint of another),
/// malformed (a model whose logits are not finite), those of Speculator::check().
template <class OnText>
requires std::predicate<OnText&, std::string_view> Result<Generated> generate(
    AnySession& session, Sampler& sampler, const Tokenizer& tokenizer, std::string_view prompt,
    const GenerateOptions& options, OnText&& on_text) {
  const auto start = std::chrono::steady_clock::now();
  const std::size_t usable = detail::usable_tokens(tokenizer, session.config());
  if (sampler.seen().size() != usable) {
    return Error{ErrorCode::mismatch, detail::concat("the sampler must be one for ", usable,
                                                     " tokens, found ", sampler.seen().size())};
  }

  if (options.speculator != nullptr) {
    if (auto checked = options.speculator->check(session); !checked) return checked.error();
  }

  Generated done;
  const std::uint64_t read_before = session.state().tokens();
  const std::vector<Token> prompt_tokens = tokenizer.encode(
      prompt, {.add_special = read_before == 0, .special_names = options.special_names});
  const auto known = detail::check_tokens(prompt_tokens, tokenizer, session.config());
  if (!known) return known.error();
  const auto begun = detail::begin_constraint(session, prompt_tokens.size(), usable, options);
  if (!begun) return begun.error();
  auto logits = detail::read_prompt(session, prompt_tokens, options);
  done.prompt_tokens = static_cast<std::size_t>(session.state().tokens() - read_before);
  for (std::size_t i = 0; i < done.prompt_tokens; ++i) sampler.accept(prompt_tokens[i]);
  if (!prompt_tokens.empty()) sampler.begin_text();
  if (!logits) return std::move(logits).error();

  done.prompt_seconds = detail::seconds_since(start);
  if (logits->empty()) {
    done.reason = StopReason::cancelled;
    return done;
  }
  // Behind a special token, such as the one that texts begin with, a text begins.
  const bool at_start =
      prompt_tokens.empty() ? options.begins_text : tokenizer.is_special(prompt_tokens.back());
  detail::TokenChooser chooser(sampler, options, prompt_tokens, session.config().eos_token_ids);
  detail::TextOut<std::remove_reference_t<OnText>> text(tokenizer, options.stop, at_start, on_text);
  if (options.speculator != nullptr) options.speculator->read(read_before, prompt_tokens);
  SpeculativeDecoder decoder(session, options.speculator);
  bool enough = options.max_tokens == 0;
  while (!enough && text.open()) {
    if (decoder.room() == 0) {
      done.reason = StopReason::context_full;
      break;
    }
    const Result<Token> chosen = chooser.choose(*logits, decoder.tokens());
    if (!chosen) return chosen.error();
    const Token token = *chosen;
    if (chooser.ends(token)) {
      done.reason = StopReason::eos;
      break;
    }
    ++done.tokens;
    chooser.add(token, *logits);
    text.push(token);
    const bool goes_on = text.open() && !chooser.complete();
    logits = decoder.decode(token, goes_on ? detail::tokens_left(options, done.tokens) : 0);
    if (!logits) return std::move(logits).error();
    if (chooser.complete()) {
      done.reason = StopReason::complete;
      break;
    }
    enough = done.tokens >= options.max_tokens &&
             (options.constraint != nullptr ||
              done.tokens - options.max_tokens >= options.finish_sentence ||
              detail::ends_sentence(tokenizer.token_bytes(token)));
  }
  if (auto finished = decoder.finish(); !finished) return finished.error();
  text.finish();
  if (!text.open()) {
    done.reason = text.cancelled() ? StopReason::cancelled : StopReason::stop_string;
  }
  done.seconds = detail::seconds_since(start) - done.prompt_seconds;
  return done;
}

/// The same with a new sampler, by options.sampling. Errors: also those of make_sampler.
template <class OnText>
requires std::predicate<OnText&, std::string_view> Result<Generated> generate(
    AnySession& session, const Tokenizer& tokenizer, std::string_view prompt,
    const GenerateOptions& options, OnText&& on_text) {
  Result<Sampler> sampler = make_sampler(options.sampling, tokenizer, session.config());
  if (!sampler) return std::move(sampler).error();
  return generate(session, *sampler, tokenizer, prompt, options, on_text);
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2
