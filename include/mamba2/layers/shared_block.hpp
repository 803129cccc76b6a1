// SPDX-License-Identifier: Apache-2.0
// A block of attention and an MLP that several layers share, and a Mamba-2 mixer that reads what it
// makes: Zamba2, arXiv 2411.15242.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <type_traits>

#include "mamba2/core/arena.hpp"
#include "mamba2/core/views.hpp"
#include "mamba2/kernels/rms_norm.hpp"
#include "mamba2/layers/attention.hpp"
#include "mamba2/layers/config.hpp"
#include "mamba2/layers/mamba2.hpp"
#include "mamba2/layers/mlp.hpp"
#include "mamba2/layers/pass.hpp"
#include "mamba2/layers/slot.hpp"
#include "mamba2/linear/product.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// What layers share. Neither mixer adds to a residual: the MLP reads what attention makes.
struct SharedBlock {
  const float* norm = nullptr;      ///< (2 d_model): of the residual and the embedding side by side
  AttentionWeights attention;       ///< which reads 2 d_model channels
  const float* mlp_norm = nullptr;  ///< (d_model)
  MlpWeights mlp;

  explicit SharedBlock(const Config& c) : attention(c), mlp(c) {}
};

/// What a layer has of its own: adapters of the block's matrices, which give += B (A x), what makes
/// of the block's output what is added to the residual where the norm reads it, and there alone,
/// and the mixer that does.
struct SharedBlockWeights {
  SharedBlock block;
  bool owns_block;              ///< its tensors are listed here; else they are another layer's
  std::array<Matrix, 3> qkv_A;  ///< (adapter_rank, 2 d_model)
  std::array<Matrix, 3> qkv_B;  ///< (q_dim or kv_dim, adapter_rank)
  Matrix mlp_A;                 ///< (adapter_rank, d_model)
  std::array<Matrix, 2> mlp_B;  ///< (d_intermediate, adapter_rank): of gate_proj, of up_proj
  Matrix linear;                ///< (d_model, d_model)
  Mamba2Weights mamba2;

  SharedBlockWeights(const Config& c, bool owns) : block(c), owns_block(owns), mamba2(c) {}
};

/// The tensors of a block; see Slot. w: SharedBlock, const or not.
template <class AnyBlock, class Visit>
void block_tensors(const Config& c, AnyBlock& w, Visit&& visit) {
  visit(Slot{"block.norm.weight", Role::norm, 2 * c.d_model}, w.norm);
  attention_tensors(c, 2 * c.d_model, w.attention, visit);
  visit(Slot{"block.mlp_norm.weight", Role::norm, c.d_model}, w.mlp_norm);
  mixer_tensors(c, w.mlp, visit);
}

/// The tensors of the layer but its norm, as elsewhere. w: SharedBlockWeights, const or not.
template <class AnyWeights, class Visit>
requires std::same_as<std::remove_const_t<AnyWeights>, SharedBlockWeights>
void mixer_tensors(const Config& c, AnyWeights& w, Visit&& visit) {
  const std::size_t rank = c.shared_block.adapter_rank;
  const std::size_t kv_dim = c.attention.kv_dim();
  const auto matrix = [&](std::string_view name, std::size_t rows, std::size_t cols, auto& m) {
    visit(Slot{name, Role::matrix, rows, cols}, m);
  };
  if (w.owns_block) block_tensors(c, w.block, visit);
  if (c.shared_block.attention_adapters) {
    matrix("attention.q_adapter.A.weight", rank, 2 * c.d_model, w.qkv_A[0]);
    matrix("attention.k_adapter.A.weight", rank, 2 * c.d_model, w.qkv_A[1]);
    matrix("attention.v_adapter.A.weight", rank, 2 * c.d_model, w.qkv_A[2]);
    matrix("attention.q_adapter.B.weight", c.attention.q_dim(), rank, w.qkv_B[0]);
    matrix("attention.k_adapter.B.weight", kv_dim, rank, w.qkv_B[1]);
    matrix("attention.v_adapter.B.weight", kv_dim, rank, w.qkv_B[2]);
  }
  matrix("mlp.adapter.A.weight", rank, c.d_model, w.mlp_A);
  matrix("mlp.gate_adapter.B.weight", c.mlp.d_intermediate, rank, w.mlp_B[0]);
  matrix("mlp.up_adapter.B.weight", c.mlp.d_intermediate, rank, w.mlp_B[1]);
  matrix("block.linear.weight", c.d_model, c.d_model, w.linear);
  mixer_tensors(c, w.mamba2, visit);
}

