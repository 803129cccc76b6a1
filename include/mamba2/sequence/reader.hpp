// SPDX-License-Identifier: Apache-2.0
// What reads tokens, of one sequence or of several: Session and Batch are made of it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "mamba2/core/linkage.hpp"
#include "mamba2/core/result.hpp"
#include "mamba2/layers/layer.hpp"
#include "mamba2/layers/state.hpp"
#include "mamba2/layers/weights.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// What one sequence reads.
struct Reading {
  State* state;                   ///< before the first token; later after the last
  std::span<const Token> tokens;  ///< at least one
  std::span<float> logits = {};   ///< (n, vocab_size): those after each of the last n tokens
};

namespace detail {

/// Takes tokens through the model. Whatever is read beside it, a sequence gets the bits that it
/// gets alone: every part of a pass does its arithmetic as if there were no other.
class Reader {
 public:
  /// Past this size nothing is gained, and sizes could overflow.
  static constexpr std::size_t kMaxTokens = 4096;

  /// Takes scratch for passes of so many tokens, of one sequence at most `piece`. context: of the
  /// sequences, as a rule.
  Reader(Carver& carver, const Weights& weights, std::size_t tokens, std::size_t piece,
         std::size_t context)
      : weights_(&weights),
        scratch_(carver, weights, tokens, context),
        parts_(carver.take<Part>(tokens)),
        outputs_(carver.take<Output>(tokens)),
        piece_(std::min(piece, tokens)) {}

  /// Error: invalid_argument for no token at all, an id out of range, or more tokens than the state
  /// has room for. The state is of this model's shape.
  [[nodiscard]] Result<void> check(const State& state, std::span<const Token> tokens) const;

  /// What has been checked. The states are of this model's shape, and all different.
  void read(std::span<const Reading> readings, Executor& executor);

  /// The logits (vocab_size) after State::last(): the bits that read() gives where they are all
  /// that is wanted.
  void next_logits(std::span<const float> last, float* logits, Executor& executor);

 private:
  /// Some of a sequence's tokens.
  struct Piece {
    std::size_t first;
    std::size_t count;
  };
  /// Rows of logits to be: of the rows [first, first + count) of what norm_f gives, which are made
  /// of those of the residual from `from` on.
  struct Output {
    std::size_t first;
    std::size_t count;
    std::size_t from;
    float* logits;
  };

  /// What a sequence with so many tokens reads in the round-th pass that it takes part in.
  [[nodiscard]] Piece piece(std::size_t tokens, std::size_t round) const;
  /// Adds a piece of a sequence to the next pass.
  void add(const Reading& reading, const Piece& piece);
  /// What the head reads.
  void norm_f(const float* residual, float* to) const {
    const Config& c = weights_->config;
    kernels::rms_norm(residual, weights_->norm_f, c.d_model, c.norm_eps, to);
    if (c.head_norm) kernels::rms_norm(to, weights_->head_norm, c.d_model, c.norm_eps, to);
  }
  /// Takes through the model what has been added.
  void pass(Executor& executor);
  /// The logits of all outputs.
  void head(const Activations& a, Executor& executor) const;
  /// The same, where the head's inputs are ready.
  void multiply_head(const Activations& a, Executor& executor) const;

  const Weights* weights_;
  Scratch scratch_;
  Part* parts_;      // (tokens): of the next pass
  Output* outputs_;  // (tokens): likewise
  std::size_t piece_;
  std::size_t part_count_ = 0;
  std::size_t output_count_ = 0;
  std::size_t tokens_ = 0;  // of all parts
  std::size_t wanted_ = 0;  // of all outputs
};

#if MAMBA2_HAS_DEFINITIONS

MAMBA2_FUNCTION Result<void> Reader::check(const State& state,
                                           std::span<const Token> tokens) const {
  const auto invalid = [](auto... parts) {
    return Error{ErrorCode::invalid_argument, concat(parts...)};
  };
  if (tokens.empty()) return invalid("no tokens: the prompt is empty");
  const std::size_t vocab_size = weights_->config.vocab_size;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] < 0 || static_cast<std::size_t>(tokens[i]) >= vocab_size) {
      return invalid("token ", i, " must be in 0..", vocab_size - 1, ", found ", tokens[i]);
    }
  }
  if (tokens.size() > state.room()) {
    return invalid("the context is full: ", tokens.size(), " tokens after ", state.tokens(),
                   " need one of ", state.tokens() + tokens.size(), ", found ", state.context());
  }
  return {};
}

