// SPDX-License-Identifier: Apache-2.0
// Causal self-attention with grouped queries (arXiv 2305.13245), rotary embedding (arXiv
// 2104.09864) or none, a convolution over queries, keys and values or none, and an RMSNorm of each
// head of queries and keys or none.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "mamba2/core/arena.hpp"
#include "mamba2/core/views.hpp"
#include "mamba2/kernels/attend.hpp"
#include "mamba2/kernels/conv1d.hpp"
#include "mamba2/kernels/rms_norm.hpp"
#include "mamba2/kernels/rope.hpp"
#include "mamba2/kernels/running_rows.hpp"
#include "mamba2/layers/config.hpp"
#include "mamba2/layers/pass.hpp"
#include "mamba2/layers/slot.hpp"
#include "mamba2/linear/product.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// A bias that the model does not have is nullptr.
struct AttentionWeights {
  Matrix q_proj;                       ///< (q_dim, d_model), or of another width: see below
  const float* q_proj_bias = nullptr;  ///< (q_dim)
  Matrix k_proj;                       ///< (kv_dim, d_model)
  const float* k_proj_bias = nullptr;  ///< (kv_dim)
  Matrix v_proj;                       ///< (kv_dim, d_model)
  const float* v_proj_bias = nullptr;  ///< (kv_dim)
  kernels::Conv1d conv;                ///< over qkv_dim channels; weight nullptr: none
  const float* q_norm = nullptr;       ///< (head_dim), of every head; nullptr: none
  const float* k_norm = nullptr;       ///< (head_dim)
  Matrix o_proj;                       ///< (d_model, q_dim)
  const float* o_proj_bias = nullptr;  ///< (d_model)

  explicit AttentionWeights(const Config& c)
      : conv{nullptr, nullptr, c.attention.qkv_dim(), c.attention.d_conv, false} {}
};

/// The tensors of the mixer, in the order in which a token meets them; see Slot. w:
/// AttentionWeights, const or not. width: of what it reads, which is d_model elsewhere than in
/// shared blocks.
template <class AnyWeights, class Visit>
requires std::same_as<std::remove_const_t<AnyWeights>, AttentionWeights>
void attention_tensors(const Config& c, std::size_t width, AnyWeights& w, Visit&& visit) {
  const AttentionConfig& a = c.attention;
  visit(Slot{"attention.q_proj.weight", Role::matrix, a.q_dim(), width}, w.q_proj);
  if (a.qkv_proj_bias) visit(Slot{"attention.q_proj.bias", Role::bias, a.q_dim()}, w.q_proj_bias);
  visit(Slot{"attention.k_proj.weight", Role::matrix, a.kv_dim(), width}, w.k_proj);
  if (a.qkv_proj_bias) visit(Slot{"attention.k_proj.bias", Role::bias, a.kv_dim()}, w.k_proj_bias);
  visit(Slot{"attention.v_proj.weight", Role::matrix, a.kv_dim(), width}, w.v_proj);
  if (a.qkv_proj_bias) visit(Slot{"attention.v_proj.bias", Role::bias, a.kv_dim()}, w.v_proj_bias);
  if (a.d_conv > 0) {
    visit(Slot{"attention.conv1d.weight", Role::taps, a.qkv_dim(), a.d_conv}, w.conv.weight);
    visit(Slot{"attention.conv1d.bias", Role::bias, a.qkv_dim()}, w.conv.bias);
  }
  if (a.qk_norm) {
    visit(Slot{"attention.q_norm.weight", Role::norm, a.head_dim}, w.q_norm);
    visit(Slot{"attention.k_norm.weight", Role::norm, a.head_dim}, w.k_norm);
  }
  visit(Slot{.name = "attention.o_proj.weight",
             .role = Role::matrix,
             .rows = c.d_model,
             .cols = a.q_dim(),
             .may_rotate = true},
        w.o_proj);
  if (a.out_proj_bias) visit(Slot{"attention.o_proj.bias", Role::bias, c.d_model}, w.o_proj_bias);
}

template <class AnyWeights, class Visit>
requires std::same_as<std::remove_const_t<AnyWeights>, AttentionWeights>
void mixer_tensors(const Config& c, AnyWeights& w, Visit&& visit) {
  attention_tensors(c, c.d_model, w, visit);
}

/// The matrices that read the layer's input.
[[nodiscard]] inline std::array<const Matrix*, 3> reading(const AttentionWeights& w) {
  return {&w.q_proj, &w.k_proj, &w.v_proj};
}
/// As of Mamba2Weights.
[[nodiscard]] inline std::size_t input_count(const AttentionWeights& w) {
  return SharedInputs<3>(reading(w)).count;
}

