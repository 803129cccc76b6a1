// SPDX-License-Identifier: Apache-2.0
// One sequence: a model's weights, a State, and the scratch memory to take it further.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "mamba2/core/linkage.hpp"
#include "mamba2/core/workers.hpp"
#include "mamba2/layers/state.hpp"
#include "mamba2/layers/weights.hpp"
#include "mamba2/sequence/reader.hpp"
#include "mamba2/sequence/take_up.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

struct SessionOptions {
  /// Tokens that prefill() takes through the model at a time, at most: more are faster, and need
  /// more scratch memory (Session::scratch_bytes). In 1..4096.
  std::size_t prefill_batch = 192;
  StatePrecision state = StatePrecision::fp32;
  /// Of models with attention: how keys and values are stored, and the tokens that there is room
  /// for (0: Config::default_context()): what is more is refused.
  KvPrecision kv = KvPrecision::fp16;
  std::size_t context = 0;
  /// Tokens that rewind() can take back where layers remember more than keys and values (Mamba-2,
  /// convolutions): at most 64. They take memory for rows of every such layer (16 of mamba2-2.7b 51
  /// MB, where a copy of its state is 194 MB).
  std::size_t rewind = 0;
  Workers workers = {};
  /// For state and scratch, instead of memory from the system: MemoryRequired::session() bytes that
  /// start on a multiple of 64 and outlive the Session.
  std::span<std::byte> memory = {};

  [[nodiscard]] StateOptions state_options() const noexcept { return {state, kv, context, rewind}; }
};

/// One sequence of tokens, of a model with weights of any policy. Made by Mamba2Model::session();
/// shares the weights, so that it may outlive the model object. Not for two threads at a time;
/// different Sessions are independent.
class AnySession {
 public:
  /// Errors: invalid_argument (prefill_batch, memory), out_of_memory, those of Workers::get.
  [[nodiscard]] static Result<AnySession> create(std::shared_ptr<const Weights> weights,
                                                 const SessionOptions& options);

  /// Reads one token and returns the logits of the next, (vocab_size), valid until the next call.
  /// Error: invalid_argument for an id that is not in 0..vocab_size-1, or where the context is
  /// full; nothing has changed then.
  [[nodiscard]] Result<std::span<const float>> decode(Token token) {
    return read_checked("decode: ", {std::span(&token, 1)});
  }

  /// Reads tokens in one pass over the weights, to the bits of decode() of one after the other, and
  /// writes the logits after every one of them: logits (tokens, vocab_size). The last
  /// SessionOptions::rewind of them can be taken back. Errors: as prefill(tokens, logits).
  [[nodiscard]] Result<void> decode(std::span<const Token> tokens, std::span<float> logits);

  /// Reads tokens and returns the logits after the last, (vocab_size), valid until the next call.
  /// May be called again and again: a text split anywhere gives the same bits; with weights in
  /// floating point, where many tokens are summed in another order than few, the same to rounding.
  /// Errors: invalid_argument for no token at all, an id out of range, or more tokens than the
  /// context has room for; nothing has changed then.
  [[nodiscard]] Result<std::span<const float>> prefill(std::span<const Token> tokens) {
    return read_checked("prefill: ", {tokens});
  }
  /// The same of a prompt with rows among its tokens, or of which more is wanted. Further errors:
  /// invalid_argument for rows that are not those which the tokens ask for, or not finite, and for
  /// hidden of a wrong size.
  [[nodiscard]] Result<std::span<const float>> prefill(const Prompt& prompt) {
    return read_checked("prefill: ", prompt);
  }

  /// Reads tokens and writes the logits after every one of them: logits (tokens, vocab_size).
  /// Errors as above, and invalid_argument for a span of another size.
  [[nodiscard]] Result<void> prefill(std::span<const Token> tokens, std::span<float> logits);

  [[nodiscard]] const Config& config() const noexcept { return weights_->config; }
  /// That of the model.
  [[nodiscard]] std::uint64_t fingerprint() const noexcept { return weights_->fingerprint; }

  /// Bytes of memory that a Session takes besides its State.
  /// weights: planned, at least.
  [[nodiscard]] static std::size_t scratch_bytes(const Weights& weights,
                                                 const SessionOptions& options) {
    SessionOptions possible = options;
    possible.prefill_batch = std::min(options.prefill_batch, Reader::kMaxTokens);
    return Scratch(Carver(), weights, possible).bytes;
  }

