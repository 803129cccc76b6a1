// SPDX-License-Identifier: Apache-2.0
// Oracle: the gated short convolution, in double precision.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "tests/reference/causal_conv.hpp"
#include "tests/reference/mamba2_reference.hpp"

namespace reference {

/// The shape and the tensors of a gated short convolution, row-major; what a model does not have is
/// empty.
struct ShortConv {
  std::size_t d_model = 0;
  std::size_t d_conv = 0;  ///< taps
  bool has_bias = false;

  std::vector<double> in, in_bias;      ///< (3 d_model, d_model), its rows: b | c | x
  std::vector<double> conv, conv_bias;  ///< (d_model, d_conv), its rows
  std::vector<double> out, out_bias;    ///< (d_model, d_model), its rows
};

/// What it remembers of the tokens so far.
struct ShortConvState {
  std::vector<double> conv;  ///< (d_conv - 1, d_model): inputs of the convolution

  explicit ShortConvState(const ShortConv& s) : conv((s.d_conv - 1) * s.d_model) {}
};

/// The mixer on its normed input u (T, d_model): out(c * conv(b * x)). Returns (T, d_model); the
/// state moves on by T tokens.
inline std::vector<double> short_conv(const ShortConv& s, std::span<const double> u,
                                      ShortConvState& state) {
  const std::size_t d = s.d_model;
  const std::vector<double> bcx = linear(s.in, s.in_bias, u, d);
  std::vector<double> v = columns(bcx, 3 * d, 0, d);
  const std::vector<double> c = columns(bcx, 3 * d, d, d);
  const std::vector<double> x = columns(bcx, 3 * d, 2 * d, d);
  for (std::size_t i = 0; i < v.size(); ++i) v[i] *= x[i];
  v = causal_conv(s.conv, s.conv_bias, s.d_conv, v, state.conv);
  for (std::size_t i = 0; i < v.size(); ++i) v[i] *= c[i];
  return linear(s.out, s.out_bias, v, d);
}

}  // namespace reference