/// The matrices that read the residual and the embedding: those of queries, keys and values, and
/// their adapters; without these the same again.
[[nodiscard]] inline std::array<const Matrix*, 6> reading(const SharedBlockWeights& w) {
  const auto [q, k, v] = reading(w.block.attention);
  if (w.qkv_A[0].format == nullptr) return {q, k, v, q, k, v};
  return {q, k, v, &w.qkv_A[0], &w.qkv_A[1], &w.qkv_A[2]};
}
/// Those that read what attention has made.
[[nodiscard]] inline std::array<const Matrix*, 3> reading_attention(const SharedBlockWeights& w) {
  return {&w.block.mlp.gate_proj, &w.block.mlp.up_proj, &w.mlp_A};
}
/// As of Mamba2Weights; what adapters narrow to is an input of each of their second matrices.
[[nodiscard]] inline std::size_t input_count(const SharedBlockWeights& w) {
  return std::max({SharedInputs<6>(reading(w)).count, SharedInputs<3>(reading_attention(w)).count,
                   w.qkv_B.size()});
}

/// What a batch of tokens is on its way through a block, besides what its mixers need. A row to a
/// token.
struct SharedBlockScratch {
  MutableRows low;   ///< (tokens, 3 adapter_rank): what adapters narrow to
  MutableRows wide;  ///< (tokens, ...): the block's input; later what adapters add

  SharedBlockScratch(Carver& carver, const Config& c, std::size_t tokens)
      : low(rows(carver, 3 * c.shared_block.adapter_rank, tokens)),
        wide(rows(carver,
                  std::max({2 * c.d_model, 2 * c.mlp.d_intermediate,
                            c.shared_block.attention_adapters ? c.attention.qkv_dim() : 0}),
                  tokens)) {}

  /// The same memory for fewer tokens.
  [[nodiscard]] SharedBlockScratch first(std::size_t tokens) const {
    SharedBlockScratch part = *this;
    part.low.rows = part.wide.rows = tokens;
    return part;
  }

 private:
  [[nodiscard]] static MutableRows rows(Carver& carver, std::size_t cols, std::size_t tokens) {
    const std::size_t stride = detail::round_up(cols, 64 / sizeof(float));
    return {carver.take<float>(tokens * stride), tokens, cols, stride};
  }
};

/// A block at work on a batch, for one of the layers that share it. All threads meet as often as
/// for its two mixers, once more for each set of adapters, and once for linear.
class SharedBlockReader {
 public:
  /// index: of the layer among those with attention.
  SharedBlockReader(const SharedBlockWeights& weights, std::size_t index,
                    const AttentionScratch& attention, const MlpScratch& mlp,
                    const SharedBlockScratch& scratch, const Pass& pass)
      : c_(pass.config),
        w_(weights),
        attention_(weights.block.attention, index, attention, pass),
        mlp_(weights.block.mlp, mlp, pass),
        qkv_{attention.q, attention.k, attention.v},
        gate_up_{mlp.gate, mlp.up},
        s_(scratch),
        pass_(pass) {}

  /// u = linear(the block's output), of what the residual and the embedding are.
  void read() const {
    pass_.each_token([&](std::size_t t) {
      float* x = s_.wide[t];
      std::copy_n(pass_.a.residual[t], c_.d_model, x);
      std::copy_n(pass_.a.embedded[t], c_.d_model, x + c_.d_model);
      kernels::rms_norm(x, w_.block.norm, 2 * c_.d_model, c_.norm_eps, x);
      pass_.prepare(reading(w_), x, t);
    });
    const auto keep = [&](std::size_t first, std::size_t count, float factor) {
      multiply_by(factor, pass_.a.u.columns(first, count));
    };
    project_attention();
    attention_.mix_projected(keep);
    pass_.each_token([&](std::size_t t) {
      float* x = pass_.a.u[t];
      kernels::rms_norm(x, w_.block.mlp_norm, c_.d_model, c_.norm_eps, x);
      pass_.prepare(reading_attention(w_), x, t);
    });
    project_mlp();
    mlp_.mix_projected(keep);
    pass_.each_token([&](std::size_t t) { pass_.prepare(w_.linear, pass_.a.u[t], t); });
    multiply(pass_.executor, w_.linear, pass_.equals, pass_.a.inputs(), pass_.a.u, kNothing);
  }

