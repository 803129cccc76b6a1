// SPDX-License-Identifier: Apache-2.0
// The depthwise causal convolution over time, with its SiLU.
#pragma once

#include <array>
#include <cstddef>
#include <type_traits>

#include "mamba2/core/views.hpp"
#include "mamba2/kernels/activations.hpp"
#include "mamba2/kernels/unroll.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels {

/// One filter per channel.
struct Conv1d {
  static constexpr std::size_t kMaxTaps = 64;  // as Config::validate() allows

  const float* weight;  ///< (d_conv, conv_dim): tap by tap; the last tap meets the current input
  const float* bias;    ///< (conv_dim), zeros where the model has none
  std::size_t conv_dim;
  std::size_t d_conv;    ///< at most kMaxTaps
  bool has_silu = true;  ///< silu() of the sums; otherwise these themselves
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

/// The convolution with kTaps taps for the register of channels at `channel`: filter and inputs of
/// an output are in registers. input(t): the channels of the t'th of so many tokens; output(t, sum)
/// takes the t'th sum, and may write where input(t) reads.
template <std::size_t kTaps, class Lanes, class Input, class Output>
MAMBA2_INLINE inline void convolve_in_registers(const Conv1d& conv, std::size_t channel,
                                                std::size_t tokens, const Lanes& lanes,
                                                float* state, Input input, Output output) noexcept {
  Floats weight[kTaps];
  Floats inputs[kTaps];  // of the output at hand, oldest first
  const Floats bias = lanes.load(conv.bias + channel);
  unroll<kTaps>([&](auto k) MAMBA2_INLINE {
    weight[k] = lanes.load(conv.weight + k * conv.conv_dim + channel);
    if constexpr (k > 0) inputs[k] = lanes.load(state + (k - 1) * conv.conv_dim + channel);
  });
  for (std::size_t t = 0; t < tokens; ++t) {
    unroll<kTaps - 1>([&](auto k) MAMBA2_INLINE { inputs[k] = inputs[k + 1]; });
    inputs[kTaps - 1] = input(t);
    Floats sum = bias;
    unroll<kTaps>([&](auto k) MAMBA2_INLINE { sum = multiply_add(weight[k], inputs[k], sum); });
    output(t, sum);
  }
  unroll<kTaps - 1>([&](auto k) MAMBA2_INLINE {
    lanes.store(inputs[k + 1], state + k * conv.conv_dim + channel);
  });
}

/// The same with conv.d_conv taps. On its own, for the sake of the stack: what it keeps there is up
/// to 4 KB.
template <class Lanes, class Input, class Output>
[[gnu::noinline]] void convolve_channels(const Conv1d& conv, std::size_t channel,
                                         std::size_t tokens, const Lanes& lanes, float* state,
                                         Input input, Output output) noexcept {
  const std::size_t past = conv.d_conv - 1;
  // The i-th input, counted from the oldest one that is remembered.
  const auto any_input = [&](std::size_t i) {
    return i < past ? lanes.load(state + i * conv.conv_dim + channel) : input(i - past);
  };
  std::array<Floats, Conv1d::kMaxTaps - 1> remembered;
  for (std::size_t k = 0; k < past; ++k) remembered[k] = any_input(tokens + k);
  // Backwards: an output may take the place of its input, which only later outputs need.
  for (std::size_t t = tokens; t-- > 0;) {
    Floats sum = lanes.load(conv.bias + channel);
    for (std::size_t k = 0; k <= past; ++k) {
      sum = multiply_add(lanes.load(conv.weight + k * conv.conv_dim + channel), any_input(t + k),
                         sum);
    }
    output(t, sum);
  }
  for (std::size_t k = 0; k < past; ++k) {
    lanes.store(remembered[k], state + k * conv.conv_dim + channel);
  }
}

/// x[t][c] = silu(bias[c] + sum_k weight[k][c] * x[t - (d_conv-1) + k][c]), in place, for the
/// channels [first, first + x.cols) of the convolution. x (tokens, x.cols). state
/// (d_conv - 1, conv_dim), oldest first: the raw inputs before x[0]; afterwards those before the
/// token that follows.
[[gnu::flatten]] inline void causal_conv1d(const Conv1d& shared, std::size_t first, MutableRows x,
                                           float* state) noexcept {
  constexpr std::size_t kUsualTaps = 4;  // of every published model
  // Copies, here and below: of what others see, too, the compiler thinks that stores may change it,
  // and loads it again.
  const Conv1d conv = shared;
  const auto convolve_with = [&](auto usual, auto finish) MAMBA2_INLINE {
    for_each_vector(x.cols, [&](std::size_t c, auto lanes) {
      const auto input = [=](std::size_t t) MAMBA2_INLINE { return lanes.load(x[t] + c); };
      const auto output = [=](std::size_t t, const Floats& sum)
                              MAMBA2_INLINE { lanes.store(finish(sum), x[t] + c); };
      if constexpr (usual) {
        convolve_in_registers<kUsualTaps>(conv, first + c, x.rows, lanes, state, input, output);
      } else {
        convolve_channels(conv, first + c, x.rows, lanes, state, input, output);
      }
    });
  };
  const auto convolve = [&](auto finish) MAMBA2_INLINE {
    if (conv.d_conv == kUsualTaps) {
      convolve_with(std::true_type(), finish);
    } else {
      convolve_with(std::false_type(), finish);
    }
  };
  if (conv.has_silu) {
    convolve([](const Floats& sum) MAMBA2_INLINE { return silu(sum); });
  } else {
    convolve([](const Floats& sum) MAMBA2_INLINE { return sum; });
  }
}

}  // namespace kernels
}  // namespace MAMBA2_ISA
}  // namespace mamba2
