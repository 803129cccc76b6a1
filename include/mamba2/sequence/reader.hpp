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
#include "mamba2/sequence/reading.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

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
        equals_(carver.take<Part>(tokens)),
        outputs_(carver.take<Output>(tokens)),
        hidden_(carver.take<Hidden>(tokens)),
        piece_(std::min(piece, tokens)) {}

  /// Errors: those of check_reading(). The state is of this model's shape.
  [[nodiscard]] Result<void> check(const Reading& reading) const {
    return check_reading(weights_->config, reading);
  }

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
  /// Rows of norm_f, of `count` rows of the residual from `from` on, that are wanted themselves.
  struct Hidden {
    std::size_t count;
    std::size_t from;
    float* rows;
  };

  /// What a sequence with so many tokens reads in the round-th pass that it takes part in.
  [[nodiscard]] Piece piece(std::size_t tokens, std::size_t round) const;
  /// Adds a piece of a sequence to the next pass.
  void add(const Reading& reading, const Piece& piece);
  /// What enters the first layer.
  void embed(const Reading& reading, const Piece& piece);
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
  Part* equals_;     // (tokens): likewise, see Pass
  Output* outputs_;  // (tokens): likewise
  Hidden* hidden_;   // (tokens): likewise
  std::size_t piece_;
  std::size_t part_count_ = 0;
  std::size_t equal_count_ = 0;
  std::size_t output_count_ = 0;
  std::size_t hidden_count_ = 0;
  std::size_t tokens_ = 0;  // of all parts
  std::size_t wanted_ = 0;  // of all outputs
};

#if MAMBA2_HAS_DEFINITIONS

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
      if (round == 0) reading.state->expect(reading.tokens.size());
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
  embed(reading, piece);
  const std::size_t end = piece.first + piece.count;
  // Calls use(count, from, to) for those of the piece among the last tokens that have rows of
  // `width` in `values`.
  const auto with_last = [&](std::span<float> values, std::size_t width, auto use) {
    const std::size_t silent = reading.tokens.size() - values.size() / width;
    const std::size_t first = std::max(piece.first, silent);
    if (first >= end) return;
    use(end - first, tokens_ + first - piece.first, values.data() + (first - silent) * width);
  };
  with_last(reading.logits, weights_->config.vocab_size,
            [&](std::size_t count, std::size_t from, float* logits) {
              const std::size_t each = reading.singly ? 1 : count;
              for (std::size_t i = 0; i < count; i += each) {
                outputs_[output_count_++] = {wanted_, each, from + i,
                                             logits + i * weights_->config.vocab_size};
                wanted_ += each;
              }
            });
  with_last(reading.hidden, weights_->config.d_model,
            [&](std::size_t count, std::size_t from, float* rows) {
              hidden_[hidden_count_++] = {count, from, rows};
            });
  parts_[part_count_++] = {reading.state, tokens_, piece.count};
  const std::size_t each = reading.singly ? 1 : piece.count;
  for (std::size_t i = 0; i < piece.count; i += each) {
    equals_[equal_count_++] = {reading.state, tokens_ + i, each};
  }
  tokens_ += piece.count;
}

MAMBA2_FUNCTION void Reader::embed(const Reading& reading, const Piece& piece) {
  const Config& c = weights_->config;
  std::size_t row = 0;  // the first of the piece
  if (!reading.rows.empty()) {
    row = static_cast<std::size_t>(std::ranges::count(reading.tokens.first(piece.first), kRow));
  }
  for (std::size_t i = 0; i < piece.count; ++i) {
    const Token token = reading.tokens[piece.first + i];
    float* residual = scratch_.activations.residual[tokens_ + i];
    if (token == kRow) {
      std::ranges::copy(reading.rows.subspan(row++ * c.d_model, c.d_model), residual);
    } else {
      weights_->embedding.row(static_cast<std::size_t>(token), residual);
      if (c.embedding_multiplier != 1.0F) {
        kernels::times(c.embedding_multiplier, residual, c.d_model);
      }
    }
    const MutableRows& embedded = scratch_.activations.embedded;
    if (embedded.rows > 0) std::copy_n(residual, c.d_model, embedded[tokens_ + i]);
  }
}

MAMBA2_FUNCTION void Reader::pass(Executor& executor) {
  if (part_count_ == 0) return;
  const std::span<const Part> parts(parts_, part_count_);
  const Scratch scratch = scratch_.first(tokens_);
  const Activations& a = scratch.activations;
  const Pass pass = {weights_->config, a, parts, {equals_, equal_count_}, executor};
  for (const Weights::Step& step : weights_->steps) {
    forward(weights_->layers[step.layer], step, scratch, pass);
  }
  executor.run(part_count_, [&](std::size_t i) {
    const Part& part = parts[i];
    part.state->count(part.count);
    norm_f(a.residual[part.first + part.count - 1], part.state->new_last().data());
  });
  executor.run(hidden_count_, [&](std::size_t i) {
    const Hidden& wanted = hidden_[i];
    for (std::size_t t = 0; t < wanted.count; ++t) {
      norm_f(a.residual[wanted.from + t], wanted.rows + t * weights_->config.d_model);
    }
  });
  if (output_count_ > 0) head(a, executor);
  part_count_ = equal_count_ = output_count_ = hidden_count_ = tokens_ = wanted_ = 0;
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