 private:
  [[nodiscard]] MutableRows low(std::size_t which) const {
    const std::size_t rank = c_.shared_block.adapter_rank;
    return s_.low.columns(which * rank, rank);
  }

  void project_attention() const {
    const SharedInputs<6> shared(reading(w_));
    const auto& number = shared.number;
    const std::array<Product, 3> qkv = attention_.projections({number[0], number[1], number[2]});
    const auto finish = [&](std::size_t which, std::size_t first, std::size_t count) {
      if (which < qkv.size()) attention_.projected(which, first, count);
    };
    if (!c_.shared_block.attention_adapters) {
      return multiply(pass_.executor, {qkv[0], qkv[1], qkv[2]}, pass_.equals, finish);
    }
    multiply(pass_.executor,
             {qkv[0], qkv[1], qkv[2], pass_.product(w_.qkv_A[0], low(0), number[3]),
              pass_.product(w_.qkv_A[1], low(1), number[4]),
              pass_.product(w_.qkv_A[2], low(2), number[5])},
             pass_.equals, finish);
    pass_.each_token([&](std::size_t t) {
      for (std::size_t i = 0; i < 3; ++i) pass_.prepare(w_.qkv_B[i], low(i)[t], t, i);
    });
    const std::array<MutableRows, 3> more = beside(qkv_);
    multiply(pass_.executor,
             {pass_.product(w_.qkv_B[0], more[0], 0), pass_.product(w_.qkv_B[1], more[1], 1),
              pass_.product(w_.qkv_B[2], more[2], 2)},
             pass_.equals, [&](std::size_t which, std::size_t first, std::size_t count) {
               add(more[which], qkv_[which], first, count);
             });
  }

  void project_mlp() const {
    const SharedInputs<3> shared(reading_attention(w_));
    const auto& number = shared.number;
    const std::array<Product, 2> both = mlp_.projections({number[0], number[1]});
    multiply(pass_.executor, {both[0], both[1], pass_.product(w_.mlp_A, low(0), number[2])},
             pass_.equals, [&](std::size_t which, std::size_t first, std::size_t count) {
               if (which < both.size()) mlp_.projected(which, first, count);
             });
    const SharedInputs<2> narrow({&w_.mlp_B[0], &w_.mlp_B[1]});
    pass_.each_token([&](std::size_t t) {
      pass_.prepare(std::array<const Matrix*, 2>{&w_.mlp_B[0], &w_.mlp_B[1]}, low(0)[t], t);
    });
    const std::array<MutableRows, 2> more = beside(gate_up_);
    multiply(pass_.executor,
             {pass_.product(w_.mlp_B[0], more[0], narrow.number[0]),
              pass_.product(w_.mlp_B[1], more[1], narrow.number[1])},
             pass_.equals, [&](std::size_t which, std::size_t first, std::size_t count) {
               add(more[which], gate_up_[which], first, count);
             });
  }

  /// Rows of `wide` for what is added to each of these, side by side.
  template <std::size_t kCount>
  [[nodiscard]] std::array<MutableRows, kCount> beside(
      const std::array<MutableRows, kCount>& rows) const {
    std::array<MutableRows, kCount> more = rows;
    std::size_t first = 0;
    for (MutableRows& part : more) {
      part = s_.wide.columns(first, part.cols);
      first += part.cols;
    }
    return more;
  }

  /// to += more, of the columns [first, first + count).
  void add(const MutableRows& more, const MutableRows& to, std::size_t first,
           std::size_t count) const {
    for (std::size_t t = 0; t < to.rows; ++t) {
      kernels::add(more[t] + first, count, to[t] + first);
    }
  }

  const Config& c_;
  const SharedBlockWeights& w_;
  AttentionMixer attention_;
  MlpMixer mlp_;
  std::array<MutableRows, 3> qkv_;
  std::array<MutableRows, 2> gate_up_;
  const SharedBlockScratch& s_;
  const Pass& pass_;
};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
