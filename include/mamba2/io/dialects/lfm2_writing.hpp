// SPDX-License-Identifier: Apache-2.0
// LFM2, dense and with experts, as transformers has it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string_view>

#include "mamba2/io/dialects/lfm2.hpp"
#include "mamba2/io/dialects/writing.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// What no other architecture has.
[[nodiscard]] inline bool is_lfm2(const Config& c) {
  return c.has(LayerKind::short_conv) || c.attention.qk_norm;
}
[[nodiscard]] inline bool is_lfm2_moe(const Config& c) {
  return is_lfm2(c) && c.has(LayerKind::moe);
}

/// Experts of SwiGLU, for each token those with the largest sigmoids.
inline void check_lfm2_experts(ExportCheck& check, const MoeConfig& m) {
  check.require("moe.activation", m.has_gate(), "swiglu", "relu2");
  check.require_flag("moe.sigmoid", true, m.sigmoid);
  check.require("moe.d_shared", m.d_shared == 0, "0", m.d_shared);
  check.require("moe.d_latent", m.d_latent == 0, "0", m.d_latent);
  check.require("moe.n_group", m.n_group == 1, "1", m.n_group);
  check.require("moe.norm_eps", !m.norm_topk_prob || m.norm_eps == kLfm2MoeEps, concat(kLfm2MoeEps),
                m.norm_eps);
}

inline void check_lfm2_attention(ExportCheck& check, const AttentionConfig& a) {
  check.require("attention.d_conv", a.d_conv == 0, "0", a.d_conv);
  check.require_flag("attention.qk_norm", true, a.qk_norm);
  check.require_flag("attention.qkv_proj_bias", false, a.qkv_proj_bias);
  check.require_flag("attention.out_proj_bias", false, a.out_proj_bias);
  const float usual = 1.0F / std::sqrt(static_cast<float>(a.head_dim));
  check.require("attention.softmax_scale", a.softmax_scale == usual,
                concat("1 / sqrt(head_dim ", a.head_dim, ")"), a.softmax_scale);
  check.require("attention.rotary_emb_dim", a.rotary_emb_dim == a.head_dim,
                concat("head_dim ", a.head_dim), a.rotary_emb_dim);
}

inline void check_lfm2(ExportCheck& check, const Config& c) {
  check.require_plain_block(c);
  bool in_turn = c.n_layer % 2 == 0;
  const std::size_t dense = c.count(LayerKind::mlp);
  for (std::size_t i = 0; i < c.n_layer; ++i) {
    const LayerKind kind = c.kind(i);
    const bool mixes = kind == LayerKind::short_conv || kind == LayerKind::attention;
    const LayerKind second = i / 2 < dense ? LayerKind::mlp : LayerKind::moe;
    in_turn = in_turn && (i % 2 == 0 ? mixes : kind == second);
  }
  check.require("the layers", in_turn,
                "a convolution or attention and an MLP in turn, the last MLPs perhaps experts",
                in_quotes(c.pattern));
  const auto require_one = [&](std::string_view key, float factor) {
    check.require(key, factor == 1.0F, "1", factor);
  };
  require_one("embedding_multiplier", c.embedding_multiplier);
  require_one("residual_multiplier", c.residual_multiplier);
  require_one("logits_multiplier", c.logits_multiplier);
  check.require("mlp.activation", dense == 0 || c.mlp.activation == MlpActivation::swiglu, "SwiGLU",
                "another");
  check.require_flag("mlp.bias", false, c.mlp.bias);
  if (c.has(LayerKind::moe)) check_lfm2_experts(check, c.moe);
  if (c.has(LayerKind::attention)) check_lfm2_attention(check, c.attention);
}

inline void write_lfm2_expert_keys(JsonWriter& json, const Config& c) {
  const MoeConfig& m = c.moe;
  json.member("num_dense_layers", c.count(LayerKind::mlp));
  json.member("num_experts", m.num_experts);
  json.member("num_experts_per_tok", m.num_experts_per_tok);
  json.member("moe_intermediate_size", m.d_intermediate);
  json.member("use_expert_bias", m.router_bias);
  json.member("norm_topk_prob", m.norm_topk_prob);
  json.member("routed_scaling_factor", shortest(m.routed_scaling_factor));
}

inline void write_lfm2_keys(JsonWriter& json, const Config& c) {
  Json types = Json::array();
  Json attends = Json::array();
  for (std::size_t i = 0; i < c.n_layer; i += 2) {
    const bool here = c.kind(i) == LayerKind::attention;
    types.push_back(here ? "full_attention" : "conv");
    if (here) attends.push_back(i / 2);
  }
  json.member("num_hidden_layers", c.n_layer / 2);
  json.member("layer_types", types);
  json.member("full_attn_idxs", attends);
  json.member("norm_eps", shortest(c.norm_eps));
  json.member("intermediate_size", std::max<std::size_t>(1, c.mlp.d_intermediate));
  json.member("conv_L_cache", std::max<std::size_t>(1, c.short_conv.d_conv));
  json.member("conv_bias", c.short_conv.bias);
  if (c.has(LayerKind::moe)) {
    write_lfm2_expert_keys(json, c);
  } else {
    json.member("block_auto_adjust_ff_dim", false);
  }
  write_attention_keys(json, c);
}

}  // namespace detail

inline constexpr DialectWriting kLfm2MoeWriting = {&kLfm2Moe,          "Lfm2MoeForCausalLM",
                                                   "model.",           detail::is_lfm2_moe,
                                                   detail::check_lfm2, detail::write_lfm2_keys};

inline constexpr DialectWriting kLfm2Writing = {
    &kLfm2,          "Lfm2ForCausalLM",  "model.",
    detail::is_lfm2, detail::check_lfm2, detail::write_lfm2_keys};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
