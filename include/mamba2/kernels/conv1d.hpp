// SPDX-License-Identifier: Apache-2.0
// The depthwise causal convolution over time, with its SiLU.
#pragma once

#include <algorithm>
#include <cstddef>

#include "mamba2/core/views.hpp"
#include "mamba2/kernels/activations.hpp"

namespace mamba2::inline MAMBA2_ISA::kernels {

/// One filter per channel.
struct Conv1d {
  const float* weight;  ///< (d_conv, conv_dim): tap by tap; the last tap meets the current input
  const float* bias;    ///< (conv_dim), zeros where the model has none
  std::size_t d_conv;
};

/// out[t][c] = silu(bias[c] + sum_k weight[k][c] * x[t - (d_conv-1) + k][c]).
/// x, out (tokens, conv_dim), not the same memory. state (d_conv - 1, conv_dim), oldest first: the
/// raw inputs before x[0]; afterwards those before the token that follows.
inline void causal_conv1d(const Conv1d& conv, ConstRows x, float* state, MutableRows out) noexcept {
  const std::size_t n = x.cols;
  const std::size_t past = conv.d_conv - 1;
  for (std::size_t t = 0; t < x.rows; ++t) {
    std::copy_n(conv.bias, n, out[t]);
    for (std::size_t k = 0; k < conv.d_conv; ++k) {
      const float* input = t + k < past ? state + (t + k) * n : x[t + k - past];
      const float* weight = conv.weight + k * n;
      float* sum = out[t];
      for (std::size_t c = 0; c < n; ++c) sum[c] += weight[c] * input[c];
    }
    for (std::size_t c = 0; c < n; ++c) out[t][c] = silu(out[t][c]);
  }
  const std::size_t fresh = std::min(past, x.rows);
  std::copy(state + fresh * n, state + past * n, state);
  for (std::size_t i = 0; i < fresh; ++i) {
    std::copy_n(x[x.rows - fresh + i], n, state + (past - fresh + i) * n);
  }
}

}  // namespace mamba2::inline MAMBA2_ISA::kernels
