// SPDX-License-Identifier: Apache-2.0
// Falcon-H1 as transformers has it.
#pragma once

#include <cmath>
#include <cstddef>

#include "mamba2/io/dialects/falcon_h1.hpp"
#include "mamba2/io/dialects/writing.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

[[nodiscard]] inline bool becomes_falcon(const Config& c) { return c.has(LayerKind::parallel); }

/// What softmax_scale has besides 1 / sqrt(head_dim): the factor of keys.
[[nodiscard]] inline float key_multiplier(const AttentionConfig& a) {
  return a.softmax_scale * std::sqrt(static_cast<float>(a.head_dim));
}

/// What no Falcon-H1 has.
inline void check_falcon(ExportCheck& check, const Config& c) {
  const AttentionConfig& a = c.attention;
  bool in_turn = c.n_layer % 2 == 0;
  for (std::size_t i = 0; i < c.n_layer; ++i) {
    in_turn = in_turn && c.kind(i) == (i % 2 == 1 ? LayerKind::mlp : LayerKind::parallel);
  }
  check.require("the layers", in_turn, "of two mixers and an MLP in turn", in_quotes(c.pattern));
  check.require_flag("D_has_hdim", false, c.D_has_hdim);
  check.require("d_ssm", c.d_ssm == c.d_inner,
                concat("d_inner ", c.d_inner, " (no gated MLP part)"), c.d_ssm);
  check.require("mlp.activation", c.mlp.activation == MlpActivation::swiglu, "SwiGLU", "another");
  check.require("attention.d_conv", a.d_conv == 0, "0", a.d_conv);
  check.require("attention.rotary_emb_dim", a.rotary_emb_dim == a.head_dim,
                concat("head_dim ", a.head_dim), a.rotary_emb_dim);
  check.require_flag("attention.out_proj_bias", a.qkv_proj_bias, a.out_proj_bias);
  const float key = key_multiplier(a);
  check.require("attention.softmax_scale", std::isnormal(key) && std::isnormal(a.softmax_scale),
                "1 / sqrt(head_dim) times a factor", a.softmax_scale);
  check.require("residual_multiplier", c.residual_multiplier == 1.0F, "1", c.residual_multiplier);
}

inline void write_falcon_keys(JsonWriter& json, const Config& c) {
  const Mamba2Multipliers& m = c.ssm_multipliers;
  json.member("num_hidden_layers", c.n_layer / 2);
  json.member("rms_norm_eps", shortest(c.norm_eps));
  json.member("intermediate_size", c.mlp.d_intermediate);
  json.member("mlp_bias", c.mlp.bias);
  write_attention_keys(json, c);
  // transformers wants it, also where it is what it would be without.
  if (c.attention.q_dim() == c.d_model) json.member("head_dim", c.attention.head_dim);
  write_mamba_keys(json, c);
  json.member("mamba_d_ssm", c.d_ssm);
  json.member("mamba_rms_norm", c.rmsnorm);
  json.member("mamba_norm_before_gate", c.norm_before_gate);
  json.member("projectors_bias", c.bias);
  json.member("embedding_multiplier", shortest(c.embedding_multiplier));
  json.member("lm_head_multiplier", shortest(c.logits_multiplier));
  json.member("attention_in_multiplier", shortest(c.attention.in_multiplier));
  json.member("attention_out_multiplier", shortest(c.attention.out_multiplier));
  json.member("key_multiplier", shortest(key_multiplier(c.attention)));
  json.member("mlp_multipliers", {shortest(c.mlp.gate_multiplier), shortest(c.mlp.out_multiplier)});
  json.member("ssm_in_multiplier", shortest(m.in));
  json.member("ssm_out_multiplier", shortest(m.out));
  json.member("ssm_multipliers",
              {shortest(m.z), shortest(m.x), shortest(m.B), shortest(m.C), shortest(m.dt)});
}

}  // namespace detail

inline constexpr DialectWriting kFalconH1Writing = {
    &kFalconH1,           "FalconH1ForCausalLM",    "model.", detail::becomes_falcon,
    detail::check_falcon, detail::write_falcon_keys};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
