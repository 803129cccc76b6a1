// SPDX-License-Identifier: Apache-2.0
// What flows through a block.
#pragma once

#include <algorithm>
#include <cstddef>

#include "mamba2/core/arena.hpp"
#include "mamba2/core/views.hpp"
#include "mamba2/kernels/ssd.hpp"
#include "mamba2/layers/config.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// The activations of a batch of tokens on their way through a block. A row to a token.
struct Activations {
  MutableRows residual;  ///< (tokens, d_model): the running sum that blocks add to
  MutableRows u;         ///< (tokens, d_model): its norm; later the output of out_proj
  MutableRows zxbcdt;    ///< (tokens, d_in_proj): in_proj's output, z0 | x0 | z | xBC | dt
  MutableRows z0;        ///< (tokens, d_mlp): the gate of the MLP part
  MutableRows x0;        ///< (tokens, d_mlp): the MLP part
  MutableRows z;         ///< (tokens, d_ssm): the gate of the SSM part; later its gated output
  MutableRows gated;     ///< (tokens, d_inner): x0 and z side by side, out_proj's input
  MutableRows xBC;       ///< (tokens, conv_dim): x, B and C side by side
  MutableRows x;         ///< (tokens, d_ssm): the SSM's input; later y, its output
  MutableRows B;         ///< (tokens, ngroups * d_state)
  MutableRows C;         ///< (tokens, ngroups * d_state)
  MutableRows dt;        ///< (tokens, nheads): later the step sizes
  MutableRows squares;   ///< (tokens, nheads): each head's share in the gated norm
  MutableRows CB;        ///< (tokens, ngroups * kChunk): see kernels::chunk_products
  std::byte* input;      ///< (tokens, input_bytes): the input of a product, made ready
  std::size_t input_bytes;

  Activations(Carver& carver, const Config& c, std::size_t tokens, std::size_t bytes_per_input)
      : residual(carver.take<float>(tokens * c.d_model), tokens, c.d_model),
        u(carver.take<float>(tokens * c.d_model), tokens, c.d_model),
        zxbcdt(carver.take<float>(tokens * zxbcdt_stride(c)), tokens, c.d_in_proj(),
               zxbcdt_stride(c)),
        z0(zxbcdt.columns(0, c.d_mlp())),
        x0(zxbcdt.columns(c.d_mlp(), c.d_mlp())),
        z(zxbcdt.columns(2 * c.d_mlp(), c.d_ssm)),
        gated(zxbcdt.columns(c.d_mlp(), c.d_inner)),
        xBC(zxbcdt.columns(2 * c.d_mlp() + c.d_ssm, c.conv_dim())),
        x(xBC.columns(0, c.d_ssm)),
        B(xBC.columns(c.d_ssm, c.ngroups * c.d_state)),
        C(xBC.columns(c.d_ssm + c.ngroups * c.d_state, c.ngroups * c.d_state)),
        dt(zxbcdt.columns(c.d_in_proj() - c.nheads(), c.nheads())),
        squares(carver.take<float>(tokens * c.nheads()), tokens, c.nheads()),
        CB(carver.take<float>(tokens * c.ngroups * kernels::kChunk), tokens,
           c.ngroups * kernels::kChunk),
        input(carver.take<std::byte>(tokens * bytes_per_input)),
        input_bytes(bytes_per_input) {}

  /// Whole cache lines: a register's load would often need two of them otherwise.
  [[nodiscard]] static std::size_t zxbcdt_stride(const Config& c) {
    return detail::round_up(c.d_in_proj(), 64 / sizeof(float));
  }

  /// The same memory for fewer tokens.
  [[nodiscard]] Activations first(std::size_t tokens) const {
    Activations part = *this;
    for (MutableRows* rows :
         {&part.residual, &part.u, &part.zxbcdt, &part.z0, &part.x0, &part.z, &part.gated,
          &part.xBC, &part.x, &part.B, &part.C, &part.dt, &part.squares, &part.CB}) {
      rows->rows = tokens;
    }
    return part;
  }

  [[nodiscard]] std::size_t tokens() const { return residual.rows; }
  [[nodiscard]] Inputs inputs() const { return {input, tokens(), input_bytes}; }
};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
