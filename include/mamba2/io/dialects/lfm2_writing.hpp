// SPDX-License-Identifier: Apache-2.0
// LFM2 without experts, as transformers has it.
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

inline void check_lfm2(ExportCheck& check, const Config& c) {
  const AttentionConfig& a = c.attention;
  check.require_pairs(c);
  check.require("the layers", !c.has(LayerKind::mamba2), "convolutions, attention and MLPs",
                in_quotes(c.pattern));
  const auto require_one = [&](std::string_view key, float factor) {
    check.require(key, factor == 1.0F, "1", factor);
  };
  require_one("embedding_multiplier", c.embedding_multiplier);
  require_one("residual_multiplier", c.residual_multiplier);
  require_one("logits_multiplier", c.logits_multiplier);
  check.require_flag("mlp.bias", false, c.mlp.bias);
  if (!c.has(LayerKind::attention)) return;
  check.require_flag("attention.qk_norm", true, a.qk_norm);
  check.require_flag("attention.qkv_proj_bias", false, a.qkv_proj_bias);
  check.require_flag("attention.out_proj_bias", false, a.out_proj_bias);
  const float usual = 1.0F / std::sqrt(static_cast<float>(a.head_dim));
  check.require("attention.softmax_scale", a.softmax_scale == usual,
                concat("1 / sqrt(head_dim ", a.head_dim, ")"), a.softmax_scale);
  check.require("attention.rotary_emb_dim", a.rotary_emb_dim == a.head_dim,
                concat("head_dim ", a.head_dim), a.rotary_emb_dim);
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
  json.member("intermediate_size", c.mlp.d_intermediate);
  json.member("block_auto_adjust_ff_dim", false);
  json.member("conv_L_cache", std::max<std::size_t>(1, c.short_conv.d_conv));
  json.member("conv_bias", c.short_conv.bias);
  write_attention_keys(json, c);
}

}  // namespace detail

inline constexpr DialectWriting kLfm2Writing = {
    &kLfm2,          "Lfm2ForCausalLM",  "model.",
    detail::is_lfm2, detail::check_lfm2, detail::write_lfm2_keys};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
