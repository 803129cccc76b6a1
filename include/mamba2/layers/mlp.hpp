// SPDX-License-Identifier: Apache-2.0
// The MLP: SwiGLU or GEGLU, arXiv 2002.05202, or squared ReLU without a gate, arXiv 2109.08668.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <type_traits>

#include "mamba2/core/arena.hpp"
#include "mamba2/core/views.hpp"
#include "mamba2/kernels/rms_norm.hpp"
#include "mamba2/layers/config.hpp"
#include "mamba2/layers/pass.hpp"
#include "mamba2/layers/slot.hpp"
#include "mamba2/linear/product.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// A bias that the model does not have is nullptr. Without a gate there is no gate_proj.
struct MlpWeights {
  Matrix gate_proj;                       ///< (d_intermediate, d_model)
  const float* gate_proj_bias = nullptr;  ///< (d_intermediate)
  Matrix up_proj;                         ///< (d_intermediate, d_model)
  const float* up_proj_bias = nullptr;    ///< (d_intermediate)
  Matrix down_proj;                       ///< (d_model, d_intermediate)
  const float* down_proj_bias = nullptr;  ///< (d_model)

  bool has_gate;

  explicit MlpWeights(const Config& c) : has_gate(c.mlp.has_gate()) {}
};

/// The tensors of the mixer, in the order in which a token meets them; see Slot. w: MlpWeights,
/// const or not.
template <class AnyWeights, class Visit>
requires std::same_as<std::remove_const_t<AnyWeights>, MlpWeights>
void mixer_tensors(const Config& c, AnyWeights& w, Visit&& visit) {
  const std::size_t F = c.mlp.d_intermediate;
  if (c.mlp.has_gate()) {
    visit(Slot{"mlp.gate_proj.weight", Role::matrix, F, c.d_model}, w.gate_proj);
    if (c.mlp.bias) visit(Slot{"mlp.gate_proj.bias", Role::bias, F}, w.gate_proj_bias);
  }
  visit(Slot{"mlp.up_proj.weight", Role::matrix, F, c.d_model}, w.up_proj);
  if (c.mlp.bias) visit(Slot{"mlp.up_proj.bias", Role::bias, F}, w.up_proj_bias);
  visit(Slot{.name = "mlp.down_proj.weight",
             .role = Role::matrix,
             .rows = c.d_model,
             .cols = F,
             .may_rotate = true},
        w.down_proj);
  if (c.mlp.bias) visit(Slot{"mlp.down_proj.bias", Role::bias, c.d_model}, w.down_proj_bias);
}

/// The matrices that read the layer's input: up_proj twice where there is no gate.
[[nodiscard]] inline std::array<const Matrix*, 2> reading(const MlpWeights& w) {
  return {w.has_gate ? &w.gate_proj : &w.up_proj, &w.up_proj};
}
/// As of Mamba2Weights.
[[nodiscard]] inline std::size_t input_count(const MlpWeights& w) {
  return SharedInputs<2>(reading(w)).count;
}

/// What a batch of tokens is on its way through the mixer. A row to a token.
struct MlpScratch {
  MutableRows gate;  ///< (tokens, d_intermediate); no memory where there is no gate
  MutableRows up;    ///< (tokens, d_intermediate); later what is made of it, down_proj's input

  MlpScratch(Carver& carver, const Config& c, std::size_t tokens)
      : gate(rows(carver, c, c.mlp.has_gate() ? tokens : 0)), up(rows(carver, c, tokens)) {}

  /// The same memory for fewer tokens.
  [[nodiscard]] MlpScratch first(std::size_t tokens) const {
    MlpScratch part = *this;
    part.gate.rows = std::min(gate.rows, tokens);
    part.up.rows = tokens;
    return part;
  }

 private:
  [[nodiscard]] static MutableRows rows(Carver& carver, const Config& c, std::size_t tokens) {
    const std::size_t stride = detail::round_up(c.mlp.d_intermediate, 64 / sizeof(float));
    return {carver.take<float>(tokens * stride), tokens, c.mlp.d_intermediate, stride};
  }
};

/// The mixer of a layer at work on a batch. All threads meet 2 times for a few tokens, after
/// gate_proj and up_proj, together, and after down_proj; once more for many.
class MlpMixer {
 public:
  MlpMixer(const MlpWeights& weights, const MlpScratch& scratch, const Pass& pass)
      : c_(pass.config.mlp), w_(weights), s_(scratch), pass_(pass) {}

  /// As Mamba2Mixer::prepare().
  void prepare(std::size_t token) const { pass_.prepare(reading(w_), pass_.a.u[token], token); }

  /// As Mamba2Mixer::mix().
  template <class Then>
  void mix(Then then) const {
    if (w_.has_gate) {
      const std::array<Product, 2> both = projections(SharedInputs<2>(reading(w_)).number);
      multiply(pass_.executor, {both[0], both[1]}, pass_.equals,
               [&](std::size_t which, std::size_t first, std::size_t count) {
                 projected(which, first, count);
               });
    } else {
      multiply(pass_.executor, w_.up_proj, pass_.equals, pass_.a.inputs(), s_.up,
               [&](std::size_t first, std::size_t count) { projected(1, first, count); });
    }
    mix_projected(then);
  }

  /// mix() in two parts where there is a gate, for those who multiply other matrices at the same
  /// time. The products of gate_proj and up_proj with the inputs of these numbers:
  [[nodiscard]] std::array<Product, 2> projections(const std::array<std::size_t, 2>& inputs) const {
    return {pass_.product(w_.gate_proj, s_.gate, inputs[0]),
            pass_.product(w_.up_proj, s_.up, inputs[1])};
  }
  /// what follows for the rows [first, first + count) of one of them;
  void projected(std::size_t which, std::size_t first, std::size_t count) const {
    const MutableRows& y = which == 0 ? s_.gate : s_.up;
    const float factor = which == 0 ? c_.gate_multiplier : 1.0F;
    add_bias(which == 0 ? w_.gate_proj_bias : w_.up_proj_bias, y.columns(first, count), first, 1.0F,
             factor);
  }
  /// and the rest.
  template <class Then>
  void mix_projected(Then then) const {
    pass_.each_token([&](std::size_t t) {
      activate(t);
      pass_.prepare(w_.down_proj, s_.up[t], t);
    });
    pass_.multiply_out(w_.down_proj, w_.down_proj_bias, then, c_.out_multiplier);
  }

 private:
  /// up: down_proj's input.
  void activate(std::size_t t) const {
    if (c_.activation == MlpActivation::swiglu) {
      kernels::gate(s_.up[t], s_.gate[t], s_.up.cols, s_.up[t]);
    } else if (c_.activation == MlpActivation::geglu) {
      kernels::gate_by_gelu(s_.up[t], s_.gate[t], s_.up.cols, s_.up[t]);
    } else {
      kernels::relu2(s_.up[t], s_.up.cols, s_.up[t]);
    }
  }

  const MlpConfig& c_;
  const MlpWeights& w_;
  const MlpScratch& s_;
  const Pass& pass_;
};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
