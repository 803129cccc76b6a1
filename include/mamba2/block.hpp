// SPDX-License-Identifier: Apache-2.0
// One Mamba-2 block: Mamba-2, arXiv 2405.21060.
#pragma once

#include <cstddef>

#include "mamba2/config.hpp"
#include "mamba2/core/arena.hpp"
#include "mamba2/core/views.hpp"
#include "mamba2/kernels/conv1d.hpp"
#include "mamba2/kernels/rms_norm.hpp"
#include "mamba2/kernels/scan.hpp"
#include "mamba2/state.hpp"
#include "mamba2/weights.hpp"

namespace mamba2::inline MAMBA2_ISA {

/// The activations of a batch of consecutive tokens on their way through a block. A row to a token.
struct Activations {
  MutableRows residual;  ///< (tokens, d_model): the running sum that blocks add to
  MutableRows u;         ///< (tokens, d_model): its norm; later the output of out_proj
  MutableRows zxbcdt;    ///< (tokens, d_in_proj): in_proj's output, z0 | x0 | z | x | B | C | dt
  MutableRows xBC;       ///< (tokens, conv_dim): x, B and C after the convolution
  MutableRows delta;     ///< (tokens, nheads): step sizes
  MutableRows y;         ///< (tokens, d_inner): out_proj's input, the MLP part first

  Activations(Carver& carver, const Config& c, std::size_t tokens)
      : residual(carver.take<float>(tokens * c.d_model), tokens, c.d_model),
        u(carver.take<float>(tokens * c.d_model), tokens, c.d_model),
        zxbcdt(carver.take<float>(tokens * c.d_in_proj()), tokens, c.d_in_proj()),
        xBC(carver.take<float>(tokens * c.conv_dim()), tokens, c.conv_dim()),
        delta(carver.take<float>(tokens * c.nheads()), tokens, c.nheads()),
        y(carver.take<float>(tokens * c.d_inner), tokens, c.d_inner) {}

  /// The same memory for fewer tokens.
  [[nodiscard]] Activations first(std::size_t tokens) const {
    Activations part = *this;
    for (MutableRows* rows :
         {&part.residual, &part.u, &part.zxbcdt, &part.xBC, &part.delta, &part.y}) {
      rows->rows = tokens;
    }
    return part;
  }
};

namespace detail {

/// y = x m^T + bias; bias (m.rows) may be nullptr.
template <WeightPolicy WeightT>
void project(const Matrix<WeightT>& m, const float* bias, ConstRows x, MutableRows y) {
  WeightT::multiply(m, x, y);
  if (bias == nullptr) return;
  for (std::size_t t = 0; t < y.rows; ++t) {
    for (std::size_t i = 0; i < y.cols; ++i) y[t][i] += bias[i];
  }
}

inline void add(MutableRows sum, ConstRows term) {
  for (std::size_t t = 0; t < sum.rows; ++t) {
    for (std::size_t i = 0; i < sum.cols; ++i) sum[t][i] += term[t][i];
  }
}

}  // namespace detail

/// The mixer: a.u (tokens, d_model) in and out. conv (d_conv - 1, conv_dim) and ssm
/// (nheads, headdim, d_state) are the state before the first token, and after the last.
template <WeightPolicy WeightT>
void mixer(const Config& c, const BlockWeights<WeightT>& w, float* conv, float* ssm,
           const Activations& a) {
  const std::size_t bc = c.ngroups * c.d_state;
  detail::project(w.in_proj, w.in_proj_bias, a.u, a.zxbcdt);
  const MutableRows z0 = a.zxbcdt.columns(0, c.d_mlp());
  const MutableRows x0 = a.zxbcdt.columns(c.d_mlp(), c.d_mlp());
  const MutableRows z = a.zxbcdt.columns(2 * c.d_mlp(), c.d_ssm);
  const MutableRows raw_xBC = a.zxbcdt.columns(2 * c.d_mlp() + c.d_ssm, c.conv_dim());
  const MutableRows dt = a.zxbcdt.columns(c.d_in_proj() - c.nheads(), c.nheads());

  kernels::causal_conv1d({w.conv_weight, w.conv_bias, c.d_conv}, raw_xBC, conv, a.xBC);
  const MutableRows x = a.xBC.columns(0, c.d_ssm);
  const MutableRows B = a.xBC.columns(c.d_ssm, bc);
  const MutableRows C = a.xBC.columns(c.d_ssm + bc, bc);

  const kernels::Ssm constants = {c.nheads(), c.headdim, c.d_state, c.ngroups, w.A,
                                  w.D,        w.dt_bias, c.dt_min,  c.dt_max};
  const MutableRows y = a.y.columns(c.d_mlp(), c.d_ssm);
  kernels::step_sizes(constants, dt, a.delta);
  kernels::selective_scan(constants, x, B, C, a.delta, ssm, y);

  if (c.rmsnorm) {
    kernels::gated_rms_norm({w.gated_norm, c.ngroups, c.norm_eps, c.norm_before_gate}, y, z, y);
  } else {
    kernels::gate(y, z, y);
  }
  kernels::gate(x0, z0, a.y.columns(0, c.d_mlp()));
  detail::project(w.out_proj, w.out_proj_bias, a.y, a.u);
}

/// residual += mixer(rms_norm(residual)), for all tokens of a.
template <WeightPolicy WeightT>
void block(const Config& c, const BlockWeights<WeightT>& w, float* conv, float* ssm,
           const Activations& a) {
  kernels::rms_norm(a.residual, w.norm, c.norm_eps, a.u);
  mixer(c, w, conv, ssm, a);
  detail::add(a.residual, a.u);
}

}  // namespace mamba2::inline MAMBA2_ISA