  /// The logits of the next token, (vocab_size), valid until the next call: the bits that decode(),
  /// or prefill(tokens), returned for the last token, whatever has read it (a Batch, say, or a
  /// Session whose state this one continues). Where they are not here any more they are made of the
  /// state, by one pass over the head. Empty where State::last() is, unless the session itself was
  /// loaded from a state file of version 1: that has the logits.
  [[nodiscard]] std::span<const float> logits();

  /// What has been read so far. Copy it to fork the sequence or to come back to it.
  [[nodiscard]] const State& state() const noexcept { return state_; }
  /// Continues from another state, logits() included. Error: mismatch, if it is of a model of
  /// another shape.
  [[nodiscard]] Result<void> set_state(const State& state);
  /// Back to the first `tokens` tokens, as State::rewind().
  [[nodiscard]] Result<void> rewind(std::uint64_t tokens) {
    const bool is_change = tokens != state_.tokens();
    Result<void> outcome = state_.rewind(tokens);
    if (outcome && is_change) has_logits_ = false;
    return outcome;
  }
  /// What has been read stays: see State::settle().
  void settle() noexcept { state_.settle(); }
  /// Starts an empty sequence.
  void reset() noexcept {
    state_.reset();
    has_logits_ = false;
  }

 private:
  friend class AnyBatch;
  friend class StateFile;
  using Reader = detail::Reader;

  AnySession(std::shared_ptr<const Weights> weights, std::shared_ptr<Executor> executor,
             State state, Arena arena, const SessionOptions& options)
      : weights_(std::move(weights)),
        executor_(std::move(executor)),
        state_(std::move(state)),
        arena_(std::move(arena)),
        scratch_(Carver(arena_.data()), *weights_, options) {}

  /// What a Session needs besides the state.
  struct Scratch {
    Reader reader;
    float* logits;  // (vocab_size)

    Scratch(Carver&& carver, const Weights& weights, const SessionOptions& options)
        : reader(carver, weights, options.prefill_batch, options.prefill_batch,
                 StateLayout(weights.config, options.state_options()).options().context),
          logits(carver.take<float>(weights.config.vocab_size)),
          bytes(carver.used()) {}
    std::size_t bytes;
  };

  /// `call` begins messages.
  [[nodiscard]] Result<void> read(std::string_view call, const Reading& reading);
  [[nodiscard]] Result<void> read_all(std::string_view call, std::span<const Token> tokens,
                                      std::span<float> logits, bool singly);
  [[nodiscard]] Result<std::span<const float>> read_checked(std::string_view call,
                                                            const Prompt& prompt);
  /// The logits of the next token, if they are here.
  [[nodiscard]] std::span<const float> logits_here() const noexcept {
    return {scratch_.logits, has_logits_ ? config().vocab_size : 0};
  }
  /// Takes up what a state file has, whose parts have the right sizes (base: see State::resume());
  /// last and logits may be missing.
  void restore(std::uint64_t tokens, std::uint64_t base, std::span<const std::byte> parts,
               std::span<const std::byte> last, std::span<const std::byte> logits) noexcept {
    detail::take_up(*weights_, state_, tokens, base, parts);
    if (!last.empty()) std::memcpy(state_.new_last().data(), last.data(), last.size());
    has_logits_ = !logits.empty();
    if (has_logits_) std::memcpy(scratch_.logits, logits.data(), logits.size());
  }

  std::shared_ptr<const Weights> weights_;
  std::shared_ptr<Executor> executor_;
  State state_;
  Arena arena_;
  Scratch scratch_;
  bool has_logits_ = false;  // scratch_.logits are those of the next token
};

#if MAMBA2_HAS_DEFINITIONS

