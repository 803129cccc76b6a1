// SPDX-License-Identifier: Apache-2.0
// The depthwise causal convolution over time, with its SiLU.
#pragma once

#include <array>
#include <cstddef>

#include "mamba2/core/views.hpp"
#include "mamba2/kernels/activations.hpp"

namespace mamba2::inline MAMBA2_ISA::kernels {

/// One filter per channel.
struct Conv1d {
  static constexpr std::size_t kMaxTaps = 64;  // as Config::validate() allows

  const float* weight;  ///< (d_conv, conv_dim): tap by tap; the last tap meets the current input
  const float* bias;    ///< (conv_dim), zeros where the model has none
  std::size_t conv_dim;
  std::size_t d_conv;  ///< at most kMaxTaps
};

/// Asks for what causal_conv1d() is going to need of weights and state for these channels: short
/// pieces of many rows, for which it would wait otherwise.
inline void prefetch(const Conv1d& conv, std::size_t first, std::size_t channels,
                     const float* state) noexcept {
  const auto row = [&](const float* values) {
    constexpr std::size_t kLine = 64 / sizeof(float);
    for (std::size_t c = first; c < first + channels; c += kLine) prefetch<kIntoL2>(values + c);
  };
  for (std::size_t k = 0; k < conv.d_conv; ++k) row(conv.weight + k * conv.conv_dim);
  for (std::size_t k = 0; k + 1 < conv.d_conv; ++k) row(state + k * conv.conv_dim);
  row(conv.bias);
}

/// x[t][c] = silu(bias[c] + sum_k weight[k][c] * x[t - (d_conv-1) + k][c]), in place, for the
/// channels [first, first + x.cols) of the convolution. x (tokens, x.cols). state
/// (d_conv - 1, conv_dim), oldest first: the raw inputs before x[0]; afterwards those before the
/// token that follows.
inline void causal_conv1d(const Conv1d& conv, std::size_t first, MutableRows x,
                          float* state) noexcept {
  const std::size_t past = conv.d_conv - 1;
  for_each_vector(x.cols, [&](std::size_t c, auto lanes) {
    const std::size_t channel = first + c;
    // The i-th input, counted from the oldest one that is remembered.
    const auto input = [&](std::size_t i) {
      return lanes.load(i < past ? state + i * conv.conv_dim + channel : x[i - past] + c);
    };
    std::array<Floats, Conv1d::kMaxTaps - 1> remembered;
    for (std::size_t k = 0; k < past; ++k) remembered[k] = input(x.rows + k);
    // Backwards: an output may take the place of its input, which only later outputs need.
    for (std::size_t t = x.rows; t-- > 0;) {
      Floats sum = lanes.load(conv.bias + channel);
      for (std::size_t k = 0; k <= past; ++k) {
        sum =
            multiply_add(lanes.load(conv.weight + k * conv.conv_dim + channel), input(t + k), sum);
      }
      lanes.store(silu(sum), x[t] + c);
    }
    for (std::size_t k = 0; k < past; ++k) {
      lanes.store(remembered[k], state + k * conv.conv_dim + channel);
    }
  });
}

}  // namespace mamba2::inline MAMBA2_ISA::kernels
