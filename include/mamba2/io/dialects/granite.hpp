// SPDX-License-Identifier: Apache-2.0
// Granite 4.0 (H), dense and with experts, as transformers writes it: model_type granitemoehybrid.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "mamba2/io/dialects/dialect.hpp"
#include "mamba2/io/dialects/hybrid_keys.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// layer_types, one of "mamba" and "attention" each, in 5.x "linear_attention" and
/// "full_attention": which attend.
[[nodiscard]] inline std::vector<bool> read_layer_types(JsonFields& fields) {
  constexpr std::string_view kKey = "layer_types";
  const Json* value = fields.find_value(kKey);
  if (value == nullptr) return std::vector<bool>(read_layer_count(fields, "num_hidden_layers", 32));
  std::vector<bool> attends;
  const auto* list = value->get_ptr<const Json::array_t*>();
  if (list == nullptr) fields.refuse(kKey, "a list", describe(*value));
  for (std::size_t i = 0; list != nullptr && i < list->size(); ++i) {
    const Json& type = (*list)[i];
    attends.push_back(is_text(type, "attention") || is_text(type, "full_attention"));
    if (!attends.back() && !is_text(type, "mamba") && !is_text(type, "linear_attention")) {
      fields.refuse(kKey, "of \"mamba\" and \"attention\"", describe(type), ErrorCode::unsupported);
    }
  }
  return attends;
}

[[nodiscard]] inline Config read_granite(JsonFields& fields) {
  Config config;
  read_model_keys(fields, config, 1e-6, 2);
  const std::size_t experts = fields.integer("num_local_experts", 8, 0);
  const std::vector<bool> attends = read_layer_types(fields);
  config.pattern = pattern_of(attends.size(), attends, true);
  config.n_layer = config.pattern.size();
  if (experts > 0) {
    std::ranges::replace(config.pattern, '-', 'E');
    config.moe.num_experts = experts;
    config.moe.num_experts_per_tok = fields.integer("num_experts_per_tok", 2);
    config.moe.d_intermediate = fields.integer("intermediate_size", 11008);
    config.moe.d_shared = fields.integer("shared_intermediate_size", 1024, 0);
  } else {
    config.mlp.d_intermediate = fields.integer("shared_intermediate_size", 1024);
  }
  config.embedding_multiplier = static_cast<float>(fields.number("embedding_multiplier", 1.0));
  config.residual_multiplier = static_cast<float>(fields.number("residual_multiplier", 1.0));
  config.logits_multiplier = static_cast<float>(1.0 / fields.number("logits_scaling", 1.0));
  if (config.has(LayerKind::mamba2)) read_mamba_keys(fields, config);
  if (config.has(LayerKind::attention)) {
    read_attention_keys(fields, config);
    AttentionConfig& a = config.attention;
    a.softmax_scale = static_cast<float>(fields.number("attention_multiplier", 1.0));
    const Json* position = fields.find_value("position_embedding_type");
    if (position != nullptr && is_text(*position, "rope")) {
      a.rotary_emb_dim = a.head_dim;
      a.rotary_emb_base = read_rope_theta(fields);
    }
  }
  return config;
}

inline constexpr auto kGraniteOuter = std::to_array<TensorRename>(
    {{"embed_tokens.weight", "embedding.weight"}, {"norm.weight", "norm_f.weight"}});

inline constexpr auto kGraniteLayers = std::to_array<TensorRename>(
    {{"input_layernorm.", "norm."},
     {"mamba.", "mixer.", 0, LayerKind::mamba2},
     {"self_attn.", "attention.", 0, LayerKind::attention},
     {"post_attention_layernorm.", "norm.", 1},
     {"shared_mlp.input_linear.", "mlp.gate_proj.|mlp.up_proj.", 1, LayerKind::mlp},
     {"shared_mlp.output_linear.", "mlp.down_proj.", 1, LayerKind::mlp},
     {"block_sparse_moe.router.layer.", "moe.router.", 1, LayerKind::moe},
     {"block_sparse_moe.input_linear.", "moe.experts.*.gate_proj.|moe.experts.*.up_proj.", 1,
      LayerKind::moe},
     {"block_sparse_moe.output_linear.", "moe.experts.*.down_proj.", 1, LayerKind::moe},
     {"shared_mlp.input_linear.", "moe.shared_expert.gate_proj.|moe.shared_expert.up_proj.", 1,
      LayerKind::moe},
     {"shared_mlp.output_linear.", "moe.shared_expert.down_proj.", 1, LayerKind::moe}});

}  // namespace detail

inline constexpr Dialect kGranite = {
    "granitemoehybrid",
    "Granite 4.0",
    [](const detail::JsonFields& c) { return detail::has_model_type(c, "granitemoehybrid"); },
    detail::read_granite,
    "tie_word_embeddings",
    {detail::kGraniteOuter, [](const Config&) { return std::size_t{2}; }, detail::kGraniteLayers}};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
