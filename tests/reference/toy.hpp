// SPDX-License-Identifier: Apache-2.0
// A model so small that every number of it can be checked by hand; its weights are a formula.
#pragma once

#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/layers/config.hpp"
#include "tests/reference/checkpoint.hpp"
#include "tests/reference/mamba2_reference.hpp"

namespace reference {

/// Two blocks of four heads in two groups; ten tokens, padded to a vocabulary of sixteen.
inline Config toy_config() {
  Config config;
  config.d_model = 8;
  config.n_layer = 2;
  config.vocab_size = 16;
  config.d_inner = config.d_ssm = 16;
  config.headdim = 4;
  config.d_state = 4;
  config.ngroups = 2;
  return config;
}

/// Element i of tensor number t is offset + scale * sin(0.7 t + 1.3 + 0.61 i + 0.013 i^2), the
/// tensors counted in the order of the network. In double: not exact in float.
inline Weights toy_weights() {
  struct Fill {
    std::string_view ending;
    double scale, offset;
  };
  // The first ending that fits: the gated norm's fill is that of the other norms.
  static constexpr Fill kFills[] = {
      {"embedding", 1.0, 0.0},       {"norm.weight", 0.2, 1.0},   {"norm_f.weight", 0.2, 1.0},
      {"in_proj.weight", 0.6, 0.0},  {"conv1d.weight", 0.5, 0.0}, {"conv1d.bias", 0.1, 0.0},
      {"dt_bias", 0.8, -1.0},        {"A_log", 0.7, 0.5},         {"D", 0.5, 1.0},
      {"out_proj.weight", 0.5, 0.0},
  };
  const Config config = toy_config();
  Weights weights;
  weights.blocks.resize(config.n_layer);
  double t = 0.0;
  for_each_tensor(config, weights, "embedding",
                  [&t](const std::string& name, std::vector<double>& values, const Shape& shape) {
                    const Fill* fill = kFills;
                    while (!std::string_view(name).ends_with(fill->ending)) ++fill;
                    values.resize(Tensor{"", shape, ""}.size());
                    for (std::size_t n = 0; n < values.size(); ++n) {
                      const double i = static_cast<double>(n);
                      values[n] = fill->offset +
                                  fill->scale * std::sin(0.7 * t + 1.3 + 0.61 * i + 0.013 * i * i);
                    }
                    t += 1.0;
                  });
  return weights;
}

/// Tokens to run it on.
inline std::vector<Token> toy_tokens() { return {1, 5, 9, 0, 3, 7}; }

}  // namespace reference
