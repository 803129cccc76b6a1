// SPDX-License-Identifier: Apache-2.0
// What generate() is asked for, and what it tells.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/layers/config.hpp"
#include "mamba2/sequence/log_probabilities.hpp"
#include "mamba2/sequence/sampler_options.hpp"
#include "mamba2/sequence/speculator.hpp"
#include "mamba2/text/grammar/constraint.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// A token that was generated. The probabilities are the model's own: of all ids that may be
/// chosen, at temperature 1, before logit_bias, penalties, edits and constraints.
struct GeneratedToken {
  Token token;
  float logprob;                       ///< natural logarithm of its probability; 0: not asked for
  std::span<const TokenLogprob> best;  ///< the most probable ones, GenerateOptions::best_tokens
};

struct GenerateOptions {
  std::size_t max_tokens = 256;     ///< tokens to generate at most
  std::size_t finish_sentence = 0;  ///< and so many more at most, until a sentence ends
  SamplerOptions sampling = {};     ///< how each is chosen
  /// Texts that end the generation, and are not given out. They are looked for in all that the
  /// tokens say, special tokens such as "<|im_end|>" included, which are not given out, either.
  std::vector<std::string> stop = {};
  bool stop_at_eos = true;  ///< whether an end-of-text token ends the generation
  /// Whether the names of special tokens in the prompt are those tokens, as in EncodeOptions. For
  /// what others write: false.
  bool special_names = true;

  /// Whether a text begins with what is generated, although this call reads no prompt: behind a
  /// special token that was read before. A blank that SentencePiece writes there is none of it.
  bool begins_text = false;

  /// Called while the prompt is read, with the tokens read so far and their number; returning
  /// false stops there.
  std::function<bool(std::size_t done, std::size_t total)> on_prompt = {};

  /// Called before a token is chosen, with its logits, which it may change (-infinity: not to be
  /// chosen), and the tokens that this call has read and generated so far. logit_bias is in the
  /// logits already, penalties are not.
  std::function<void(std::span<float> logits, std::span<const Token> tokens)> edit_logits = {};

  /// Called for every token generated, before its text is given out: also for special tokens, whose
  /// names are not, and for those that complete a stop string.
  std::function<void(const GeneratedToken& token)> on_token = {};
  bool logprobs = false;        ///< whether it is told probabilities
  std::size_t best_tokens = 0;  ///< and of how many of the most probable tokens

  /// Holds the text to a grammar: a new text in every call that generates any. It ends within
  /// max_tokens, or what the context has room for, and finish_sentence and stop_at_eos do not
  /// count: end-of-text tokens end it, where it may end. Must outlive the call.
  Constraint* constraint = nullptr;

  /// Drafts tokens, so that a pass over the weights may give several: the text, and what the
  /// session has read afterwards, is what it is without. Knows the texts of earlier calls. Must
  /// outlive the call.
  Speculator* speculator = nullptr;
};

/// Why a generation ended.
enum class StopReason {
  max_tokens,
  eos,
  stop_string,
  cancelled,
  context_full,  ///< there is no room for another token: SessionOptions::context
  complete,      ///< GenerateOptions::constraint lets nothing follow
};

[[nodiscard]] constexpr std::string_view stop_reason_name(StopReason reason) noexcept {
  switch (reason) {
    case StopReason::max_tokens:
      return "max_tokens";
    case StopReason::eos:
      return "eos";
    case StopReason::stop_string:
      return "stop_string";
    case StopReason::cancelled:
      return "cancelled";
    case StopReason::context_full:
      return "context_full";
    case StopReason::complete:
      return "complete";
  }
  return "unknown";
}

struct Generated {
  std::size_t prompt_tokens = 0;  ///< that were read: where on_prompt has stopped it, not all
  std::size_t tokens = 0;         ///< generated, an end-of-text token not counted
  StopReason reason = StopReason::max_tokens;
  double prompt_seconds = 0.0;  ///< from the call to the logits of the first token, or to the stop
  double seconds = 0.0;         ///< from there to the end
};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
