// SPDX-License-Identifier: Apache-2.0
// A mixture of experts: MLPs of which a router chooses a few for each token, arXiv 1701.06538; the
// latent space of experts is that of Nemotron-3, the bias of the router that of arXiv 2408.15664.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "mamba2/core/arena.hpp"
#include "mamba2/core/views.hpp"
#include "mamba2/layers/config.hpp"
#include "mamba2/layers/pass.hpp"
#include "mamba2/layers/slot.hpp"
#include "mamba2/linear/product.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// An expert; without a gate there is no gate_proj. D is MoeConfig::d_expert.
struct ExpertWeights {
  Matrix gate_proj;  ///< (d_intermediate, D)
  Matrix up_proj;    ///< (d_intermediate, D)
  Matrix down_proj;  ///< (D, d_intermediate)
};

/// The matrices of an expert lie next to each other: what no token chooses is not read, where
/// weights are a file that is mapped not even from there. What the model does not have is nullptr
/// or without format.
struct MoeWeights {
  const float* router = nullptr;       ///< (num_experts, d_model)
  const float* router_bias = nullptr;  ///< (num_experts)
  Matrix latent_in_proj;               ///< (d_latent, d_model)
  Matrix latent_out_proj;              ///< (d_model, d_latent)
  ExpertWeights shared;                ///< of width d_shared, on the layer's input
  std::vector<ExpertWeights> experts;  ///< (num_experts)

  MoeWeights(const Config& c, std::size_t most_experts)
      : experts(std::min(c.moe.num_experts, most_experts)) {}
};

namespace detail {

/// Lists the matrices of an expert. inner, width: of what is inside, and of what it reads and
/// writes. number: Slot::expert; prefix: of the names.
template <class AnyExpert, class Visit>
void expert_tensors(AnyExpert& expert, bool has_gate, std::size_t inner, std::size_t width,
                    std::size_t number, const std::array<std::string_view, 3>& names,
                    Visit&& visit) {
  Slot in{.name = names[0], .role = Role::matrix, .rows = inner, .cols = width, .expert = number};
  if (has_gate) visit(in, expert.gate_proj);
  in.name = names[1];
  visit(in, expert.up_proj);
  const Slot out{.name = names[2],
                 .role = Role::matrix,
                 .rows = width,
                 .cols = inner,
                 .may_rotate = true,
                 .expert = number};
  visit(out, expert.down_proj);
}

}  // namespace detail

/// The tensors of the mixer, in the order in which a token meets them; see Slot. w: MoeWeights,
/// const or not.
template <class AnyWeights, class Visit>
requires std::same_as<std::remove_const_t<AnyWeights>, MoeWeights>
void mixer_tensors(const Config& c, AnyWeights& w, Visit&& visit) {
  const MoeConfig& m = c.moe;
  visit(Slot{"moe.router.weight", Role::router, m.num_experts, c.d_model}, w.router);
  if (m.router_bias) visit(Slot{"moe.router.bias", Role::bias, m.num_experts}, w.router_bias);
  if (m.d_latent > 0) {
    visit(Slot{"moe.latent_in_proj.weight", Role::matrix, m.d_latent, c.d_model}, w.latent_in_proj);
  }
  const std::size_t width = m.d_expert(c.d_model);
  for (std::size_t e = 0; e < w.experts.size(); ++e) {
    detail::expert_tensors(w.experts[e], m.has_gate(), m.d_intermediate, width, e,
                           {"gate_proj.weight", "up_proj.weight", "down_proj.weight"}, visit);
  }
  if (m.d_shared > 0) {
    detail::expert_tensors(
        w.shared, m.has_gate(), m.d_shared, c.d_model, Slot::kNoExpert,
        {"moe.shared_expert.gate_proj.weight", "moe.shared_expert.up_proj.weight",
         "moe.shared_expert.down_proj.weight"},
        visit);
  }
  if (m.d_latent > 0) {
    visit(Slot{"moe.latent_out_proj.weight", Role::matrix, c.d_model, m.d_latent},
          w.latent_out_proj);
  }
}

/// The matrices that read the layer's input whatever the router says; one several times, or one of
/// an expert, for what the model does not have.
[[nodiscard]] inline std::array<const Matrix*, 3> reading(const MoeWeights& w) {
  const auto is_there = [](const Matrix& m) { return m.format != nullptr; };
  const Matrix& some = is_there(w.latent_in_proj)   ? w.latent_in_proj
                       : is_there(w.shared.up_proj) ? w.shared.up_proj
                                                    : w.experts.front().up_proj;
  const auto or_some = [&](const Matrix& m) { return is_there(m) ? &m : &some; };
  return {or_some(w.latent_in_proj), or_some(w.shared.gate_proj), or_some(w.shared.up_proj)};
}
/// As of Mamba2Weights.
[[nodiscard]] inline std::size_t input_count(const MoeWeights& w) {
  constexpr std::size_t kOut = 2;  // of shared.down_proj and latent_out_proj
  return std::max(SharedInputs<3>(reading(w)).count, kOut);
}

/// What the experts of all layers need.
struct ExpertInputs {
  std::size_t bytes = 0;  ///< of the largest input of a product, made ready
  std::size_t count = 1;  ///< how many are made of one at most: for gate_proj and up_proj

