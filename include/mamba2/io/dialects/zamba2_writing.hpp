// SPDX-License-Identifier: Apache-2.0
// Zamba2 as transformers has it.
#pragma once

#include <cmath>
#include <cstddef>

#include "mamba2/io/dialects/writing.hpp"
#include "mamba2/io/dialects/zamba2.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// What no Zamba2 has.
inline void check_zamba2(ExportCheck& check, const Config& c) {
  const AttentionConfig& a = c.attention;
  check.require_plain_block(c);
  check.require_no_multipliers(c);
  check.require("the layers", c.pattern.find_first_not_of("MS") == std::string::npos,
                "Mamba-2, with a shared block or without", in_quotes(c.pattern));
  check.require_flag("conv_bias", true, c.conv_bias);
  check.require("d_inner", c.d_inner % c.d_model == 0, concat("a multiple of d_model ", c.d_model),
                c.d_inner);
  check.require("dt_limit", c.dt_min == 0.0F && std::isinf(c.dt_max), "none (0..infinity)",
                concat(c.dt_min, "..", c.dt_max));
  check.require("norm_eps", c.norm_eps == 1e-5F, "1e-5", c.norm_eps);
  check.require("mlp.activation", c.mlp.activation == MlpActivation::geglu, "GEGLU", "another");
  check.require_flag("mlp.bias", c.bias, c.mlp.bias);
  check.require("attention.head_dim", a.q_dim() == 2 * c.d_model,
                concat("2 * d_model / num_heads ", a.num_heads), a.head_dim);
  check.require("attention.d_conv", a.d_conv == 0, "0", a.d_conv);
  check.require_flag("attention.qk_norm", false, a.qk_norm);
  check.require_flag("attention.qkv_proj_bias", false, a.qkv_proj_bias);
  check.require_flag("attention.out_proj_bias", false, a.out_proj_bias);
  check.require("attention.rotary_emb_dim", a.rotary_emb_dim == 0 || a.rotary_emb_dim == a.head_dim,
                concat("0 or head_dim ", a.head_dim), a.rotary_emb_dim);
  check.require("attention.softmax_scale",
                a.softmax_scale == std::sqrt(2.0F / static_cast<float>(a.head_dim)),
                concat("sqrt(2 / head_dim ", a.head_dim, ")"), a.softmax_scale);
  check.require("attention.num_heads_kv",
                !c.shared_block.attention_adapters || a.num_heads_kv == a.num_heads,
                concat("num_heads ", a.num_heads, " where there are adapters"), a.num_heads_kv);
}

inline void write_zamba2_keys(JsonWriter& json, const Config& c) {
  const AttentionConfig& a = c.attention;
  Json types = Json::array();
  Json blocks = Json::array();
  for (std::size_t i = 0; i < c.n_layer; ++i) {
    const bool has_block = c.kind(i) == LayerKind::shared_block;
    types.push_back(has_block ? "hybrid" : "mamba");
    if (has_block) blocks.push_back(i);
  }
  json.member("num_hidden_layers", c.n_layer);
  json.member("layers_block_type", types);
  json.member("hybrid_layer_ids", blocks);
  json.member("rms_norm_eps", shortest(c.norm_eps));
  json.member("add_bias_linear", c.bias);
  json.member("chunk_size", 256);
  json.member("mamba_d_conv", c.d_conv);
  json.member("mamba_d_state", c.d_state);
  json.member("mamba_expand", c.d_inner / c.d_model);
  json.member("mamba_headdim", c.headdim);
  json.member("mamba_ngroups", c.ngroups);
  json.member("n_mamba_heads", c.nheads());
  json.member("num_attention_heads", a.num_heads);
  json.member("num_key_value_heads", a.num_heads_kv);
  json.member("attention_head_dim", a.head_dim);
  json.member("attention_hidden_size", 2 * c.d_model);
  json.member("intermediate_size", c.mlp.d_intermediate);
  json.member("num_mem_blocks", c.shared_block.num_blocks);
  json.member("adapter_rank", c.shared_block.adapter_rank);
  json.member("use_shared_attention_adapter", c.shared_block.attention_adapters);
  json.member("use_mem_rope", a.rotary_emb_dim > 0);
  json.member("use_long_context", false);
  json.member("rope_theta", shortest(a.rotary_emb_base));
  if (c.max_position_embeddings > 0) {
    json.member("max_position_embeddings", c.max_position_embeddings);
  }
}

}  // namespace detail

inline constexpr DialectWriting kZamba2Writing = {
    &kZamba2,
    "Zamba2ForCausalLM",
    "model.",
    [](const Config& c) { return c.has(LayerKind::shared_block); },
    detail::check_zamba2,
    detail::write_zamba2_keys};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