MAMBA2_FUNCTION auto Reader::piece(std::size_t tokens, std::size_t round) const -> Piece {
  Piece piece{0, 0};
  for (std::size_t i = 0; i <= round; ++i) {
    piece.first += piece.count;
    const std::size_t left = tokens - piece.first;
    if (left == 0) return {tokens, 0};
    // Pieces of about the same size: one of a few tokens would cost as much as one of many.
    const std::size_t pieces = (left + piece_ - 1) / piece_;
    const std::size_t even = (left + pieces - 1) / pieces;
    piece.count = std::min({left, piece_, round_up(even, kernels::kChunk)});
  }
  return piece;
}

MAMBA2_FUNCTION void Reader::read(std::span<const Reading> readings, Executor& executor) {
  bool more = true;
  for (std::size_t round = 0; more; ++round) {
    more = false;
    for (const Reading& reading : readings) {
      const Piece next = piece(reading.tokens.size(), round);
      if (next.count == 0) continue;
      if (tokens_ + next.count > scratch_.activations.tokens()) pass(executor);
      add(reading, next);
      more = more || next.first + next.count < reading.tokens.size();
    }
    pass(executor);
  }
}

MAMBA2_FUNCTION void Reader::add(const Reading& reading, const Piece& piece) {
  for (std::size_t i = 0; i < piece.count; ++i) {
    const auto token = static_cast<std::size_t>(reading.tokens[piece.first + i]);
    float* residual = scratch_.activations.residual[tokens_ + i];
    const Config& c = weights_->config;
    weights_->embedding.row(token, residual);
    if (c.embedding_multiplier != 1.0F) kernels::times(c.embedding_multiplier, residual, c.d_model);
  }
  const std::size_t vocab_size = weights_->config.vocab_size;
  const std::size_t silent = reading.tokens.size() - reading.logits.size() / vocab_size;
  const std::size_t end = piece.first + piece.count;
  if (const std::size_t first = std::max(piece.first, silent); first < end) {
    outputs_[output_count_++] = {wanted_, end - first, tokens_ + first - piece.first,
                                 reading.logits.data() + (first - silent) * vocab_size};
    wanted_ += end - first;
  }
  parts_[part_count_++] = {reading.state, tokens_, piece.count};
  tokens_ += piece.count;
}

MAMBA2_FUNCTION void Reader::pass(Executor& executor) {
  if (part_count_ == 0) return;
  const std::span<const Part> parts(parts_, part_count_);
  const Scratch scratch = scratch_.first(tokens_);
  const Activations& a = scratch.activations;
  const Pass pass = {weights_->config, a, parts, executor};
  for (const LayerWeights& layer : weights_->layers) forward(layer, scratch, pass);
  executor.run(part_count_, [&](std::size_t i) {
    const Part& part = parts[i];
    part.state->count(part.count);
    norm_f(a.residual[part.first + part.count - 1], part.state->new_last().data());
  });
  if (output_count_ > 0) head(a, executor);
  part_count_ = output_count_ = tokens_ = wanted_ = 0;
}

MAMBA2_FUNCTION void Reader::next_logits(std::span<const float> last, float* logits,
                                         Executor& executor) {
  const Activations a = scratch_.activations.first(1);
  std::copy(last.begin(), last.end(), a.u[0]);
  make_ready(weights_->config, weights_->lm_head, a.u[0], a.input);
  outputs_[0] = {0, 1, 0, logits};
  output_count_ = wanted_ = 1;
  multiply_head(a, executor);
  output_count_ = wanted_ = 0;
}

MAMBA2_FUNCTION void Reader::head(const Activations& a, Executor& executor) const {
  executor.run(output_count_, [&](std::size_t i) {
    const Output& output = outputs_[i];
    for (std::size_t t = 0; t < output.count; ++t) {
      float* u = a.u[output.first + t];
      norm_f(a.residual[output.from + t], u);
      make_ready(weights_->config, weights_->lm_head, u,
                 a.input + (output.first + t) * a.input_bytes);
    }
  });
  multiply_head(a, executor);
}

MAMBA2_FUNCTION void Reader::multiply_head(const Activations& a, Executor& executor) const {
  const Config& c = weights_->config;
  const auto& lm_head = weights_->lm_head;
  const Inputs inputs = {a.input, wanted_, a.input_bytes};
  const Output* const last = outputs_ + output_count_;
  for_panels(executor, lm_head, [&](std::size_t band, std::size_t bands) {
    for (const Output* begin = outputs_; begin != last;) {
      // Outputs whose logits follow each other in memory.
      const Output* end = begin + 1;
      while (end != last && end->logits == end[-1].logits + end[-1].count * c.vocab_size) ++end;
      for_equals(lm_head, std::span(begin, end), inputs, [&](const Inputs& x, std::size_t first) {
        float* logits = begin->logits + (first - begin->first) * c.vocab_size;
        lm_head.multiply(band, bands, x, MutableRows(logits, x.tokens, c.vocab_size));
      });
      begin = end;
    }
  });
}

#endif

}  // namespace detail

}  // namespace MAMBA2_ISA
}  // namespace mamba2
