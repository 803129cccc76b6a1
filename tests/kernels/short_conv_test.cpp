// SPDX-License-Identifier: Apache-2.0
#include "mamba2/kernels/short_conv.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <vector>

#include "tests/reference/causal_conv.hpp"
#include "tests/reference/compare.hpp"
#include "tests/reference/random_weights.hpp"

using mamba2::MutableRows;
using reference::max_abs_difference;
using reference::to_double;
using reference::to_float;

namespace short_conv_tests {
namespace {

/// Columns b | c | x, the convolution, and its window.
struct Problem {
  std::size_t taps, channels, tokens;
  std::vector<float> weight;  ///< (channels, taps)
  std::vector<float> bias;
  std::vector<float> bcx;    ///< (tokens, 3 channels)
  std::vector<float> state;  ///< (taps - 1, channels)

  Problem(std::size_t k, std::size_t n, std::size_t count) : taps(k), channels(n), tokens(count) {
    reference::Random random(n * 1000 + count * 10 + k);
    weight = to_float(random.normals(n * k, 0.0, 0.5));
    bias = to_float(random.normals(n, 0.0, 0.2));
    bcx = to_float(random.normals(count * 3 * n, 0.0, 1.0));
    state = to_float(random.normals((k - 1) * n, 0.0, 1.0));
  }

  /// The oracle; it moves `window` on.
  [[nodiscard]] std::vector<double> expected(std::vector<double>& window) const {
    std::vector<double> v;
    for (std::size_t t = 0; t < tokens; ++t) {
      for (std::size_t i = 0; i < channels; ++i) {
        const float* row = &bcx[t * 3 * channels];
        v.push_back(static_cast<double>(row[i]) * static_cast<double>(row[2 * channels + i]));
      }
    }
    auto y = reference::causal_conv(to_double(weight), to_double(bias), taps, v, window);
    for (std::size_t i = 0; i < y.size(); ++i) {
      const std::size_t row = i / channels;
      y[i] *= static_cast<double>(bcx[(row * 3 + 1) * channels + i % channels]);
    }
    return y;
  }

  /// The kernel on so many channels at a time.
  [[nodiscard]] std::vector<float> run(std::size_t at_a_time, std::vector<float>& window) const {
    std::vector<float> by_tap(weight.size());
    for (std::size_t i = 0; i < weight.size(); ++i) {
      by_tap[i % taps * channels + i / taps] = weight[i];
    }
    const mamba2::kernels::Conv1d conv = {by_tap.data(), bias.data(), channels, taps, false};
    std::vector<float> data = bcx;
    const MutableRows rows(data.data(), tokens, 3 * channels);
    const mamba2::kernels::GatedRows gated = {rows.columns(0, channels),
                                              rows.columns(channels, channels),
                                              rows.columns(2 * channels, channels)};
    for (std::size_t first = 0; first < channels; first += at_a_time) {
      const std::size_t count = std::min(at_a_time, channels - first);
      mamba2::kernels::gated_conv1d(conv, first, gated.part(0, tokens, first, count),
                                    window.data());
    }
    std::vector<float> y;
    for (std::size_t t = 0; t < tokens; ++t) {
      y.insert(y.end(), gated.c[t], gated.c[t] + channels);
    }
    return y;
  }
};

}  // namespace

TEST_CASE("gated_conv1d agrees with the oracle: taps, sizes, prompts shorter than the filter") {
  for (const std::size_t taps : std::vector<std::size_t>{1, 2, 3, 4, 64}) {
    for (const std::size_t channels : std::vector<std::size_t>{1, 3, 17, 64, 90}) {
      for (const std::size_t tokens : std::vector<std::size_t>{1, 2, 3, 9, 70}) {
        CAPTURE(taps);
        CAPTURE(channels);
        CAPTURE(tokens);
        const Problem problem(taps, channels, tokens);
        std::vector<double> expected_window = to_double(problem.state);
        const auto expected = problem.expected(expected_window);
        std::vector<float> window = problem.state;
        const auto found = problem.run(channels, window);
        // Each sum is rounded `taps` times, its terms once, the result once.
        const double unit = 6e-8 * static_cast<double>(taps + 2);
        CHECK(max_abs_difference(found, expected) < unit * 4.0 * reference::max_abs(expected));
        if (taps > 1) CHECK(max_abs_difference(window, expected_window) < 1e-6);
        // A channel at a time, and in panels of odd sizes: the same bits.
        for (const std::size_t at_a_time : std::vector<std::size_t>{1, 5, 33}) {
          std::vector<float> same = problem.state;
          CHECK(problem.run(at_a_time, same) == found);
          CHECK(same == window);
        }
      }
    }
  }
}

}  // namespace short_conv_tests
