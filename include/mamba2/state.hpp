// SPDX-License-Identifier: Apache-2.0
// The memory of one sequence, as a value.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "mamba2/config.hpp"

namespace mamba2::inline MAMBA2_ISA {

/// All that a model remembers of the tokens it has read: its size does not depend on their number.
/// Copying a State forks the sequence. A new State is that of an empty sequence: zeros.
class State {
 public:
  explicit State(const Config& config)
      : conv_size_((config.d_conv - 1) * config.conv_dim()),
        ssm_size_(config.d_ssm * config.d_state),
        conv_(config.n_layer * conv_size_),
        ssm_(config.n_layer * ssm_size_) {}

  /// (d_conv - 1, conv_dim): the last raw inputs of a layer's convolution, oldest first.
  [[nodiscard]] float* conv(std::size_t layer) noexcept {
    return conv_.data() + layer * conv_size_;
  }
  [[nodiscard]] const float* conv(std::size_t layer) const noexcept {
    return conv_.data() + layer * conv_size_;
  }
  /// (nheads, headdim, d_state): a layer's SSM state.
  [[nodiscard]] float* ssm(std::size_t layer) noexcept { return ssm_.data() + layer * ssm_size_; }
  [[nodiscard]] const float* ssm(std::size_t layer) const noexcept {
    return ssm_.data() + layer * ssm_size_;
  }

  /// Tokens read so far.
  [[nodiscard]] std::uint64_t tokens() const noexcept { return tokens_; }
  void count(std::size_t tokens) noexcept { tokens_ += tokens; }

  /// Back to the empty sequence.
  void reset() noexcept {
    std::fill(conv_.begin(), conv_.end(), 0.0F);
    std::fill(ssm_.begin(), ssm_.end(), 0.0F);
    tokens_ = 0;
  }

  /// Whether both belong to models of the same shape.
  [[nodiscard]] bool same_shape(const State& other) const noexcept {
    return conv_size_ == other.conv_size_ && ssm_size_ == other.ssm_size_ &&
           conv_.size() == other.conv_.size() && ssm_.size() == other.ssm_.size();
  }

  /// Bytes of a State for a model of this shape.
  [[nodiscard]] static std::size_t bytes(const Config& config) noexcept {
    return config.n_layer * sizeof(float) *
           ((config.d_conv - 1) * config.conv_dim() + config.d_ssm * config.d_state);
  }

 private:
  std::size_t conv_size_;
  std::size_t ssm_size_;
  std::vector<float> conv_;
  std::vector<float> ssm_;
  std::uint64_t tokens_ = 0;
};

}  // namespace mamba2::inline MAMBA2_ISA
