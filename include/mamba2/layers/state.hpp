// SPDX-License-Identifier: Apache-2.0
// The memory of one sequence, as a value.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <utility>

#include "mamba2/core/arena.hpp"
#include "mamba2/core/result.hpp"
#include "mamba2/kernels/kv_cache.hpp"
#include "mamba2/layers/config.hpp"
#include "mamba2/layers/state_layout.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// All that a model remembers of the tokens it has read, and what the logits of the next one are
/// made of. Its size does not depend on their number: where there is attention, there is room for
/// StateOptions::context tokens. Copying a State forks the sequence; what a copy writes are the
/// tokens that there are, not the room for more. A new State is that of an empty sequence: zeros.
class State {
 public:
  /// memory: for it, of the application's: bytes() that start on a multiple of 64 and outlive it.
  /// Errors: out_of_memory; invalid_argument, for memory that is too small or not aligned.
  [[nodiscard]] static Result<State> create(const Config& config, const StateOptions& options = {},
                                            std::span<std::byte> memory = {}) {
    const StateLayout layout(config, options);
    Result<Arena> arena = Arena::create(layout.bytes(), memory, "state");
    if (!arena) return std::move(arena).error();
    return State(layout, *std::move(arena));
  }

  State(State&&) noexcept = default;
  State& operator=(State&&) noexcept = default;
  /// A copy takes as much memory again; where there is none, this fails as Result::value() does.
  State(const State& other) : State(other, Arena::create(other.arena_.size()).value()) {}
  /// Allocates nothing if both are of the same shape.
  State& operator=(const State& other) {
    if (!same_shape(other)) return *this = State(other);
    if (this != &other) take(other);
    return *this;
  }
  ~State() = default;
  /// As the copy constructor. Error: out_of_memory.
  [[nodiscard]] Result<State> copy() const {
    Result<Arena> arena = Arena::create(arena_.size());
    if (!arena) return std::move(arena).error();
    return State(*this, *std::move(arena));
  }

  /// (d_conv - 1, conv_dim): the last raw inputs of the convolution of the index'th of the Mamba-2
  /// layers, oldest first.
  [[nodiscard]] float* conv(std::size_t index) noexcept {
    return reinterpret_cast<float*>(arena_.data()) + index * layout_.conv_size();
  }
  [[nodiscard]] const float* conv(std::size_t index) const noexcept {
    return reinterpret_cast<const float*>(arena_.data()) + index * layout_.conv_size();
  }
  /// (nheads, d_state, headdim): the SSM state of the index'th of the Mamba-2 layers, where the
  /// chunk at hand began: rows() tokens ago. Element is float, or std::uint16_t for the bits of
  /// FP16: whatever precision() says.
  template <class Element = float>
  [[nodiscard]] Element* ssm(std::size_t index) noexcept {
    return at<Element>(layout_.ssm_offset()) + index * layout_.ssm_size();
  }
  template <class Element = float>
  [[nodiscard]] const Element* ssm(std::size_t index) const noexcept {
    return at<Element>(layout_.ssm_offset()) + index * layout_.ssm_size();
  }
  /// What the index'th of the Mamba-2 layers has of the chunk at hand.
  [[nodiscard]] ChunkMemory chunk(std::size_t index) noexcept {
    return layout_.chunk(at<float>(layout_.chunk_offset()) + index * layout_.chunk_size());
  }
  /// Tokens of the chunk at hand that have been read.
  [[nodiscard]] std::size_t rows() const noexcept {
    return layout_.has_chunks() ? static_cast<std::size_t>(tokens_ - chunk_begin_) : 0;
  }
  /// So many of the tokens to come, `ahead` tokens from here, belong to one chunk.
  [[nodiscard]] std::size_t rows_left(std::size_t ahead = 0) const noexcept {
    return kernels::kChunk - static_cast<std::size_t>((tokens_ + ahead) % kernels::kChunk);
  }
  /// (d_conv - 1, qkv_dim): the last raw inputs of the convolution of the index'th of the attention
  /// layers, oldest first.
  [[nodiscard]] float* qkv_conv(std::size_t index) noexcept {
    return at<float>(layout_.qkv_conv_offset()) + index * layout_.qkv_conv_size();
  }
  /// (d_conv - 1, d_model): the last inputs of the convolution of the index'th of the gated short
  /// convolutions, oldest first.
  [[nodiscard]] float* short_conv(std::size_t index) noexcept {
    return at<float>(layout_.short_conv_offset()) + index * layout_.short_conv_size();
  }
  /// The keys and values of the index'th of the attention layers: see layout().kv().
  [[nodiscard]] std::byte* kv(std::size_t index) noexcept {
    return at<std::byte>(layout_.kv_offset(index));
  }
  [[nodiscard]] const std::byte* kv(std::size_t index) const noexcept {
    return at<std::byte>(layout_.kv_offset(index));
  }

  /// Calls visit(std::span<std::byte>) for the parts that hold what layers remember, in the order
  /// of StateLayout::for_parts().
  template <class Visit>
  void for_parts(Visit visit) {
    layout_.for_parts(static_cast<std::size_t>(tokens_), rows(),
                      [&](std::size_t offset, std::size_t bytes) {
                        visit(std::span(arena_.data() + offset, bytes));
                      });
  }
  template <class Visit>
  void for_parts(Visit visit) const {
    layout_.for_parts(static_cast<std::size_t>(tokens_), rows(),
                      [&](std::size_t offset, std::size_t bytes) {
                        visit(std::span<const std::byte>(arena_.data() + offset, bytes));
                      });
  }

