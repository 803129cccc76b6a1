// SPDX-License-Identifier: Apache-2.0
// Nemotron-H, Nemotron-Nano-v2 and Nemotron-3, as NVIDIA and transformers write them: model_type
// nemotron_h.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>

#include "mamba2/io/dialects/dialect.hpp"
#include "mamba2/io/dialects/hybrid_keys.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// The kind of a layer that layers_block_type names, in the spellings of 4.x and 5.x; ' ' where it
/// is another.
[[nodiscard]] inline char nemotron_kind(const Json& name) {
  for (const std::string_view mamba2 : {"mamba", "linear_attention"}) {
    if (is_text(name, mamba2)) return static_cast<char>(LayerKind::mamba2);
  }
  for (const std::string_view attention : {"attention", "full_attention"}) {
    if (is_text(name, attention)) return static_cast<char>(LayerKind::attention);
  }
  if (is_text(name, "moe")) return static_cast<char>(LayerKind::moe);
  return is_text(name, "mlp") ? static_cast<char>(LayerKind::mlp) : ' ';
}

/// The pattern: layers_block_type (5.x), or else hybrid_override_pattern (NVIDIA, 4.x). Its length
/// is the number of layers, whatever num_hidden_layers says.
[[nodiscard]] inline std::string read_nemotron_pattern(JsonFields& fields) {
  constexpr std::string_view kList = "layers_block_type";
  constexpr std::string_view kPattern = "hybrid_override_pattern";
  std::string pattern;
  const Json* value = fields.find_value(kList);
  const std::string_view key = value != nullptr ? kList : kPattern;
  if (value != nullptr) {
    const auto* list = value->get_ptr<const Json::array_t*>();
    if (list == nullptr) fields.refuse(key, "a list", describe(*value));
    for (std::size_t i = 0; list != nullptr && i < list->size(); ++i) {
      pattern += nemotron_kind((*list)[i]);
      if (pattern.back() != ' ') continue;
      fields.refuse(key, "of \"mamba\", \"attention\", \"mlp\" and \"moe\"", describe((*list)[i]),
                    ErrorCode::unsupported);
    }
  } else {
    const Json* text = fields.find_value(kPattern);
    const auto* layers = text == nullptr ? nullptr : text->get_ptr<const std::string*>();
    if (layers == nullptr) {
      fields.refuse(key, "a text of M, *, - and E",
                    text == nullptr ? "no such key" : describe(*text));
    } else if (const auto odd = layers->find_first_not_of("M*-E"); odd != std::string::npos) {
      fields.refuse(key, "of M, *, - and E", in_quotes(layers->substr(odd, 1)),
                    ErrorCode::unsupported);
    } else {
      pattern = *layers;
    }
  }
  if (pattern.empty() || pattern.size() > Config::kMaxLayers) {
    fields.refuse(key, concat("of 1..", Config::kMaxLayers, " layers"), concat(pattern.size()));
    pattern = "M";
  }
  const std::size_t layers = integer_or(fields, "num_hidden_layers", pattern.size());
  if (layers != pattern.size()) {
    fields.note(concat(fields.name(), ": num_hidden_layers is ", layers, ", but ", key, " has ",
                       pattern.size(), " layers, which count"));
  }
  return pattern;
}

/// The keys of the Mamba-2 layers. `expand` is not one: d_inner is heads * head_dim. The bounds of
/// the step size are those of time_step_limit alone: time_step_min and time_step_floor are what
/// training began with.
inline void read_nemotron_mamba(JsonFields& fields, Config& config) {
  // The second name is an older one.
  const auto either = [&](std::string_view key, std::string_view older) {
    return fields.find_value(key) == nullptr && fields.find_value(older) != nullptr ? older : key;
  };
  const std::size_t heads = fields.integer("mamba_num_heads", 128);
  config.headdim = fields.integer("mamba_head_dim", 64);
  config.d_inner = config.d_ssm = heads * config.headdim;
  config.d_state = fields.integer("ssm_state_size", 128);
  config.ngroups = fields.integer(either("n_groups", "mamba_n_groups"), 8);
  config.d_conv = fields.integer(either("conv_kernel", "mamba_d_conv"), 4);
  config.conv_bias = fields.flag(either("use_conv_bias", "mamba_conv_bias"), true);
  config.bias = fields.flag("use_bias", false);
  read_dt_limit(fields, either("time_step_limit", "mamba_dt_limit"), config);
  require_silu(fields, "mamba_hidden_act");
}

