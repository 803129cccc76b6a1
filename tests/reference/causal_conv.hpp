// SPDX-License-Identifier: Apache-2.0
// Oracle: a causal depthwise convolution without activation, in double precision.
#pragma once

#include <cstddef>
#include <vector>

namespace reference {

/// What each channel of x (T, channels) gives with its own taps: weight (channels, taps), the last
/// tap meets the newest token; bias (channels) or empty. `window` (taps - 1, channels) holds the
/// inputs of the tokens before, oldest first, and moves on by T tokens. Returns (T, channels).
inline std::vector<double> causal_conv(const std::vector<double>& weight,
                                       const std::vector<double>& bias, std::size_t taps,
                                       const std::vector<double>& x, std::vector<double>& window) {
  const std::size_t channels = weight.size() / taps;
  std::vector<double> input = window;  // (taps - 1 + T, channels)
  input.insert(input.end(), x.begin(), x.end());
  std::vector<double> y(x.size());
  for (std::size_t i = 0; i < y.size(); ++i) {
    const std::size_t channel = i % channels;
    y[i] = bias.empty() ? 0.0 : bias[channel];
    for (std::size_t k = 0; k < taps; ++k) {
      y[i] += weight[channel * taps + k] * input[i + k * channels];
    }
  }
  window.assign(input.end() - static_cast<std::ptrdiff_t>(window.size()), input.end());
  return y;
}

}  // namespace reference
