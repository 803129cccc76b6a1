// SPDX-License-Identifier: Apache-2.0
// Many sequences at a time: one pass over the weights takes all of them further.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <utility>

#include "mamba2/core/linkage.hpp"
#include "mamba2/core/workers.hpp"
#include "mamba2/layers/state.hpp"
#include "mamba2/layers/weights.hpp"
#include "mamba2/sequence/reader.hpp"
#include "mamba2/sequence/session.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

struct BatchOptions {
  /// Tokens that go through the model at a time, at most, of all sequences together: more are
  /// faster, and need more scratch memory (Batch::scratch_bytes). In 1..4096.
  std::size_t tokens = 384;
  /// Tokens of one sequence among them, at most: as in SessionOptions, and bits are those of a
  /// Session with the same number. No more than `tokens` count.
  std::size_t prefill_batch = SessionOptions().prefill_batch;
  Workers workers = {};
  /// Instead of memory from the system: Mamba2Model::batch_bytes() that start on a multiple of 64
  /// and outlive the Batch.
  std::span<std::byte> memory = {};
};

/// Reads tokens of many sequences of one model, and is much faster than one after the other:
/// weights come from memory once for all of them. Whatever is read together, every sequence gets
/// the same bits as alone. Made by Mamba2Model::batch(); shares the weights. Holds no sequence. Not
/// for two threads at a time, and nobody else may use the sequences meanwhile.
class AnyBatch {
 public:
  /// Errors: invalid_argument (tokens, prefill_batch, memory), out_of_memory, those of
  /// Workers::get.
  [[nodiscard]] static Result<AnyBatch> create(std::shared_ptr<const Weights> weights,
                                               const BatchOptions& options);

  /// Each of many sessions reads one token: logits (sessions, vocab_size) get what decode() would
  /// give each, and so does Session::logits() from then on. Errors, after which nothing has
  /// changed: invalid_argument for an id out of range, a session named twice, one of another model,
  /// or spans that do not fit together.
  [[nodiscard]] Result<void> decode(std::span<AnySession* const> sessions,
                                    std::span<const Token> tokens, std::span<float> logits);

  /// Every sequence reads its tokens; the logits that it wants are the bits that Session::prefill()
  /// gives for the last token, or for all. The states know the next logits (State::last) whether
  /// any are wanted or not. Weights of floating-point numbers are fastest where
  /// sequences with about as many tokens stand side by side, and logits of neighbours in memory,
  /// too. Errors, after which nothing has changed: invalid_argument for no token, an id out of
  /// range, a state named twice, logits of a size that is not a multiple of vocab_size or for more
  /// tokens than there are, what Prompt and its rows forbid; mismatch for a state of a model of
  /// another shape.
  [[nodiscard]] Result<void> prefill(std::span<const Reading> readings);

  [[nodiscard]] const Config& config() const noexcept { return weights_->config; }

  /// Bytes of memory that a Batch takes. weights: planned, at least.
  [[nodiscard]] static std::size_t scratch_bytes(const Weights& weights,
                                                 const BatchOptions& options) {
    BatchOptions possible = options;
    possible.tokens = std::min(options.tokens, Reader::kMaxTokens);
    return Scratch(Carver(), weights, possible).bytes;
  }

 private:
  using Reader = detail::Reader;

  struct Scratch {
    Reader reader;
    Reading* readings;  // (tokens)

    Scratch(Carver&& carver, const Weights& weights, const BatchOptions& options)
        : reader(carver, weights, options.tokens, options.prefill_batch,
                 weights.config.default_context()),
          readings(carver.take<Reading>(options.tokens)),
          bytes(carver.used()) {}
    std::size_t bytes;
  };

  AnyBatch(std::shared_ptr<const Weights> weights, std::shared_ptr<Executor> executor, Arena arena,
           const BatchOptions& options)
      : weights_(std::move(weights)),
        executor_(std::move(executor)),
        arena_(std::move(arena)),
        scratch_(Carver(arena_.data()), *weights_, options),
        tokens_(options.tokens) {}