  void add(const MoeWeights& w) {
    for (const ExpertWeights& expert : w.experts) {
      bytes = std::max({bytes, expert.up_proj.input_bytes(), expert.down_proj.input_bytes()});
      if (expert.gate_proj.format == nullptr) continue;
      bytes = std::max(bytes, expert.gate_proj.input_bytes());
      count = std::max(count, SharedInputs<2>({&expert.gate_proj, &expert.up_proj}).count);
    }
  }
};

/// What a batch of tokens is on its way through the mixer. A row to a token; or to a pair of a
/// token and an expert that it chooses, in the order of the experts and then of the tokens.
struct MoeScratch {
  /// Pairs of one expert with the tokens of one part.
  struct Range {
    std::size_t first;
    std::size_t count;
  };

  std::size_t chosen;       ///< num_experts_per_tok
  MutableRows scores;       ///< (tokens, num_experts)
  MutableRows room;         ///< (tokens, router_room())
  std::uint32_t* choice;    ///< (tokens, chosen): experts in ascending order
  float* weights;           ///< (tokens, chosen)
  std::uint32_t* expert;    ///< (pairs)
  std::uint32_t* token;     ///< (pairs)
  float* weight;            ///< (pairs)
  std::size_t* pairs_end;   ///< (num_experts + 1): the pairs before those of an expert
  std::size_t* ranges_end;  ///< (num_experts + 1): likewise
  Range* ranges;            ///< (pairs)
  std::byte* input;         ///< (inputs.count, pairs, inputs.bytes)
  ExpertInputs inputs;
  MutableRows gate;         ///< (pairs, d_intermediate)
  MutableRows up;           ///< (pairs, d_intermediate); later down_proj's input
  MutableRows shared_gate;  ///< (tokens, d_shared)
  MutableRows shared_up;    ///< (tokens, d_shared)
  MutableRows latent;       ///< (tokens, d_latent): what experts read, later their sum
  std::size_t out_room;     ///< rows of `out`
  /// (out_room, the wider of d_model and d_latent): of all pairs, or of one expert at a time.
  MutableRows out;
  OwnProduct<Range>* products;  ///< (2 * num_experts)

  MoeScratch(Carver& carver, const Config& c, std::size_t tokens, const ExpertInputs& all)
      : chosen(c.moe.num_experts_per_tok),
        scores(rows(carver, tokens, c.moe.num_experts)),
        room(rows(carver, tokens, c.moe.num_experts + c.moe.n_group)),
        choice(carver.take<std::uint32_t>(tokens * chosen)),
        weights(carver.take<float>(tokens * chosen)),
        expert(carver.take<std::uint32_t>(tokens * chosen)),
        token(carver.take<std::uint32_t>(tokens * chosen)),
        weight(carver.take<float>(tokens * chosen)),
        pairs_end(carver.take<std::size_t>(tokens == 0 ? 0 : c.moe.num_experts + 1)),
        ranges_end(carver.take<std::size_t>(tokens == 0 ? 0 : c.moe.num_experts + 1)),
        ranges(carver.take<Range>(tokens * chosen)),
        input(carver.take<std::byte>(all.count * tokens * chosen * all.bytes)),
        inputs(all),
        gate(rows(carver, c.moe.has_gate() ? tokens * chosen : 0, c.moe.d_intermediate)),
        up(rows(carver, tokens * chosen, c.moe.d_intermediate)),
        shared_gate(rows(carver, c.moe.has_gate() ? tokens : 0, c.moe.d_shared)),
        shared_up(rows(carver, tokens, c.moe.d_shared)),
        latent(rows(carver, tokens, c.moe.d_latent)),
        out_room(tokens == 0 ? 0 : std::max(tokens, chosen)),
        out(rows(carver, out_room, std::max(c.d_model, c.moe.d_latent))),
        products(carver.take<OwnProduct<Range>>(tokens == 0 ? 0 : 2 * c.moe.num_experts)) {}

  /// The same memory for fewer tokens.
  [[nodiscard]] MoeScratch first(std::size_t tokens) const {
    MoeScratch part = *this;
    for (MutableRows* some :
         {&part.scores, &part.room, &part.shared_gate, &part.shared_up, &part.latent}) {
      some->rows = tokens;
    }
    part.gate.rows = part.up.rows = tokens * chosen;
    return part;
  }

  [[nodiscard]] std::size_t pairs() const { return up.rows; }
  /// The index'th inputs of all pairs.
  [[nodiscard]] Inputs inputs_of(std::size_t index) const {
    return {input + index * pairs() * inputs.bytes, pairs(), inputs.bytes};
  }
  [[nodiscard]] std::byte* input_of(std::size_t pair, std::size_t index = 0) const {
    return input + (index * pairs() + pair) * inputs.bytes;
  }
  /// The pairs of an expert, and of each part apart.
  [[nodiscard]] Range pairs_of(std::size_t number) const {
    return {pairs_end[number], pairs_end[number + 1] - pairs_end[number]};
  }
  [[nodiscard]] std::span<const Range> ranges_of(std::size_t number) const {
    return {ranges + ranges_end[number], ranges + ranges_end[number + 1]};
  }

 private:
  [[nodiscard]] static MutableRows rows(Carver& carver, std::size_t count, std::size_t cols) {
    const std::size_t stride = mamba2::detail::round_up(cols, 64 / sizeof(float));
    return {carver.take<float>(count * stride), count, cols, stride};
  }
};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
