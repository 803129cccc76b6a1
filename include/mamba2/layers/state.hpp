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
#include "mamba2/layers/reach.hpp"
#include "mamba2/layers/state_layout.hpp"
#include "mamba2/layers/windows.hpp"

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
    return windows().window(layout_.conv(), index);
  }
  [[nodiscard]] const float* conv(std::size_t index) const noexcept {
    return windows().window(layout_.conv(), index);
  }
  /// (d_conv - 1, qkv_dim): likewise, of the index'th of the attention layers.
  [[nodiscard]] float* qkv_conv(std::size_t index) noexcept {
    return windows().window(layout_.qkv_conv(), index);
  }
  /// (d_conv - 1, d_model): likewise, of the index'th of the gated short convolutions.
  [[nodiscard]] float* short_conv(std::size_t index) noexcept {
    return windows().window(layout_.short_conv(), index);
  }
  /// Where tokens can be taken back: calls write(t, to) for the inputs of a convolution that are to
  /// be kept for that, those of the last of `tokens` tokens to come, to (cols). of:
  /// layout().conv(), say.
  template <class Write>
  void keep_each(const WindowLayout& of, std::size_t index, std::size_t tokens,
                 Write write) noexcept {
    if (layout_.options().rewind == 0) return;
    const std::size_t rows = of.rows + layout_.options().rewind;
    for (std::size_t t = tokens - std::min(tokens, rows); t < tokens; ++t) {
      write(t, windows().past(of, index, this->tokens() + t));
    }
  }
  /// The same for the channels [first, first + x.cols), which are there: x (tokens, x.cols).
  void keep(const WindowLayout& of, std::size_t index, std::size_t first, ConstRows x) noexcept {
    keep_each(of, index, x.rows,
              [&](std::size_t t, float* to) { std::copy_n(x[t], x.cols, to + first); });
  }

  /// (nheads, d_state, headdim): the SSM state of the index'th of the Mamba-2 layers after base()
  /// tokens. Element is float, or std::uint16_t for the bits of FP16: whatever precision() says.
  template <class Element = float>
  [[nodiscard]] Element* ssm(std::size_t index) noexcept {
    return at<Element>(layout_.ssm_offset()) + index * layout_.ssm_size();
  }
  template <class Element = float>
  [[nodiscard]] const Element* ssm(std::size_t index) const noexcept {
    return at<Element>(layout_.ssm_offset()) + index * layout_.ssm_size();
  }
  /// The same shape: see StateLayout::ahead_offset().
  template <class Element = float>
  [[nodiscard]] Element* ssm_ahead() noexcept {
    return at<Element>(layout_.ahead_offset());
  }
  /// Tokens that ssm() has; of the others the rows are in chunk(). base(tokens): what it will be
  /// when so many tokens more have been read.
  [[nodiscard]] std::uint64_t base() const noexcept { return reach_.base(); }
  [[nodiscard]] std::uint64_t base(std::size_t tokens) const noexcept {
    return reach_.base(tokens);
  }
  /// How many tokens these are.
  [[nodiscard]] std::uint64_t rows() const noexcept {
    return layout_.has_chunks() ? tokens() - base() : 0;
  }
  /// What the index'th of the Mamba-2 layers has of the number'th chunk of all.
  [[nodiscard]] ChunkMemory chunk(std::size_t index, std::uint64_t number) noexcept {
    return layout_.chunk(arena_.data(), index, number);
  }
  /// Whether how the rows of chunks decay has to be computed anew: since one was read, tokens were
  /// taken back, or it was taken up.
  [[nodiscard]] bool is_rewound() const noexcept { return is_rewound_; }
  /// The keys and values of the index'th of the attention layers: see layout().kv().
  [[nodiscard]] std::byte* kv(std::size_t index) noexcept {
    return at<std::byte>(layout_.kv_offset(index));
  }
  [[nodiscard]] const std::byte* kv(std::size_t index) const noexcept {
    return at<std::byte>(layout_.kv_offset(index));
  }

  /// Calls visit(std::span<const std::byte>) for the parts that hold what layers remember, in the
  /// order of StateLayout::for_parts().
  template <class Visit>
  void for_parts(Visit visit) const {
    layout_.for_parts(tokens(), base(), [&](std::size_t offset, std::size_t bytes) {
      visit(std::span<const std::byte>(arena_.data() + offset, bytes));
    });
  }

  [[nodiscard]] const StateLayout& layout() const noexcept { return layout_; }
  [[nodiscard]] StatePrecision precision() const noexcept { return layout_.options().precision; }

  /// Tokens read so far.
  [[nodiscard]] std::uint64_t tokens() const noexcept { return reach_.tokens(); }
  /// Tokens that there is room for, all together; 0: without limit, as there is no attention.
  [[nodiscard]] std::size_t context() const noexcept { return layout_.options().context; }
  /// Tokens that there is still room for.
  [[nodiscard]] std::size_t room() const noexcept {
    if (context() == 0) return std::numeric_limits<std::size_t>::max();
    return context() - static_cast<std::size_t>(tokens());
  }
  /// So many are going to be read, by one call or several of count(): the last of them, at most
  /// StateOptions::rewind, can be taken back then.
  void expect(std::size_t tokens) noexcept { reach_.expect(tokens); }
  /// What has been read stays. Of what is read from here on, by whatever number of calls, the last
  /// StateOptions::rewind tokens can be taken back, until this is called again. Without it, those
  /// of the last call can.
  void settle() noexcept { reach_.settle(); }
  /// So many more were read: last() is not known until new_last() has been written.
  void count(std::size_t tokens) noexcept {
    reach_.count(tokens);
    has_last_ = is_rewound_ = false;
  }
  /// Takes up a sequence of so many tokens, of which ssm() has the first `base`: for_parts() is to
  /// be written next, and then resumed() to be called.
  void resume(std::uint64_t tokens, std::uint64_t base) noexcept {
    reset();
    reach_.resume(tokens, base);
    is_rewound_ = true;
  }
  [[nodiscard]] std::byte* memory() noexcept { return arena_.data(); }
  void resumed() noexcept { windows().keep(tokens()); }

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
    reach_.resume(0, 0);
    has_last_ = is_rewound_ = false;
  }

  /// The last so many tokens can be taken back: any number where no layer remembers more than keys
  /// and values; else at least those of the last call that read some, or since settle(), but no
  /// more than StateOptions::rewind.
  [[nodiscard]] std::uint64_t rewindable() const noexcept {
    return layout_.can_rewind() ? tokens() : tokens() - reach_.least();
  }
  /// Back to the first `tokens` tokens, as if the others had never been read; but last() is not
  /// known then. Costs what the others took, not what stays. Errors: unsupported, where the last
  /// tokens cannot be taken back; invalid_argument, for more tokens than there are.
  [[nodiscard]] Result<void> rewind(std::uint64_t tokens) {
    if (tokens > this->tokens()) {
      return Error{ErrorCode::invalid_argument,
                   detail::concat("rewind: the tokens must be at most ", this->tokens(), ", found ",
                                  tokens)};
    }
    if (this->tokens() - tokens > rewindable()) {
      return Error{ErrorCode::unsupported,
                   detail::concat("rewind: ", rewindable(), " tokens can be taken back, found ",
                                  this->tokens() - tokens,
                                  "; SessionOptions::rewind says how many, and a copy of the state "
                                  "comes back to earlier ones")};
    }
    if (tokens == this->tokens()) return {};
    forget_tokens(static_cast<std::size_t>(tokens));
    windows().go_back(tokens);
    has_last_ = false;
    is_rewound_ = true;
    reach_.go_back(tokens);
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
    return layout_.used_bytes(static_cast<std::size_t>(tokens()));
  }
  /// Bytes of a State for a model of this shape.
  [[nodiscard]] static std::size_t bytes(const Config& config,
                                         const StateOptions& options = {}) noexcept {
    return StateLayout(config, options).bytes();
  }

 private:
  State(const StateLayout& layout, Arena arena)
      : arena_(std::move(arena)), layout_(layout), reach_(layout.options().rewind) {}
  State(const State& other, Arena arena) : State(other.layout_, std::move(arena)) { take(other); }

  template <class T>
  [[nodiscard]] T* at(std::size_t offset) const noexcept {
    return reinterpret_cast<T*>(arena_.data() + offset);
  }

  [[nodiscard]] Windows windows() const noexcept { return {arena_.data(), layout_}; }

  /// Becomes what a state of the same shape is.
  void take(const State& other) noexcept {
    const auto tokens = static_cast<std::size_t>(other.tokens());
    forget_tokens(tokens);
    std::memcpy(arena_.data(), other.arena_.data(), layout_.fixed_bytes());
    for (std::size_t i = 0; i < layout_.kv_count(); ++i) {
      layout_.kv().for_parts(tokens, [&](std::size_t offset, std::size_t bytes) {
        std::memcpy(kv(i) + offset, other.kv(i) + offset, bytes);
      });
    }
    reach_ = other.reach_;
    is_rewound_ = other.is_rewound_;
    has_last_ = other.has_last_;
  }

  /// Keys and values of all tokens but the first `tokens` are gone.
  void forget_tokens(std::size_t tokens) noexcept {
    for (std::size_t i = 0; i < layout_.kv_count() && tokens < this->tokens(); ++i) {
      kernels::forget(layout_.kv(), kv(i), tokens, static_cast<std::size_t>(this->tokens()));
    }
  }

  Arena arena_;
  StateLayout layout_;
  Reach reach_;
  bool has_last_ = false;
  bool is_rewound_ = false;
};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