/// Attention without positions and without biases.
inline void read_nemotron_attention(JsonFields& fields, Config& config) {
  AttentionConfig& a = config.attention;
  a.num_heads = fields.integer("num_attention_heads", 32);
  a.num_heads_kv = integer_or(fields, "num_key_value_heads", 8);
  a.head_dim = integer_or(fields, "head_dim", integer_or(fields, "attention_head_dim", 128));
  a.softmax_scale = 1.0F / std::sqrt(static_cast<float>(a.head_dim));
  config.max_position_embeddings = integer_or(fields, "max_position_embeddings", 0);
  if (const Json* window = fields.find_value("sliding_window")) {
    fields.refuse("sliding_window", "null", describe(*window), ErrorCode::unsupported);
  }
}

/// Experts of squared ReLU without biases.
inline void read_nemotron_experts(JsonFields& fields, MoeConfig& moe) {
  moe.num_experts = fields.integer("n_routed_experts", 8);
  moe.num_experts_per_tok = fields.integer("num_experts_per_tok", 2);
  moe.d_intermediate = fields.integer("moe_intermediate_size", 7688);
  moe.d_shared = fields.integer("moe_shared_expert_intermediate_size", 7688);
  moe.d_latent = integer_or(fields, "moe_latent_size", 0);
  moe.n_group = fields.integer("n_group", 1);
  moe.topk_group = fields.integer("topk_group", 1);
  moe.activation = MlpActivation::relu2;
  moe.sigmoid = moe.router_bias = true;
  moe.norm_topk_prob = fields.flag("norm_topk_prob", true);
  moe.norm_eps = 1e-20F;
  moe.routed_scaling_factor = static_cast<float>(fields.number("routed_scaling_factor", 1.0));
}

[[nodiscard]] inline Config read_nemotron_h(JsonFields& fields) {
  Config config;
  config.vocab_size = fields.integer("vocab_size", 131072);
  config.d_model = fields.integer("hidden_size", 4096);
  config.norm_eps = static_cast<float>(fields.number("layer_norm_epsilon", 1e-5));
  config.tie_embeddings = fields.flag("tie_word_embeddings", false);
  config.eos_token_ids = read_eos(fields, config.vocab_size, 2);
  config.pattern = read_nemotron_pattern(fields);
  config.n_layer = config.pattern.size();
  if (config.has(LayerKind::mamba2)) read_nemotron_mamba(fields, config);
  if (config.has(LayerKind::attention)) read_nemotron_attention(fields, config);
  if (config.has(LayerKind::mlp)) {
    config.mlp.d_intermediate = fields.integer("intermediate_size", 21504);
    config.mlp.bias = fields.flag("mlp_bias", false);
    config.mlp.activation = MlpActivation::relu2;
  }
  if (config.has(LayerKind::moe)) {
    read_nemotron_experts(fields, config.moe);
    if (fields.flag("mlp_bias", false)) {
      fields.refuse("mlp_bias", "false where there are experts", "true", ErrorCode::unsupported);
    }
  }
  if (config.has(LayerKind::mlp) || config.has(LayerKind::moe)) {
    const Json* act = fields.find_value("mlp_hidden_act");
    if (act != nullptr) require_text(fields, "mlp_hidden_act", *act, "relu2");
  }
  return config;
}

inline constexpr auto kNemotronOuter = std::to_array<TensorRename>(
    {{"embeddings.weight", "embedding.weight"}, {"norm_f.weight", "norm_f.weight"}});

/// A layer is one branch, whose mixer is called so whatever it is.
inline constexpr auto kNemotronLayers = std::to_array<TensorRename>(
    {{"norm.", "norm."},
     {"mixer.", "mixer.", 0, LayerKind::mamba2},
     {"mixer.", "attention.", 0, LayerKind::attention},
     {"mixer.", "mlp.", 0, LayerKind::mlp},
     {"mixer.gate.e_score_correction_bias", "moe.router.bias", 0, LayerKind::moe},
     {"mixer.gate.", "moe.router.", 0, LayerKind::moe},
     {"mixer.experts.", "moe.experts.", 0, LayerKind::moe},
     {"mixer.shared_experts.", "moe.shared_expert.", 0, LayerKind::moe},
     {"mixer.fc1_latent_proj.", "moe.latent_in_proj.", 0, LayerKind::moe},
     {"mixer.fc2_latent_proj.", "moe.latent_out_proj.", 0, LayerKind::moe}});

}  // namespace detail

/// "mtp.": heads that guess tokens further on, which these do not need.
inline constexpr Dialect kNemotronH = {
    "nemotron_h",
    "Nemotron-H",
    [](const detail::JsonFields& c) { return detail::has_model_type(c, "nemotron_h"); },
    detail::read_nemotron_h,
    "tie_word_embeddings",
    {detail::kNemotronOuter, [](const Config&) { return std::size_t{1}; }, detail::kNemotronLayers,
     "mtp."}};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
