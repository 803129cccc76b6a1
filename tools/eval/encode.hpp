// SPDX-License-Identifier: Apache-2.0
// From texts to the tokens that are read and those that are scored.
#pragma once

#include <algorithm>
#include <cstddef>
#include <mamba2/mamba2.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "tools/eval/tasks.hpp"
#include "tools/perplexity/windows.hpp"

namespace eval {

using mamba2::Token;

/// What is found out about a continuation.
struct Score {
  double log_likelihood = 0.0;  ///< of all its tokens, in nats
  bool is_greedy = true;        ///< whether each of them is the most likely one
};

/// A context, how it might go on, and the score of that.
struct Request {
  std::vector<Token> context;       ///< at least one
  std::vector<Token> continuation;  ///< at least one
  Score score = {};
};

/// The token that ends texts, which stands for an empty context.
[[nodiscard]] inline Token end_of_text(const mamba2::Config& config) {
  return config.eos_token_ids.empty() ? Token{0} : config.eos_token_ids.front();
}

/// How long the white space at the end of a text is, in bytes; Python's str.rstrip() takes the same
/// for it.
[[nodiscard]] inline std::size_t trailing_space(std::string_view text) {
  std::size_t end = 0;  // of the last character that is none
  for (std::size_t i = 0; i < text.size();) {
    const auto character = mamba2::detail::first_code_point(text.substr(i));
    i += character.length;
    if (!perplexity::is_space(character.value)) end = i;
  }
  return text.size() - end;
}

/// lm-evaluation-harness adds nothing to texts, unless it is told to.
inline constexpr mamba2::EncodeOptions kAsHarness = {.add_special = false};

/// Encodes a context and its continuation together and cuts them where the context's own tokens
/// end: white space at its end goes to the continuation, and a token across the boundary belongs to
/// neither's text alone. An empty context is `empty`, the token that ends texts, which is not
/// scored where the continuation begins with it. The model reads max_length tokens at most, the
/// last ones. Errors: invalid_argument where nothing is left to score, or more than that. Texts are
/// valid UTF-8.
[[nodiscard]] inline Result<Request> encode_pair(const mamba2::Tokenizer& tokenizer, Token empty,
                                                 std::string_view context,
                                                 std::string_view continuation,
                                                 std::size_t max_length) {
  const std::string whole = concat(context, continuation);
  context.remove_suffix(trailing_space(context));
  Request request;
  request.context = tokenizer.encode(context, kAsHarness);
  request.continuation = tokenizer.encode(whole, kAsHarness);
  const std::size_t known = std::min(request.context.size(), request.continuation.size());
  request.continuation.erase(request.continuation.begin(),
                             request.continuation.begin() + static_cast<std::ptrdiff_t>(known));
  if (request.context.empty()) {
    request.context = {empty};
    auto& tokens = request.continuation;
    if (!tokens.empty() && tokens.front() == empty) tokens.erase(tokens.begin());
  }
  const std::size_t scored = request.continuation.size();
  if (scored == 0) {
    return Error{ErrorCode::invalid_argument, "a choice has no token of its own"};
  }
  if (scored > max_length) {
    return Error{ErrorCode::invalid_argument, concat("a choice must have at most ", max_length,
                                                     " tokens (--max-length), found ", scored)};
  }
  // The last token is not read.
  const std::size_t room = max_length + 1 - scored;
  if (request.context.size() > room) {
    request.context.erase(request.context.begin(),
                          request.context.end() - static_cast<std::ptrdiff_t>(room));
  }
  return request;
}

/// The requests of a question, one for each choice. Errors: those of encode_pair, with the place.
[[nodiscard]] inline Result<std::vector<Request>> encode_question(
    const mamba2::Tokenizer& tokenizer, Token empty, const Question& question,
    std::size_t max_length) {
  std::vector<Request> requests;
  for (const std::string& choice : question.choices) {
    auto request = encode_pair(tokenizer, empty, question.context, " " + choice, max_length);
    if (!request) {
      return Error{request.error().code, concat(question.place, ": ", request.error().message)};
    }
    requests.push_back(*std::move(request));
  }
  return requests;
}

}  // namespace eval