  [[nodiscard]] const StateLayout& layout() const noexcept { return layout_; }
  [[nodiscard]] StatePrecision precision() const noexcept { return layout_.options().precision; }

  /// Tokens read so far.
  [[nodiscard]] std::uint64_t tokens() const noexcept { return tokens_; }
  /// Tokens that there is room for, all together; 0: without limit, as there is no attention.
  [[nodiscard]] std::size_t context() const noexcept { return layout_.options().context; }
  /// Tokens that there is still room for.
  [[nodiscard]] std::size_t room() const noexcept {
    if (context() == 0) return std::numeric_limits<std::size_t>::max();
    return context() - static_cast<std::size_t>(tokens_);
  }
  /// So many more were read: last() is not known until new_last() has been written.
  void count(std::size_t tokens) noexcept {
    tokens_ += tokens;
    chunk_begin_ = std::max(chunk_begin_, tokens_ / kernels::kChunk * kernels::kChunk);
    has_last_ = false;
  }
  /// Takes up a sequence of so many tokens, the last `rows` of them those of the chunk at hand,
  /// whose parts are written next.
  void resume(std::uint64_t tokens, std::size_t rows) noexcept {
    reset();
    tokens_ = tokens;
    chunk_begin_ = tokens - rows;
  }

  /// (d_model): the last token's row after norm_f, of which the head makes the logits of the next.
  /// Empty where it is not known: nothing was read yet, or by no model (count()), or the state
  /// comes from a state file of version 1.
  [[nodiscard]] std::span<const float> last() const noexcept {
    return {at<float>(layout_.last_offset()), has_last_ ? layout_.last_size() : 0};
  }
  /// The same, to be written: from now on it is known.
  [[nodiscard]] std::span<float> new_last() noexcept {
    has_last_ = true;
    return {at<float>(layout_.last_offset()), layout_.last_size()};
  }

  /// Back to the empty sequence.
  void reset() noexcept {
    std::memset(arena_.data(), 0, layout_.fixed_bytes());
    forget_tokens(0);
    tokens_ = chunk_begin_ = 0;
    has_last_ = false;
  }

  /// Back to the first `tokens` tokens; last() is not known then. Costs what the others took, not
  /// what stays. Errors: unsupported, where a layer remembers more than keys and values (Mamba-2, a
  /// convolution): copy the State before, to come back to it; invalid_argument, for
  /// more tokens than there are.
  [[nodiscard]] Result<void> rewind(std::uint64_t tokens) {
    if (!layout_.can_rewind()) {
      return Error{ErrorCode::unsupported,
                   "rewind: the layers must be attention or MLPs; a copy of the state comes back "
                   "to earlier tokens with any"};
    }
    if (tokens > tokens_) {
      return Error{
          ErrorCode::invalid_argument,
          detail::concat("rewind: the tokens must be at most ", tokens_, ", found ", tokens)};
    }
    forget_tokens(static_cast<std::size_t>(tokens));
    has_last_ = has_last_ && tokens == tokens_;
    tokens_ = tokens;
    return {};
  }

  /// Whether both belong to models of the same shape, and are stored alike.
  [[nodiscard]] bool same_shape(const State& other) const noexcept {
    return layout_ == other.layout_;
  }

  /// Whether it belongs to a model of this shape.
  [[nodiscard]] bool fits(const Config& config) const noexcept {
    return layout_ == StateLayout(config, layout_.options());
  }

  /// Bytes of memory that it takes.
  [[nodiscard]] std::size_t bytes() const noexcept { return arena_.size(); }
  /// Of these, the bytes that tokens are in.
  [[nodiscard]] std::size_t used_bytes() const noexcept {
    return layout_.used_bytes(static_cast<std::size_t>(tokens_));
  }
  /// Bytes of a State for a model of this shape.
  [[nodiscard]] static std::size_t bytes(const Config& config,
                                         const StateOptions& options = {}) noexcept {
    return StateLayout(config, options).bytes();
  }

 private:
  State(const StateLayout& layout, Arena arena) : arena_(std::move(arena)), layout_(layout) {}
  State(const State& other, Arena arena) : State(other.layout_, std::move(arena)) { take(other); }

  template <class T>
  [[nodiscard]] T* at(std::size_t offset) const noexcept {
    return reinterpret_cast<T*>(arena_.data() + offset);
  }

  /// Becomes what a state of the same shape is.
  void take(const State& other) noexcept {
    const auto tokens = static_cast<std::size_t>(other.tokens_);
    forget_tokens(tokens);
    std::memcpy(arena_.data(), other.arena_.data(), layout_.fixed_bytes());
    for (std::size_t i = 0; i < layout_.kv_count(); ++i) {
      layout_.kv().for_parts(tokens, [&](std::size_t offset, std::size_t bytes) {
        std::memcpy(kv(i) + offset, other.kv(i) + offset, bytes);
      });
    }
    tokens_ = other.tokens_;
    chunk_begin_ = other.chunk_begin_;
    has_last_ = other.has_last_;
  }

  /// Keys and values of all tokens but the first `tokens` are gone.
  void forget_tokens(std::size_t tokens) noexcept {
    for (std::size_t i = 0; i < layout_.kv_count() && tokens < tokens_; ++i) {
      kernels::forget(layout_.kv(), kv(i), tokens, static_cast<std::size_t>(tokens_));
    }
  }

  Arena arena_;
  StateLayout layout_;
  bool has_last_ = false;
  std::uint64_t tokens_ = 0;
  std::uint64_t chunk_begin_ = 0;  // tokens before the chunk at hand
};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
