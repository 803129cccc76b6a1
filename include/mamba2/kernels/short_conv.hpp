// SPDX-License-Identifier: Apache-2.0
// The depthwise causal convolution between two gates.
#pragma once

#include <cstddef>

#include "mamba2/core/views.hpp"
#include "mamba2/kernels/conv1d.hpp"
#include "mamba2/kernels/simd.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels {

/// What gated_conv1d() computes with. Each (tokens, channels).
struct GatedRows {
  MutableRows b;
  MutableRows c;  ///< later the result
  MutableRows x;

  /// The tokens [first, first + count), of which the channels [channel, channel + channels).
  [[nodiscard]] GatedRows part(std::size_t first, std::size_t count, std::size_t channel,
                               std::size_t channels) const {
    const auto of = [&](const MutableRows& rows) {
      return rows.middle(first, count).columns(channel, channels);
    };
    return {of(b), of(c), of(x)};
  }
  /// to = b * x of a token: what the convolution reads. to (channels).
  void input(std::size_t token, float* to) const {
    for_each_vector(x.cols, [&](std::size_t i, auto lanes) {
      lanes.store(lanes.load(b[token] + i) * lanes.load(x[token] + i), to + i);
    });
  }
};

/// c[t] *= bias + sum_k weight[k] * (b * x)[t - (d_conv-1) + k], for the channels
/// [first, first + rows.x.cols) of the convolution; conv.has_silu does not count. state
/// (d_conv - 1, conv_dim), oldest first: b * x of the tokens before; afterwards of those before the
/// token that follows.
[[gnu::flatten]] inline void gated_conv1d(const Conv1d& conv, std::size_t first,
                                          const GatedRows& rows, float* state) noexcept {
  constexpr std::size_t kUsualTaps = 3;  // of every published model
  for_each_vector(rows.x.cols, [&](std::size_t i, auto lanes) {
    const auto input = [&](std::size_t t) MAMBA2_INLINE {
      return lanes.load(rows.b[t] + i) * lanes.load(rows.x[t] + i);
    };
    const auto output = [&](std::size_t t, const Floats& sum) MAMBA2_INLINE {
      lanes.store(lanes.load(rows.c[t] + i) * sum, rows.c[t] + i);
    };
    if (conv.d_conv == kUsualTaps) {
      convolve_in_registers<kUsualTaps>(conv, first + i, rows.x.rows, lanes, state, input, output);
    } else {
      convolve_channels(conv, first + i, rows.x.rows, lanes, state, input, output);
    }
  });
}

}  // namespace kernels
}  // namespace MAMBA2_ISA
}  // namespace mamba2