/// What a batch of tokens is on its way through the mixer. A row to a token.
struct AttentionScratch {
  kernels::Attention heads;
  MutableRows qkv;             ///< (tokens, qkv_dim): q | k | v
  MutableRows q;               ///< (tokens, q_dim); later the result of attention, o_proj's input
  MutableRows k;               ///< (tokens, kv_dim)
  MutableRows v;               ///< (tokens, kv_dim)
  const std::uint64_t* steps;  ///< (rotary_emb_dim / 2): of kernels::rope_steps()
  MutableRows turns;           ///< (tokens, rotary_emb_dim): of kernels::rope_turns()
  MutableRows head;            ///< (tokens, head_dim): a head at work
  float* queries;              ///< (tokens, q_dim): as kernels::attend() takes them
  std::size_t running_rows;
  float* running;                 ///< (running_rows, RunningRows::stride)
  kernels::AttentionPart* parts;  ///< (tokens)

  /// context: the most tokens of a sequence that threads share the blocks of. steps: see above.
  AttentionScratch(Carver& carver, const Config& c, std::size_t tokens, std::size_t context,
                   const std::uint64_t* rope_steps)
      : heads{c.attention.num_heads, c.attention.num_heads_kv, c.attention.head_dim,
              c.attention.softmax_scale},
        qkv(carver.take<float>(tokens * qkv_stride(c)), tokens, c.attention.qkv_dim(),
            qkv_stride(c)),
        q(qkv.columns(0, c.attention.q_dim())),
        k(qkv.columns(c.attention.q_dim(), c.attention.kv_dim())),
        v(qkv.columns(c.attention.q_dim() + c.attention.kv_dim(), c.attention.kv_dim())),
        steps(rope_steps),
        turns(carver.take<float>(tokens * c.attention.rotary_emb_dim), tokens,
              c.attention.rotary_emb_dim),
        head(carver.take<float>(tokens * c.attention.head_dim), tokens, c.attention.head_dim),
        queries(carver.take<float>(tokens * c.attention.q_dim())),
        running_rows(kernels::running_rows(heads, tokens, context)),
        running(
            carver.take<float>(running_rows * kernels::RunningRows::stride(c.attention.head_dim))),
        parts(carver.take<kernels::AttentionPart>(tokens)) {}

  /// The same memory for fewer tokens.
  [[nodiscard]] AttentionScratch first(std::size_t tokens) const {
    AttentionScratch part = *this;
    for (MutableRows* rows : {&part.qkv, &part.q, &part.k, &part.v, &part.turns, &part.head}) {
      rows->rows = tokens;
    }
    return part;
  }

 private:
  [[nodiscard]] static std::size_t qkv_stride(const Config& c) {
    return detail::round_up(c.attention.qkv_dim(), 64 / sizeof(float));
  }
};

/// The mixer of a layer at work on a batch. All threads meet 3 times for one token of a short
/// sequence, after the projections of queries, keys and values together, attention and o_proj; more
/// often where there is a convolution, many tokens, or a long sequence.
class AttentionMixer {
 public:
  /// index: of the layer among the attention layers.
  AttentionMixer(const AttentionWeights& weights, std::size_t index,
                 const AttentionScratch& scratch, const Pass& pass)
      : c_(pass.config.attention), w_(weights), s_(scratch), pass_(pass), index_(index) {}

  /// As Mamba2Mixer::prepare().
  void prepare(std::size_t token) const { pass_.prepare(reading(w_), pass_.a.u[token], token); }

  /// As Mamba2Mixer::mix().
  template <class Then>
  void mix(Then then) const {
    const std::array<Product, 3> qkv = projections(SharedInputs<3>(reading(w_)).number);
    multiply(pass_.executor, {qkv[0], qkv[1], qkv[2]}, pass_.equals,
             [&](std::size_t which, std::size_t first, std::size_t count) {
               projected(which, first, count);
             });
    mix_projected(then);
  }

  /// mix() in two parts, for those who multiply other matrices at the same time. The products of
  /// q_proj, k_proj and v_proj with the inputs of these numbers:
  [[nodiscard]] std::array<Product, 3> projections(const std::array<std::size_t, 3>& inputs) const {
    return {pass_.product(w_.q_proj, s_.q, inputs[0]), pass_.product(w_.k_proj, s_.k, inputs[1]),
            pass_.product(w_.v_proj, s_.v, inputs[2])};
  }
  /// what follows for the rows [first, first + count) of one of them;
  void projected(std::size_t which, std::size_t first, std::size_t count) const {
    const std::array<const float*, 3> biases = {w_.q_proj_bias, w_.k_proj_bias, w_.v_proj_bias};
    const std::array<const MutableRows*, 3> rows = {&s_.q, &s_.k, &s_.v};
    add_bias(biases[which], rows[which]->columns(first, count), first, c_.in_multiplier, 1.0F);
  }
  /// and the rest.
  template <class Then>
  void mix_projected(Then then) const {
    if (c_.d_conv > 0) convolve();
    const std::span<kernels::AttentionPart> parts = place_parts();
    prepare_tokens(parts);
    kernels::attend(pass_.executor, s_.heads, parts, s_.queries, s_.running, s_.running_rows, s_.q);
    pass_.each_token([&](std::size_t t) { pass_.prepare(w_.o_proj, s_.q[t], t); });
    pass_.multiply_out(w_.o_proj, w_.o_proj_bias, then, c_.out_multiplier);
  }

