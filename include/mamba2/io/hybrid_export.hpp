// SPDX-License-Identifier: Apache-2.0
// A hybrid as a checkpoint of Hugging Face transformers: granitemoehybrid, or bamba where RoPE
// turns half of a head or MLPs have biases. The keys are those of its version 4, which version 5
// and llama.cpp's converter read, too.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/formats/dtype.hpp"
#include "mamba2/io/dialects/bamba.hpp"
#include "mamba2/io/dialects/granite.hpp"
#include "mamba2/io/dialects/names.hpp"
#include "mamba2/io/export.hpp"
#include "mamba2/io/json.hpp"
#include "mamba2/io/json_fields.hpp"
#include "mamba2/io/json_writer.hpp"
#include "mamba2/io/tensor_names.hpp"
#include "mamba2/layers/config.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// A float as the number that people wrote: 1e-05, not 9.99999975e-06.
[[nodiscard]] inline double shortest(float value) {
  return *number_of(*parse_json(concat(value), "a float"));
}

[[nodiscard]] inline bool becomes_bamba(const Config& c) noexcept {
  return c.mlp.bias ||
         (c.attention.rotary_emb_dim > 0 && c.attention.rotary_emb_dim == c.attention.head_dim / 2);
}

inline void check_hybrid_export(ExportCheck& check, const Config& c) {
  const AttentionConfig& a = c.attention;
  check.require_pairs(c);
  const bool fits = !c.has(LayerKind::mamba2) || c.d_inner % c.d_model == 0;
  check.require("d_inner", fits, concat("a multiple of d_model ", c.d_model), c.d_inner);
  check.require_flag("attention.out_proj_bias", a.qkv_proj_bias, a.out_proj_bias);
  if (!becomes_bamba(c)) {
    check.require("attention.rotary_emb_dim",
                  a.rotary_emb_dim == 0 || a.rotary_emb_dim == a.head_dim,
                  concat("0, head_dim ", a.head_dim, " or half of it"), a.rotary_emb_dim);
    return;
  }
  const auto require_one = [&](std::string_view key, float factor) {
    check.require(key, factor == 1.0F, "1", factor);
  };
  require_one("embedding_multiplier", c.embedding_multiplier);
  require_one("residual_multiplier", c.residual_multiplier);
  require_one("logits_multiplier", c.logits_multiplier);
  if (!c.has(LayerKind::attention)) return;
  const float usual = 1.0F / std::sqrt(static_cast<float>(a.head_dim));
  check.require("attention.softmax_scale", a.softmax_scale == usual,
                concat("1 / sqrt(head_dim ", a.head_dim, ")"), a.softmax_scale);
  check.require("attention.rotary_emb_dim", a.rotary_emb_dim == a.head_dim / 2,
                concat("half of head_dim ", a.head_dim), a.rotary_emb_dim);
}

inline void write_attention_keys(JsonWriter& json, const Config& c) {
  const AttentionConfig& a = c.attention;
  json.member("attention_bias", a.qkv_proj_bias);
  // transformers wants a number where no layer attends, too.
  json.member("num_attention_heads", std::max<std::size_t>(1, a.num_heads));
  json.member("num_key_value_heads", std::max<std::size_t>(1, a.num_heads_kv));
  if (c.has(LayerKind::attention) && a.q_dim() != c.d_model) json.member("head_dim", a.head_dim);
  if (c.max_position_embeddings > 0) {
    json.member("max_position_embeddings", c.max_position_embeddings);
  }
  if (a.rotary_emb_dim > 0) json.member("rope_theta", shortest(a.rotary_emb_base));
}

inline void write_mamba_keys(JsonWriter& json, const Config& c) {
  if (!c.has(LayerKind::mamba2)) return json.member("mamba_n_heads", 1);  // which divides all sizes
  json.member("mamba_chunk_size", 256);
  json.member("mamba_conv_bias", c.conv_bias);
  json.member("mamba_d_conv", c.d_conv);
  json.member("mamba_d_head", c.headdim);
  json.member("mamba_d_state", c.d_state);
  json.member("mamba_expand", c.d_inner / c.d_model);
  json.member("mamba_n_groups", c.ngroups);
  json.member("mamba_n_heads", c.nheads());
  json.member("mamba_proj_bias", c.bias);
}

inline void write_granite_keys(JsonWriter& json, const Config& c) {
  Json types = Json::array();
  for (std::size_t i = 0; i < c.n_layer; i += 2) {
    types.push_back(c.kind(i) == LayerKind::attention ? "attention" : "mamba");
  }
  json.member("layer_types", types);
  // Of experts, of which there are none; llama.cpp's converter reads this key.
  json.member("intermediate_size", c.mlp.d_intermediate);
  json.member("shared_intermediate_size", c.mlp.d_intermediate);
  json.member("num_local_experts", 0);
  json.member("num_experts_per_tok", 0);
  json.member("normalization_function", "rmsnorm");
  json.member("position_embedding_type", c.attention.rotary_emb_dim > 0 ? "rope" : "nope");
  json.member("attention_multiplier", shortest(c.attention.softmax_scale));
  json.member("embedding_multiplier", shortest(c.embedding_multiplier));
  json.member("residual_multiplier", shortest(c.residual_multiplier));
  json.member("logits_scaling", shortest(1.0F / c.logits_multiplier));
}

inline void write_bamba_keys(JsonWriter& json, const Config& c) {
  Json layers = Json::array();
  for (std::size_t i = 0; i < c.n_layer; i += 2) {
    if (c.kind(i) == LayerKind::attention) layers.push_back(i / 2);
  }
  json.member("attn_layer_indices", layers);
  json.member("attn_rotary_emb", c.attention.rotary_emb_dim);
  json.member("intermediate_size", c.mlp.d_intermediate);
  json.member("mlp_bias", c.mlp.bias);
}

/// The keys of a hybrid but for those that all models have.
inline void write_hybrid_keys(JsonWriter& json, const Config& c) {
  const bool is_bamba = becomes_bamba(c);
  json.member("architectures",
              Json::array({is_bamba ? "BambaForCausalLM" : "GraniteMoeHybridForCausalLM"}));
  json.member("model_type", is_bamba ? kBamba.name : kGranite.name);
  json.member("num_hidden_layers", c.n_layer / 2);
  json.member("rms_norm_eps", shortest(c.norm_eps));
  if (is_bamba) {
    write_bamba_keys(json, c);
  } else {
    write_granite_keys(json, c);
  }
  write_attention_keys(json, c);
  write_mamba_keys(json, c);
}

/// All tensors of a hybrid in their order.
[[nodiscard]] inline std::vector<ExportedTensor> hybrid_export(const Config& config,
                                                               DType matrices) {
  const DialectNames& names = (becomes_bamba(config) ? kBamba : kGranite).names;
  std::vector<ExportedTensor> tensors;
  (void)expected_tensors(config, [&](const TensorSpec& spec) {
    ExportedTensor tensor{spec.name, spec.name, spec.shape,
                          is_matrix(spec.role) ? matrices : DType::F32, spec.role};
    if (auto theirs = tensor_in(names, config, spec.name)) {              // all but the head
      if (theirs->canonical.front() != spec.name) return Result<void>();  // comes with the first
      tensor.name = concat("model.", theirs->name);
      tensor.shape.front() *= theirs->canonical.size();
      tensor.below.assign(theirs->canonical.begin() + 1, theirs->canonical.end());
    }
    set_qk_order(tensor, config, false);
    tensors.push_back(std::move(tensor));
    return Result<void>();
  });
  return tensors;
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
