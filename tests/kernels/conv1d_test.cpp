// SPDX-License-Identifier: Apache-2.0
#include "mamba2/kernels/conv1d.hpp"

#include <doctest/doctest.h>

#include "tests/reference/compare.hpp"
#include "tests/reference/random_weights.hpp"

using mamba2::MutableRows;
using reference::max_abs_difference;
using reference::to_double;
using reference::to_float;

namespace {

/// A config whose convolution has n channels: one state value, and the rest x.
mamba2::Config channels(std::size_t n, std::size_t d_conv) {
  mamba2::Config config;
  config.d_state = 1;
  config.ngroups = 1;
  config.d_ssm = n - 2;
  config.d_conv = d_conv;
  return config;
}

}  // namespace

TEST_CASE("causal_conv1d agrees with the oracle: taps, sizes, prompts shorter than the filter") {
  for (const std::size_t d_conv : std::vector<std::size_t>{1, 2, 4, 5}) {
    for (const std::size_t n : std::vector<std::size_t>{3, 17, 64}) {
      for (const std::size_t tokens : std::vector<std::size_t>{1, 2, 3, 4, 9}) {
        CAPTURE(d_conv);
        CAPTURE(n);
        CAPTURE(tokens);
        reference::Random random(n * 100 + tokens);
        reference::BlockWeights w;
        w.conv_weight = to_double(to_float(random.normals(n * d_conv, 0.0, 0.5)));
        w.conv_bias = to_double(to_float(random.normals(n, 0.0, 0.2)));
        const auto x = to_float(random.normals(tokens * n, 0.0, 1.0));
        auto state = to_float(random.normals((d_conv - 1) * n, 0.0, 1.0));

        auto expected_state = to_double(state);
        const auto expected =
            reference::causal_conv1d(channels(n, d_conv), w, to_double(x), expected_state);

        std::vector<float> taps(n * d_conv);
        for (std::size_t k = 0; k < d_conv; ++k) {
          for (std::size_t c = 0; c < n; ++c) {
            taps[k * n + c] = static_cast<float>(w.conv_weight[c * d_conv + k]);
          }
        }
        const auto bias = to_float(w.conv_bias);
        // In two parts, as panels of channels come.
        std::vector<float> out = x;
        const MutableRows rows(out.data(), tokens, n);
        const mamba2::kernels::Conv1d conv = {taps.data(), bias.data(), n, d_conv};
        mamba2::kernels::causal_conv1d(conv, 0, rows.columns(0, 2), state.data());
        mamba2::kernels::causal_conv1d(conv, 2, rows.columns(2, n - 2), state.data());
        CHECK(max_abs_difference(out, expected) < 1e-6);
        CHECK(to_double(state) == expected_state);
      }
    }
  }
}