MAMBA2_FUNCTION Result<AnySession> AnySession::create(std::shared_ptr<const Weights> weights,
                                                      const SessionOptions& options) {
  if (options.prefill_batch < 1 || options.prefill_batch > Reader::kMaxTokens) {
    return Error{ErrorCode::invalid_argument,
                 detail::concat("session: prefill_batch must be in 1..", Reader::kMaxTokens,
                                ", found ", options.prefill_batch)};
  }
  if (options.context > StateOptions::kMaxContext) {
    return Error{ErrorCode::invalid_argument,
                 detail::concat("session: context must be in 0..", StateOptions::kMaxContext,
                                ", found ", options.context)};
  }
  if (options.rewind > StateOptions::kMaxRewind) {
    return Error{ErrorCode::invalid_argument,
                 detail::concat("session: rewind must be in 0..", StateOptions::kMaxRewind,
                                ", found ", options.rewind)};
  }
  if (options.rewind > 0 && weights->config.has(LayerKind::mamba2) &&
      weights->config.d_state == 1) {
    return Error{
        ErrorCode::unsupported,
        "session: rewind must be 0 where d_state is 1: a copy of the state, which is small, "
        "comes back to earlier tokens"};
  }
  // Scratch first: its size is a multiple of the alignment.
  const std::size_t scratch = scratch_bytes(*weights, options);
  std::span<std::byte> memory = options.memory;
  if (memory.data() != nullptr) {
    const std::size_t bytes = scratch + State::bytes(weights->config, options.state_options());
    if (auto fits = Arena::check(bytes, memory, "session"); !fits) return fits.error();
  }
  Result<Arena> arena = Arena::create(scratch, memory, "session");
  if (!arena) return std::move(arena).error();
  if (memory.data() != nullptr) memory = memory.subspan(scratch);
  Result<State> state = State::create(weights->config, options.state_options(), memory);
  if (!state) return std::move(state).error();
  Result<std::shared_ptr<Executor>> executor = options.workers.get();
  if (!executor) return std::move(executor).error();
  return AnySession(std::move(weights), *std::move(executor), *std::move(state), *std::move(arena),
                    options);
}

MAMBA2_FUNCTION std::span<const float> AnySession::logits() {
  const std::span<const float> last = state_.last();
  if (!has_logits_ && !last.empty()) {
    scratch_.reader.next_logits(last, scratch_.logits, *executor_);
    has_logits_ = true;
  }
  return logits_here();
}

MAMBA2_FUNCTION Result<void> AnySession::read(std::string_view call, const Reading& reading) {
  if (Result<void> checked = scratch_.reader.check(reading); !checked) {
    return Error{checked.error().code, detail::concat(call, checked.error().message)};
  }
  scratch_.reader.read(std::span(&reading, 1), *executor_);
  has_logits_ = reading.logits.data() == scratch_.logits;
  return {};
}

MAMBA2_FUNCTION Result<std::span<const float>> AnySession::read_checked(std::string_view call,
                                                                        const Prompt& prompt) {
  const std::span<float> logits(scratch_.logits, config().vocab_size);
  Result<void> outcome = read(call, {&state_, prompt.tokens, logits, prompt.rows, prompt.hidden});
  if (!outcome) return std::move(outcome).error();
  return std::span<const float>(logits);
}

MAMBA2_FUNCTION Result<void> AnySession::read_all(std::string_view call,
                                                  std::span<const Token> tokens,
                                                  std::span<float> logits, bool singly) {
  const std::size_t vocab_size = config().vocab_size;
  if (!tokens.empty() && logits.size() != tokens.size() * vocab_size) {
    return Error{ErrorCode::invalid_argument,
                 detail::concat(call, "logits must hold ", tokens.size(), " x ", vocab_size,
                                " values, found ", logits.size())};
  }
  return read(call, {.state = &state_, .tokens = tokens, .logits = logits, .singly = singly});
}

MAMBA2_FUNCTION Result<void> AnySession::prefill(std::span<const Token> tokens,
                                                 std::span<float> logits) {
  return read_all("prefill: ", tokens, logits, false);
}

MAMBA2_FUNCTION Result<void> AnySession::decode(std::span<const Token> tokens,
                                                std::span<float> logits) {
  return read_all("decode: ", tokens, logits, true);
}

MAMBA2_FUNCTION Result<void> AnySession::set_state(const State& state) {
  if (!state.same_shape(state_)) {
    return Error{ErrorCode::mismatch,
                 "session: the state belongs to a model of another shape, or is stored in another "
                 "way (precision, context, rewind)"};
  }
  state_ = state;
  has_logits_ = false;
  return {};
}

#endif

/// One sequence of a Mamba2Model<WeightT>.
template <WeightPolicy WeightT>
using Session = AnySession;

}  // namespace MAMBA2_ISA
}  // namespace mamba2