  template <class... Parts>
  [[nodiscard]] static Error invalid(const Parts&... parts) {
    return Error{ErrorCode::invalid_argument, detail::concat("batch: ", parts...)};
  }
  /// What the i-th sequence reads.
  [[nodiscard]] Result<void> check(std::size_t i, const Reading& reading) const;

  std::shared_ptr<const Weights> weights_;
  std::shared_ptr<Executor> executor_;
  Arena arena_;
  Scratch scratch_;
  std::size_t tokens_;
};

#if MAMBA2_HAS_DEFINITIONS

MAMBA2_FUNCTION Result<AnyBatch> AnyBatch::create(std::shared_ptr<const Weights> weights,
                                                  const BatchOptions& options) {
  if (options.tokens < 1 || options.tokens > Reader::kMaxTokens) {
    return invalid("tokens must be in 1..", Reader::kMaxTokens, ", found ", options.tokens);
  }
  if (options.prefill_batch < 1) return invalid("prefill_batch must be at least 1, found 0");
  Result<Arena> arena = Arena::create(scratch_bytes(*weights, options), options.memory, "batch");
  if (!arena) return std::move(arena).error();
  Result<std::shared_ptr<Executor>> executor = options.workers.get();
  if (!executor) return std::move(executor).error();
  return AnyBatch(std::move(weights), *std::move(executor), *std::move(arena), options);
}

MAMBA2_FUNCTION Result<void> AnyBatch::check(std::size_t i, const Reading& reading) const {
  if (reading.state == nullptr) return invalid("sequence ", i, ": has no state");
  if (!reading.state->fits(config())) {
    return Error{
        ErrorCode::mismatch,
        detail::concat("batch: sequence ", i, ": the state belongs to a model of another shape")};
  }
  const Result<void> checked = scratch_.reader.check(reading);
  if (!checked) return invalid("sequence ", i, ": ", checked.error().message);
  return {};
}

MAMBA2_FUNCTION Result<void> AnyBatch::decode(std::span<AnySession* const> sessions,
                                              std::span<const Token> tokens,
                                              std::span<float> logits) {
  const std::size_t vocab_size = config().vocab_size;
  if (tokens.size() != sessions.size() || logits.size() != sessions.size() * vocab_size) {
    return invalid(sessions.size(), " sessions need as many tokens and x ", vocab_size,
                   " logits, found ", tokens.size(), " and ", logits.size());
  }
  for (std::size_t i = 0; i < sessions.size(); ++i) {
    if (sessions[i] == nullptr || sessions[i]->weights_ != weights_) {
      return invalid("sequence ", i, ": must be a session of the same model");
    }
    Result<void> checked = check(i, {&sessions[i]->state_, tokens.subspan(i, 1)});
    if (!checked) return checked;
    const auto before = sessions.first(i);
    if (std::ranges::find(before, sessions[i]) != before.end()) {
      return invalid("sequence ", i, ": is there twice");
    }
  }
  while (!sessions.empty()) {
    const std::size_t some = std::min(sessions.size(), tokens_);
    for (std::size_t i = 0; i < some; ++i) {
      scratch_.readings[i] = {&sessions[i]->state_, tokens.subspan(i, 1),
                              logits.subspan(i * vocab_size, vocab_size)};
      sessions[i]->has_logits_ = false;
    }
    scratch_.reader.read(std::span(scratch_.readings, some), *executor_);
    sessions = sessions.subspan(some);
    tokens = tokens.subspan(some);
    logits = logits.subspan(some * vocab_size);
  }
  return {};
}

MAMBA2_FUNCTION Result<void> AnyBatch::prefill(std::span<const Reading> readings) {
  for (std::size_t i = 0; i < readings.size(); ++i) {
    if (Result<void> checked = check(i, readings[i]); !checked) return checked;
    const auto before = readings.first(i);
    if (std::ranges::find(before, readings[i].state, &Reading::state) != before.end()) {
      return invalid("sequence ", i, ": its state is there twice");
    }
  }
  scratch_.reader.read(readings, *executor_);
  return {};
}

#endif

/// A batch of sequences of a Mamba2Model<WeightT>.
template <WeightPolicy WeightT>
using Batch = AnyBatch;

}  // namespace MAMBA2_ISA
}  // namespace mamba2