 private:
  void convolve() const {
    constexpr std::size_t kChannels = 256;  // to a task
    const std::size_t pieces = (s_.qkv.cols + kChannels - 1) / kChannels;
    pass_.executor.run(pass_.parts.size() * pieces, [&](std::size_t task) {
      const Part& part = pass_.parts[task / pieces];
      const std::size_t first = task % pieces * kChannels;
      const std::size_t count = std::min(kChannels, s_.qkv.cols - first);
      const MutableRows qkv = s_.qkv.middle(part.first, part.count).columns(first, count);
      part.state->keep(part.state->layout().qkv_conv(), index_, first, qkv);
      kernels::causal_conv1d(w_.conv, first, qkv, part.state->qkv_conv(index_));
    });
  }

  [[nodiscard]] std::span<kernels::AttentionPart> place_parts() const {
    for (std::size_t i = 0; i < pass_.parts.size(); ++i) {
      const Part& part = pass_.parts[i];
      s_.parts[i] = {part.state->kv(index_), part.state->layout().kv(),
                     static_cast<std::size_t>(part.state->tokens()), part.first, part.count};
    }
    return {s_.parts, pass_.parts.size()};
  }

  /// Norms and turns queries and keys, and stores keys and values.
  void prepare_tokens(std::span<const kernels::AttentionPart> parts) const {
    constexpr std::size_t kTokens = 16;  // to a task: neighbours share cache lines of the keys
    const std::size_t tokens = s_.qkv.rows;
    pass_.executor.run((tokens + kTokens - 1) / kTokens, [&](std::size_t task) {
      const std::size_t begin = task * kTokens;
      auto part = std::ranges::upper_bound(parts, begin, {}, &kernels::AttentionPart::first) - 1;
      for (std::size_t t = begin; t < std::min(tokens, begin + kTokens); ++t) {
        if (t == part->first + part->count) ++part;
        arrange(t);
        turn(t, part->position + t - part->first);
        kernels::prepare_token(s_.heads, *part, t - part->first, s_.q[t], s_.k[t], s_.v[t],
                               s_.queries);
      }
    });
  }

  /// Heads of queries and keys as RoPE takes them: their channels in order, and normed.
  void arrange(std::size_t t) const {
    if (c_.qk_interleaved) {
      deinterleave(s_.q[t], c_.num_heads, s_.head[t]);
      deinterleave(s_.k[t], c_.num_heads_kv, s_.head[t]);
    }
    if (!c_.qk_norm) return;
    norm_heads(w_.q_norm, c_.num_heads, s_.q[t]);
    norm_heads(w_.k_norm, c_.num_heads_kv, s_.k[t]);
  }

  /// x (heads, head_dim), weight (head_dim).
  void norm_heads(const float* weight, std::size_t heads, float* x) const {
    for (std::size_t h = 0; h < heads; ++h, x += c_.head_dim) {
      kernels::rms_norm(x, weight, c_.head_dim, pass_.config.norm_eps, x);
    }
  }

  void turn(std::size_t t, std::size_t position) const {
    const std::size_t pairs = c_.rotary_emb_dim / 2;
    if (pairs == 0) return;
    kernels::rope_turns(s_.steps, pairs, position, s_.turns[t]);
    for (std::size_t h = 0; h < c_.num_heads; ++h) {
      kernels::rope(s_.turns[t], pairs, s_.q[t] + h * c_.head_dim);
    }
    for (std::size_t h = 0; h < c_.num_heads_kv; ++h) {
      kernels::rope(s_.turns[t], pairs, s_.k[t] + h * c_.head_dim);
    }
  }

  /// Puts the channels of heads x (heads, head_dim) into their order. room (head_dim).
  void deinterleave(float* x, std::size_t heads, float* room) const {
    const std::size_t half = c_.head_dim / 2;
    for (std::size_t h = 0; h < heads; ++h, x += c_.head_dim) {
      std::copy_n(x, c_.head_dim, room);
      for (std::size_t i = 0; i < half; ++i) {
        x[i] = room[2 * i];
        x[half + i] = room[2 * i + 1];
      }
    }
  }

  const AttentionConfig& c_;
  const AttentionWeights& w_;
  const AttentionScratch& s_;
  const Pass& pass_;
  std::size_t index_;
};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
