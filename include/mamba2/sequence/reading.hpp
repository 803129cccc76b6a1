// SPDX-License-Identifier: Apache-2.0
// What a sequence reads: tokens, and rows of numbers among them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string_view>

#include "mamba2/core/result.hpp"
#include "mamba2/layers/config.hpp"
#include "mamba2/layers/state.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// In place of a token's id: the next of the rows that a prompt has beside its tokens.
inline constexpr Token kRow = -1;

/// Tokens, and rows among them. A row is what enters the first layer, d_model numbers: what an
/// encoder of images or sounds makes, or a row of the embedding times
/// Config::embedding_multiplier, which gives the bits of its token. (transformers multiplies rows
/// that it is given, too, for Granite, and does not for Falcon-H1.)
struct Prompt {
  std::span<const Token> tokens;     ///< at least one; kRow for each of `rows`
  std::span<const float> rows = {};  ///< (r, d_model), finite
  /// (n, d_model): the residual after norm_f at each of the last n tokens is written there, of
  /// which the head makes logits, and pooling an embedding of the text.
  std::span<float> hidden = {};
};

/// What one sequence reads.
struct Reading {
  State* state;                      ///< before the first token; later after the last
  std::span<const Token> tokens;     ///< see Prompt
  std::span<float> logits = {};      ///< (n, vocab_size): those after each of the last n tokens
  std::span<const float> rows = {};  ///< see Prompt
  std::span<float> hidden = {};      ///< see Prompt
  bool singly = false;  ///< each token gets the bits that it gets when it is read by itself
};

namespace detail {

template <class... Parts>
[[nodiscard]] Error invalid_reading(const Parts&... parts) {
  return Error{ErrorCode::invalid_argument, concat(parts...)};
}

[[nodiscard]] inline Result<void> check_tokens(const Config& c, const Reading& reading) {
  if (reading.tokens.empty()) return invalid_reading("no tokens: the prompt is empty");
  for (std::size_t i = 0; i < reading.tokens.size(); ++i) {
    const Token token = reading.tokens[i];
    if (token == kRow && !reading.rows.empty()) continue;
    if (token < 0 || static_cast<std::size_t>(token) >= c.vocab_size) {
      return invalid_reading("token ", i, " must be in 0..", c.vocab_size - 1, ", found ", token);
    }
  }
  return {};
}

[[nodiscard]] inline Result<void> check_rows(const Config& c, const Reading& reading) {
  if (reading.rows.empty()) return {};
  const auto wanted = static_cast<std::size_t>(std::ranges::count(reading.tokens, kRow));
  if (reading.rows.size() != wanted * c.d_model) {
    return invalid_reading("rows must hold ", wanted, " x ", c.d_model, " values, for ", wanted,
                           " tokens that are kRow, found ", reading.rows.size());
  }
  const auto found = std::ranges::find_if(reading.rows, [](float x) { return !std::isfinite(x); });
  if (found != reading.rows.end()) {
    const auto at = static_cast<std::size_t>(found - reading.rows.begin());
    return invalid_reading("row ", at / c.d_model, " must be finite, found ", *found, " at ",
                           at % c.d_model);
  }
  return {};
}

/// Errors: invalid_argument for no token at all, an id out of range, rows that are not those which
/// the tokens ask for or not finite, more tokens than the state has room for, or logits or hidden
/// of a size that is no number of theirs.
[[nodiscard]] inline Result<void> check_reading(const Config& c, const Reading& reading) {
  if (Result<void> checked = check_tokens(c, reading); !checked) return checked;
  if (Result<void> checked = check_rows(c, reading); !checked) return checked;
  const State& state = *reading.state;
  const std::size_t count = reading.tokens.size();
  if (count > state.room()) {
    return invalid_reading("the context is full: ", count, " tokens after ", state.tokens(),
                           " need one of ", state.tokens() + count, ", found ", state.context());
  }
  const auto check_size = [&](std::string_view name, std::span<const float> values,
                              std::size_t each) -> Result<void> {
    if (values.size() % each == 0 && values.size() / each <= count) return {};
    return invalid_reading(name, " must hold n x ", each,
                           " values for n of the tokens, of which there are ", count, ", found ",
                           values.size());
  };
  if (Result<void> checked = check_size("logits", reading.logits, c.vocab_size); !checked) {
    return checked;
  }
  return check_size("hidden", reading.hidden, c.d_model);
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
