// SPDX-License-Identifier: Apache-2.0
// Nemotron-H as transformers has it: hybrids without gates in MLPs and experts.
#pragma once

#include <cmath>
#include <cstddef>

#include "mamba2/io/dialects/nemotron_h.hpp"
#include "mamba2/io/dialects/writing.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// Whether all layers are of the kinds of Nemotron-H.
[[nodiscard]] inline bool becomes_nemotron(const Config& c) {
  return c.is_hybrid() && (!c.has(LayerKind::mlp) || !c.mlp.has_gate()) &&
         (!c.has(LayerKind::moe) || !c.moe.has_gate());
}

/// What no Nemotron-H has.
inline void check_nemotron(ExportCheck& check, const Config& c) {
  check.require_plain_block(c);
  check.require_no_multipliers(c);
  if (c.has(LayerKind::moe)) {
    check.require_flag("moe.sigmoid", true, c.moe.sigmoid);
    check.require_flag("moe.router_bias", true, c.moe.router_bias);
    check.require("moe.d_shared", c.moe.d_shared > 0, "at least 1", c.moe.d_shared);
    check.require_flag("mlp.bias", false, c.mlp.bias);
  }
  if (!c.has(LayerKind::attention)) return;
  const AttentionConfig& a = c.attention;
  check.require("attention.d_conv", a.d_conv == 0, "0", a.d_conv);
  check.require("attention.rotary_emb_dim", a.rotary_emb_dim == 0, "0", a.rotary_emb_dim);
  check.require_flag("attention.qkv_proj_bias", false, a.qkv_proj_bias);
  check.require_flag("attention.out_proj_bias", false, a.out_proj_bias);
  check.require_usual_scale(a);
}

inline void write_nemotron_experts(JsonWriter& json, const MoeConfig& moe) {
  json.member("n_routed_experts", moe.num_experts);
  json.member("n_shared_experts", 1);
  json.member("num_experts_per_tok", moe.num_experts_per_tok);
  json.member("moe_intermediate_size", moe.d_intermediate);
  json.member("moe_shared_expert_intermediate_size", moe.d_shared);
  if (moe.d_latent > 0) json.member("moe_latent_size", moe.d_latent);
  json.member("n_group", moe.n_group);
  json.member("topk_group", moe.topk_group);
  json.member("norm_topk_prob", moe.norm_topk_prob);
  json.member("routed_scaling_factor", shortest(moe.routed_scaling_factor));
}

inline void write_nemotron_keys(JsonWriter& json, const Config& c) {
  json.member("num_hidden_layers", c.n_layer);
  json.member("hybrid_override_pattern", c.pattern);
  json.member("layer_norm_epsilon", shortest(c.norm_eps));
  if (c.has(LayerKind::attention)) {
    json.member("num_attention_heads", c.attention.num_heads);
    json.member("num_key_value_heads", c.attention.num_heads_kv);
    json.member("head_dim", c.attention.head_dim);
    json.member("attention_head_dim", c.attention.head_dim);  // as it was called before
    json.member("attention_bias", false);
    if (c.max_position_embeddings > 0) {
      json.member("max_position_embeddings", c.max_position_embeddings);
    }
  }
  if (c.has(LayerKind::mlp)) {
    json.member("intermediate_size", c.mlp.d_intermediate);
    json.member("mlp_bias", c.mlp.bias);
  }
  if (c.has(LayerKind::moe)) write_nemotron_experts(json, c.moe);
  if (c.has(LayerKind::mlp) || c.has(LayerKind::moe)) json.member("mlp_hidden_act", "relu2");
  if (!c.has(LayerKind::mamba2)) return;
  json.member("mamba_num_heads", c.nheads());
  json.member("mamba_head_dim", c.headdim);
  json.member("ssm_state_size", c.d_state);
  json.member("n_groups", c.ngroups);
  json.member("conv_kernel", c.d_conv);
  json.member("chunk_size", 256);
  json.member("use_bias", c.bias);
  json.member("use_conv_bias", c.conv_bias);
  json.member("mamba_hidden_act", "silu");
}

}  // namespace detail

inline constexpr DialectWriting kNemotronHWriting = {&kNemotronH,
                                                     "NemotronHForCausalLM",
                                                     "backbone.",
                                                     detail::becomes_nemotron,
                                                     detail::check_nemotron,
                                                     detail::write_nemotron_keys};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
