// SPDX-License-Identifier: Apache-2.0
// Oracle: the MLPs of hybrid models, in double precision.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

#include "tests/reference/mamba2_reference.hpp"

namespace reference {

/// The shape and the tensors of an MLP, row-major; what a model does not have is empty.
struct Mlp {
  enum class Kind {
    swiglu,  ///< down(silu(gate u) * up u)
    relu2,   ///< down(max(up u, 0)^2)
    geglu,   ///< down(gelu(gate u) * up u)
    tanh,    ///< the same with the usual approximation of gelu, as a mistake
  };

  Kind kind = Kind::swiglu;
  std::size_t d_model = 0;
  std::size_t width = 0;
  bool has_bias = false;
  double gate_scale = 1.0;  ///< of what gate gives
  double out_scale = 1.0;   ///< of the output

  std::vector<double> gate, gate_bias;  ///< (width, d_model), its rows
  std::vector<double> up, up_bias;      ///< likewise
  std::vector<double> down, down_bias;  ///< (d_model, width), its rows
};

/// v Phi(v), with the distribution function of the normal distribution.
inline double gelu(double v) { return 0.5 * v * std::erfc(-v / std::sqrt(2.0)); }

inline double gelu_by_tanh(double v) {
  return 0.5 * v * (1.0 + std::tanh(0.7978845608028654 * (v + 0.044715 * v * v * v)));
}

/// The MLP on its normed input u (T, d_model). Returns (T, d_model).
inline std::vector<double> mlp(const Mlp& m, std::span<const double> u) {
  std::vector<double> inner = linear(m.up, m.up_bias, u, m.d_model);
  if (m.kind != Mlp::Kind::relu2) {
    const std::vector<double> gate = linear(m.gate, m.gate_bias, u, m.d_model);
    for (std::size_t i = 0; i < inner.size(); ++i) {
      const double v = m.gate_scale * gate[i];
      inner[i] *= m.kind == Mlp::Kind::swiglu  ? silu(v)
                  : m.kind == Mlp::Kind::geglu ? gelu(v)
                                               : gelu_by_tanh(v);
    }
  } else {
    for (double& value : inner) value = std::max(value, 0.0) * std::max(value, 0.0);
  }
  std::vector<double> out = linear(m.down, m.down_bias, inner, m.width);
  for (double& value : out) value *= m.out_scale;
  return out;
}

}  // namespace reference
