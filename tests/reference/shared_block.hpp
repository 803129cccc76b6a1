// SPDX-License-Identifier: Apache-2.0
// Oracle: blocks of attention and an MLP that several layers share, each with adapters of its own,
// in double precision.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "tests/reference/attention.hpp"
#include "tests/reference/mamba2_reference.hpp"
#include "tests/reference/mlp.hpp"

namespace reference {

/// What layers share. Nothing in it adds to a residual.
struct SharedBlock {
  std::vector<double> norm;      ///< (2 d_model)
  Attention attention;           ///< from 2 d_model channels to d_model
  std::vector<double> mlp_norm;  ///< (d_model)
  Mlp mlp;
};

/// W x + B (A x) in place of W x; empty: W x.
struct Adapter {
  std::vector<double> A;  ///< (rank, in)
  std::vector<double> B;  ///< (out, rank)
};

/// What one layer has of its own.
struct SharedUse {
  std::size_t block = 0;  ///< the number of the one that it reads
  std::size_t rank = 0;
  bool adapts_attention = false;
  Adapter q, k, v;
  Adapter gate_up;             ///< of the rows of gate, and then those of up
  std::vector<double> linear;  ///< (d_model, d_model), its rows
};

/// The matrix W + B A, of B's rows from `first` on.
inline std::vector<double> adapted(std::vector<double> W, const Adapter& adapter, std::size_t rank,
                                   std::size_t first = 0) {
  if (adapter.A.empty()) return W;
  const std::size_t in = adapter.A.size() / rank;
  for (std::size_t i = 0; i < W.size(); ++i) {
    for (std::size_t r = 0; r < rank; ++r) {
      W[i] += adapter.B[(first + i / in) * rank + r] * adapter.A[r * in + i % in];
    }
  }
  return W;
}

/// What a layer makes of the residual and of what that began with, both (T, d_model), before its
/// norm: (T, d_model), to be added to the residual there. The state moves on by T tokens.
inline std::vector<double> read_block(const SharedBlock& block, const SharedUse& use,
                                      const std::vector<double>& residual,
                                      const std::vector<double>& embedded, std::size_t d_model,
                                      double eps, AttentionState& state) {
  Attention a = block.attention;
  a.q = adapted(a.q, use.q, use.rank);
  a.k = adapted(a.k, use.k, use.rank);
  a.v = adapted(a.v, use.v, use.rank);
  Mlp m = block.mlp;
  m.gate = adapted(m.gate, use.gate_up, use.rank);
  m.up = adapted(m.up, use.gate_up, use.rank, m.width);
  const std::vector<double> both = beside(residual, d_model, embedded, d_model);
  const std::vector<double> x = attention(a, rms_norm(both, block.norm, 2 * d_model, eps), state);
  const std::vector<double> y = mlp(m, rms_norm(x, block.mlp_norm, d_model, eps));
  return linear(use.linear, {}, y, d_model);
}

}  // namespace reference
