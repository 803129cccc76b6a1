// SPDX-License-Identifier: Apache-2.0
// The memory of one sequence, as a value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>

#include "mamba2/core/arena.hpp"
#include "mamba2/core/views.hpp"
#include "mamba2/layers/config.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// How the SSM state is stored. Arithmetic is FP32 either way.
enum class StatePrecision : std::uint8_t {
  fp32,
  fp16,  ///< half the memory and the traffic; values beyond 65504 are kept at that
};

/// All that a model remembers of the tokens it has read, and what the logits of the next one are
/// made of: its size does not depend on their number. Copying a State forks the sequence. A new
/// State is that of an empty sequence: zeros.
class State {
 public:
  /// memory: for it, of the application's: bytes() that start on a multiple of 64 and outlive it.
  /// Errors: out_of_memory; invalid_argument, for memory that is too small or not aligned.
  [[nodiscard]] static Result<State> create(const Config& config,
                                            StatePrecision precision = StatePrecision::fp32,
                                            std::span<std::byte> memory = {}) {
    Result<Arena> arena = Arena::create(bytes(config, precision), memory, "state");
    if (!arena) return std::move(arena).error();
    return State(config, precision, *std::move(arena));
  }

  State(State&&) noexcept = default;
  State& operator=(State&&) noexcept = default;
  /// A copy takes as much memory again; where there is none, this fails as Result::value() does.
  State(const State& other) : State(other, Arena::create(other.arena_.size()).value()) {}
  /// Allocates nothing if both are of the same shape.
  State& operator=(const State& other) {
    if (!same_shape(other)) return *this = State(other);
    if (this != &other) std::memcpy(arena_.data(), other.arena_.data(), arena_.size());
    tokens_ = other.tokens_;
    has_last_ = other.has_last_;
    return *this;
  }
  ~State() = default;
  /// As the copy constructor. Error: out_of_memory.
  [[nodiscard]] Result<State> copy() const {
    Result<Arena> arena = Arena::create(arena_.size());
    if (!arena) return std::move(arena).error();
    return State(*this, *std::move(arena));
  }

  /// (d_conv - 1, conv_dim): the last raw inputs of a layer's convolution, oldest first.
  [[nodiscard]] float* conv(std::size_t layer) noexcept {
    return reinterpret_cast<float*>(arena_.data()) + layer * conv_size_;
  }
  [[nodiscard]] const float* conv(std::size_t layer) const noexcept {
    return reinterpret_cast<const float*>(arena_.data()) + layer * conv_size_;
  }
  /// (nheads, d_state, headdim): a layer's SSM state. Element is float, or std::uint16_t for the
  /// bits of FP16: whatever precision() says.
  template <class Element = float>
  [[nodiscard]] Element* ssm(std::size_t layer) noexcept {
    return reinterpret_cast<Element*>(arena_.data() + ssm_offset_) + layer * ssm_size_;
  }
  template <class Element = float>
  [[nodiscard]] const Element* ssm(std::size_t layer) const noexcept {
    return reinterpret_cast<const Element*>(arena_.data() + ssm_offset_) + layer * ssm_size_;
  }

  [[nodiscard]] StatePrecision precision() const noexcept { return precision_; }

  /// Tokens read so far.
  [[nodiscard]] std::uint64_t tokens() const noexcept { return tokens_; }
  /// So many more were read: last() is not known until new_last() has been written.
  void count(std::size_t tokens) noexcept {
    tokens_ += tokens;
    has_last_ = false;
  }

  /// (d_model): the last token's row after norm_f, of which the head makes the logits of the next.
  /// Empty where it is not known: nothing was read yet, or by no model (count()), or the state
  /// comes from a state file of version 1.
  [[nodiscard]] std::span<const float> last() const noexcept {
    return {reinterpret_cast<const float*>(arena_.data() + last_offset_),
            has_last_ ? last_size_ : 0};
  }
  /// The same, to be written: from now on it is known.
  [[nodiscard]] std::span<float> new_last() noexcept {
    has_last_ = true;
    return {reinterpret_cast<float*>(arena_.data() + last_offset_), last_size_};
  }

  /// Back to the empty sequence.
  void reset() noexcept {
    std::memset(arena_.data(), 0, arena_.size());
    tokens_ = 0;
    has_last_ = false;
  }

  /// Whether both belong to models of the same shape, and are stored alike.
  [[nodiscard]] bool same_shape(const State& other) const noexcept {
    return conv_size_ == other.conv_size_ && ssm_size_ == other.ssm_size_ &&
           ssm_offset_ == other.ssm_offset_ && precision_ == other.precision_ &&
           arena_.size() == other.arena_.size();
  }

  /// Whether it belongs to a model of this shape.
  [[nodiscard]] bool fits(const Config& config) const noexcept {
    return conv_size_ == conv_size(config) && ssm_size_ == config.d_ssm * config.d_state &&
           ssm_offset_ == ssm_offset(config) && arena_.size() == bytes(config, precision_);
  }

  /// Bytes of memory that it takes.
  [[nodiscard]] std::size_t bytes() const noexcept { return arena_.size(); }
  /// Bytes of a State for a model of this shape.
  [[nodiscard]] static std::size_t bytes(const Config& config,
                                         StatePrecision precision = StatePrecision::fp32) noexcept {
    return last_offset(config, precision) + config.d_model * sizeof(float);
  }

 private:
  State(const Config& config, StatePrecision precision, Arena arena)
      : arena_(std::move(arena)),
        conv_size_(conv_size(config)),
        ssm_size_(config.d_ssm * config.d_state),
        last_size_(config.d_model),
        ssm_offset_(ssm_offset(config)),
        last_offset_(last_offset(config, precision)),
        precision_(precision) {}
  State(const State& other, Arena arena)
      : arena_(std::move(arena)),
        conv_size_(other.conv_size_),
        ssm_size_(other.ssm_size_),
        last_size_(other.last_size_),
        ssm_offset_(other.ssm_offset_),
        last_offset_(other.last_offset_),
        precision_(other.precision_),
        has_last_(other.has_last_),
        tokens_(other.tokens_) {
    std::memcpy(arena_.data(), other.arena_.data(), arena_.size());
  }

  [[nodiscard]] static std::size_t conv_size(const Config& config) noexcept {
    return (config.d_conv - 1) * config.conv_dim();
  }
  [[nodiscard]] static std::size_t ssm_offset(const Config& config) noexcept {
    return detail::round_up(config.n_layer * conv_size(config) * sizeof(float), Carver::kAlignment);
  }
  [[nodiscard]] static std::size_t last_offset(const Config& config,
                                               StatePrecision precision) noexcept {
    const std::size_t element = precision == StatePrecision::fp16 ? 2 : 4;
    const std::size_t ssm = config.n_layer * config.d_ssm * config.d_state * element;
    return detail::round_up(ssm_offset(config) + ssm, Carver::kAlignment);
  }

  Arena arena_;  // conv of all layers, then ssm of all layers, then last
  std::size_t conv_size_;
  std::size_t ssm_size_;
  std::size_t last_size_;
  std::size_t ssm_offset_;
  std::size_t last_offset_;
  StatePrecision precision_;
  bool has_last_ = false;
  std::uint64_t tokens_ = 0;
};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
