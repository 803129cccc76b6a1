// SPDX-License-Identifier: Apache-2.0
// The config.json of hybrid models, read into an oracle without weights. For the tests' own files:
// a key that must be there and is not ends the test.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "tests/reference/hybrid_reference.hpp"

namespace reference {

/// Who wrote a checkpoint, by what it calls things.
enum class Writer {
  granite,       ///< transformers, model_type granitemoehybrid
  bamba,         ///< transformers, model_type bamba
  falcon,        ///< transformers, model_type falcon_h1
  lfm2,          ///< transformers, model_type lfm2 or lfm2_moe
  nemotron,      ///< transformers, model_type nemotron_h
  zamba,         ///< transformers, model_type zamba2
  state_spaces,  ///< the original implementation, with attention layers or MLPs
};

namespace detail {

/// json[key]; `fallback` where it is absent or null.
template <class T>
T value_or(const nlohmann::json& json, const char* key, T fallback) {
  const auto found = json.find(key);
  return found == json.end() || found->is_null() ? fallback : found->template get<T>();
}

inline std::size_t size_at(const nlohmann::json& json, const char* key) {
  return json.at(key).get<std::size_t>();
}

/// A bound of the step size; newer writers spell an infinite one {"__float__": "Infinity"}.
inline float bound(const nlohmann::json& value) {
  return value.is_number() ? value.get<float>() : std::numeric_limits<float>::infinity();
}

/// The base of RoPE, inside rope_parameters or beside the other keys.
inline double rope_theta(const nlohmann::json& json, double usual = 10000.0) {
  const auto parameters = json.find("rope_parameters");
  return value_or(parameters != json.end() ? *parameters : json, "rope_theta", usual);
}

/// A Mamba-2 mixer by the keys that granitemoehybrid and bamba share.
inline MambaMixer transformers_mamba(const nlohmann::json& json) {
  MambaMixer mamba;
  Config& config = mamba.config;
  config.n_layer = config.vocab_size = 1;
  config.d_model = size_at(json, "hidden_size");
  config.d_inner = config.d_ssm = size_at(json, "mamba_expand") * config.d_model;
  const nlohmann::json& headdim = json.at("mamba_d_head");  // a number, or "auto"
  config.headdim = headdim.is_number() ? headdim.get<std::size_t>()
                                       : config.d_ssm / size_at(json, "mamba_n_heads");
  config.d_state = size_at(json, "mamba_d_state");
  config.ngroups = size_at(json, "mamba_n_groups");
  config.d_conv = size_at(json, "mamba_d_conv");
  config.norm_eps = json.at("rms_norm_eps").get<float>();
  if (json.contains("time_step_limit")) {
    config.dt_min = bound(json["time_step_limit"][0]);
    config.dt_max = bound(json["time_step_limit"][1]);
  }
  config.bias = json.at("mamba_proj_bias").get<bool>();
  config.conv_bias = json.at("mamba_conv_bias").get<bool>();
  return mamba;
}

/// An attention mixer, without positions, by the keys that granitemoehybrid and bamba share.
inline Attention transformers_attention(const nlohmann::json& json) {
  Attention attention;
  attention.d_model = size_at(json, "hidden_size");
  attention.heads = size_at(json, "num_attention_heads");
  attention.kv_heads = value_or(json, "num_key_value_heads", attention.heads);
  attention.head_dim = value_or(json, "head_dim", attention.d_model / attention.heads);
  attention.scale = 1.0 / std::sqrt(static_cast<double>(attention.head_dim));
  attention.rope.base = rope_theta(json);
  attention.qkv_has_bias = attention.o_has_bias = json.at("attention_bias").get<bool>();
  return attention;
}

/// What granitemoehybrid and bamba have in common outside their layers.
inline Hybrid transformers_model(const nlohmann::json& json) {
  Hybrid model;
  model.d_model = size_at(json, "hidden_size");
  model.vocab_size = size_at(json, "vocab_size");
  model.norm_eps = json.at("rms_norm_eps").get<double>();
  model.tie_embeddings = json.at("tie_word_embeddings").get<bool>();
  return model;
}

inline Hybrid granite_config(const nlohmann::json& json) {
  Hybrid model = transformers_model(json);
  model.embedding_scale = json.at("embedding_multiplier").get<double>();
  model.logits_scale = json.at("logits_scaling").get<double>();
  const double scale = json.at("residual_multiplier").get<double>();
  Attention attention = transformers_attention(json);
  attention.scale = json.at("attention_multiplier").get<double>();
  const bool rope = value_or<std::string>(json, "position_embedding_type", "nope") == "rope";
  attention.rope.width = rope ? attention.head_dim : 0;
  Mlp mlp;
  mlp.d_model = model.d_model;
  mlp.width = size_at(json, "shared_intermediate_size");
  Mixer second = mlp;
  if (size_at(json, "num_local_experts") > 0) {
    Moe moe;
    moe.d_model = model.d_model;
    moe.chosen = size_at(json, "num_experts_per_tok");
    moe.shared = mlp;
    mlp.width = size_at(json, "intermediate_size");
    moe.experts.assign(size_at(json, "num_local_experts"), mlp);
    second = moe;
  }
  for (const auto& type : json.at("layer_types").get<std::vector<std::string>>()) {
    const bool attends = type == "attention" || type == "full_attention";
    const Mixer first = attends ? Mixer(attention) : Mixer(transformers_mamba(json));
    model.layers.push_back({{{}, scale, first}, {{}, scale, second}});
  }
  return model;
}

inline Hybrid bamba_config(const nlohmann::json& json) {
  Hybrid model = transformers_model(json);
  Attention attention = transformers_attention(json);
  attention.rope.width = attention.head_dim / 2;
  Mlp mlp;
  mlp.d_model = model.d_model;
  mlp.width = size_at(json, "intermediate_size");
  mlp.has_bias = value_or(json, "mlp_bias", false);
  const auto attends = value_or<std::vector<std::size_t>>(json, "attn_layer_indices", {});
  for (std::size_t i = 0; i < size_at(json, "num_hidden_layers"); ++i) {
    const bool here = std::find(attends.begin(), attends.end(), i) != attends.end();
    const Mixer first = here ? Mixer(attention) : Mixer(transformers_mamba(json));
    model.layers.push_back({{{}, 1.0, first}, {{}, 1.0, mlp}});
  }
  return model;
}

/// The width of the MLPs: two thirds of what is stated, and rounded up, unless it is said to be
/// meant as it is.
inline std::size_t lfm2_width(const nlohmann::json& json) {
  std::size_t width = json.contains("block_ff_dim") ? size_at(json, "block_ff_dim")
                                                    : size_at(json, "intermediate_size");
  if (!value_or(json, "block_auto_adjust_ff_dim", true)) return width;
  width = 2 * width / 3;
  const auto factor = json.find("block_ffn_dim_multiplier");
  if (factor != json.end() && factor->is_null()) return width;
  width = static_cast<std::size_t>(value_or(json, "block_ffn_dim_multiplier", 1.0) *
                                   static_cast<double>(width));
  const auto multiple = value_or<std::size_t>(json, "block_multiple_of", 256);
  return (width + multiple - 1) / multiple * multiple;
}

inline Moe lfm2_experts(const nlohmann::json& json) {
  Moe moe;
  moe.d_model = size_at(json, "hidden_size");
  moe.chosen = size_at(json, "num_experts_per_tok");
  moe.sigmoid = true;
  moe.normalized = json.at("norm_topk_prob").get<bool>();
  moe.eps = 1e-6;
  moe.factor = json.at("routed_scaling_factor").get<double>();
  Mlp expert;
  expert.d_model = moe.d_model;
  expert.width = size_at(json, "moe_intermediate_size");
  moe.experts.assign(size_at(json, "num_experts"), expert);
  moe.has_bias = json.at("use_expert_bias").get<bool>();
  return moe;
}

inline Hybrid lfm2_config(const nlohmann::json& json) {
  Hybrid model;
  model.d_model = size_at(json, "hidden_size");
  model.vocab_size = size_at(json, "vocab_size");
  model.norm_eps = json.at("norm_eps").get<double>();
  model.tie_embeddings = json.contains("tie_embedding")
                             ? json["tie_embedding"].get<bool>()
                             : value_or(json, "tie_word_embeddings", true);
  Attention attention;
  attention.d_model = model.d_model;
  attention.heads = size_at(json, "num_attention_heads");
  attention.kv_heads = size_at(json, "num_key_value_heads");
  attention.head_dim = model.d_model / attention.heads;
  attention.scale = 1.0 / std::sqrt(static_cast<double>(attention.head_dim));
  attention.rope = {attention.head_dim, rope_theta(json, 1e6)};
  attention.qk_norm = true;
  attention.qk_norm_eps = model.norm_eps;
  ShortConv conv;
  conv.d_model = model.d_model;
  conv.d_conv = size_at(json, "conv_L_cache");
  conv.has_bias = json.at("conv_bias").get<bool>();
  Mlp mlp;
  mlp.d_model = model.d_model;
  const bool is_dense = json.at("model_type") == "lfm2";
  mlp.width = is_dense ? lfm2_width(json) : size_at(json, "intermediate_size");
  const std::size_t dense = size_at(json, is_dense ? "num_hidden_layers" : "num_dense_layers");
  const auto types = value_or<std::vector<std::string>>(json, "layer_types", {});
  const auto attends = value_or<std::vector<std::size_t>>(json, "full_attn_idxs", {});
  for (std::size_t i = 0; i < size_at(json, "num_hidden_layers"); ++i) {
    const bool here = !types.empty()
                          ? types[i] == "full_attention"
                          : std::find(attends.begin(), attends.end(), i) != attends.end();
    const Mixer first = here ? Mixer(attention) : Mixer(conv);
    const Mixer second = i < dense ? Mixer(mlp) : Mixer(lfm2_experts(json));
    model.layers.push_back({{{}, 1.0, first}, {{}, 1.0, second}});
  }
  return model;
}

/// Two mixers side by side and an MLP, and factors everywhere.
inline Hybrid falcon_config(const nlohmann::json& json) {
  Hybrid model = transformers_model(json);
  model.embedding_scale = json.at("embedding_multiplier").get<double>();
  model.logits_scale = 1.0 / json.at("lm_head_multiplier").get<double>();
  Parallel both{transformers_mamba(json), transformers_attention(json)};
  Config& config = both.mamba.config;
  config.d_inner = config.d_ssm = size_at(json, "mamba_d_ssm");
  config.headdim = config.d_ssm / size_at(json, "mamba_n_heads");
  config.rmsnorm = json.at("mamba_rms_norm").get<bool>();
  config.norm_before_gate = json.at("mamba_norm_before_gate").get<bool>();
  both.mamba.in_scale = json.at("ssm_in_multiplier").get<double>();
  both.mamba.out_scale = json.at("ssm_out_multiplier").get<double>();
  const auto scales = json.at("ssm_multipliers").get<std::vector<double>>();
  const std::size_t shared = config.ngroups * config.d_state;
  const std::size_t widths[] = {config.d_ssm, config.d_ssm, shared, shared, config.nheads()};
  for (std::size_t i = 0; i < 5; ++i) {
    both.mamba.weights.in_proj_scale.insert(both.mamba.weights.in_proj_scale.end(), widths[i],
                                            scales[i]);
  }
  both.attention.rope.width = both.attention.head_dim;
  both.attention.in_scale = json.at("attention_in_multiplier").get<double>();
  both.attention.key_scale = json.at("key_multiplier").get<double>();
  both.attention.out_scale = json.at("attention_out_multiplier").get<double>();
  Mlp mlp;
  mlp.d_model = model.d_model;
  mlp.width = size_at(json, "intermediate_size");
  mlp.has_bias = json.at("mlp_bias").get<bool>();
  mlp.gate_scale = json.at("mlp_multipliers")[0].get<double>();
  mlp.out_scale = json.at("mlp_multipliers")[1].get<double>();
  for (std::size_t i = 0; i < size_at(json, "num_hidden_layers"); ++i) {
    model.layers.push_back({{{}, 1.0, both}, {{}, 1.0, mlp}});
  }
  return model;
}

inline MambaMixer nemotron_mamba(const nlohmann::json& json) {
  MambaMixer mamba;
  Config& config = mamba.config;
  config.n_layer = config.vocab_size = 1;
  config.d_model = size_at(json, "hidden_size");
  config.headdim = size_at(json, "mamba_head_dim");
  config.d_inner = config.d_ssm = size_at(json, "mamba_num_heads") * config.headdim;
  config.d_state = size_at(json, "ssm_state_size");
  config.ngroups = size_at(json, "n_groups");
  config.d_conv = size_at(json, "conv_kernel");
  config.norm_eps = json.at("layer_norm_epsilon").get<float>();
  config.bias = json.at("use_bias").get<bool>();
  config.conv_bias = json.at("use_conv_bias").get<bool>();
  if (json.contains("time_step_limit")) {
    config.dt_min = bound(json["time_step_limit"][0]);
    config.dt_max = bound(json["time_step_limit"][1]);
  }
  return mamba;
}

inline Moe nemotron_moe(const nlohmann::json& json) {
  Moe moe;
  moe.d_model = size_at(json, "hidden_size");
  moe.chosen = size_at(json, "num_experts_per_tok");
  moe.latent = value_or<std::size_t>(json, "moe_latent_size", 0);
  moe.groups = size_at(json, "n_group");
  moe.groups_left = size_at(json, "topk_group");
  moe.sigmoid = true;
  moe.has_bias = true;
  moe.normalized = json.at("norm_topk_prob").get<bool>();
  moe.eps = 1e-20;
  moe.factor = json.at("routed_scaling_factor").get<double>();
  Mlp expert;
  expert.kind = Mlp::Kind::relu2;
  expert.d_model = moe.latent > 0 ? moe.latent : moe.d_model;
  expert.width = size_at(json, "moe_intermediate_size");
  moe.experts.assign(size_at(json, "n_routed_experts"), expert);
  moe.shared = expert;
  moe.shared.d_model = moe.d_model;
  moe.shared.width = size_at(json, "moe_shared_expert_intermediate_size");
  return moe;
}

/// One mixer to a layer, whatever it is.
inline Hybrid nemotron_config(const nlohmann::json& json) {
  Hybrid model;
  model.d_model = size_at(json, "hidden_size");
  model.vocab_size = size_at(json, "vocab_size");
  model.norm_eps = json.at("layer_norm_epsilon").get<double>();
  model.tie_embeddings = json.at("tie_word_embeddings").get<bool>();
  Attention attention;
  attention.d_model = model.d_model;
  attention.heads = size_at(json, "num_attention_heads");
  attention.kv_heads = size_at(json, "num_key_value_heads");
  attention.head_dim = size_at(json, "head_dim");
  attention.scale = 1.0 / std::sqrt(static_cast<double>(attention.head_dim));
  Mlp mlp;
  mlp.kind = Mlp::Kind::relu2;
  mlp.d_model = model.d_model;
  mlp.width = size_at(json, "intermediate_size");
  mlp.has_bias = json.at("mlp_bias").get<bool>();
  std::string pattern = value_or<std::string>(json, "hybrid_override_pattern", "");
  if (json.contains("layers_block_type")) {
    pattern.clear();
    for (const auto& type : json["layers_block_type"].get<std::vector<std::string>>()) {
      pattern += type == "mlp"                                   ? '-'
                 : type == "moe"                                 ? 'E'
                 : type.ends_with("attention") && type[0] != 'l' ? '*'
                                                                 : 'M';
    }
  }
  for (const char kind : pattern) {
    Mixer mixer = mlp;
    if (kind == 'M') mixer = nemotron_mamba(json);
    if (kind == '*') mixer = attention;
    if (kind == 'E') mixer = nemotron_moe(json);
    model.layers.push_back({{{}, 1.0, mixer}});
  }
  return model;
}

inline MambaMixer zamba_mamba(const nlohmann::json& json) {
  MambaMixer mamba;
  Config& config = mamba.config;
  config.n_layer = config.vocab_size = 1;
  config.d_model = size_at(json, "hidden_size");
  config.d_inner = config.d_ssm = size_at(json, "mamba_expand") * config.d_model;
  config.headdim = config.d_ssm / size_at(json, "n_mamba_heads");
  config.d_state = size_at(json, "mamba_d_state");
  config.ngroups = size_at(json, "mamba_ngroups");
  config.d_conv = size_at(json, "mamba_d_conv");
  config.bias = json.at("add_bias_linear").get<bool>();
  return mamba;
}

/// Layers of Mamba-2, some of which read a block of attention and an MLP first.
inline Hybrid zamba_config(const nlohmann::json& json) {
  Hybrid model;
  model.d_model = size_at(json, "hidden_size");
  model.vocab_size = size_at(json, "vocab_size");
  model.norm_eps = json.at("rms_norm_eps").get<double>();
  model.tie_embeddings = value_or(json, "tie_word_embeddings", true);
  SharedBlock block;
  Attention& attention = block.attention;
  attention.d_model = 2 * model.d_model;
  attention.heads = size_at(json, "num_attention_heads");
  attention.kv_heads = value_or(json, "num_key_value_heads", attention.heads);
  attention.head_dim = 2 * model.d_model / attention.heads;
  attention.scale = 1.0 / std::sqrt(0.5 * static_cast<double>(attention.head_dim));
  attention.rope = {json.at("use_mem_rope").get<bool>() ? attention.head_dim : 0, rope_theta(json)};
  block.mlp.kind = Mlp::Kind::geglu;
  block.mlp.d_model = model.d_model;
  block.mlp.width = size_at(json, "intermediate_size");
  block.mlp.has_bias = json.at("add_bias_linear").get<bool>();
  const auto types = json.at("layers_block_type").get<std::vector<std::string>>();
  const auto uses = static_cast<std::size_t>(std::count(types.begin(), types.end(), "hybrid"));
  model.blocks.assign(std::min(size_at(json, "num_mem_blocks"), uses), block);
  std::size_t next = 0;
  for (const std::string& type : types) {
    SharedUse use;
    use.rank = size_at(json, "adapter_rank");
    use.adapts_attention = json.at("use_shared_attention_adapter").get<bool>();
    if (type == "hybrid") use.block = next++ % model.blocks.size();
    const Mixer mixer = type == "hybrid" ? Mixer(MambaAfterBlock{zamba_mamba(json), use})
                                         : Mixer(zamba_mamba(json));
    model.layers.push_back({{{}, 1.0, mixer}});
  }
  return model;
}

inline MambaMixer state_spaces_mamba(std::size_t d_model, const nlohmann::json& ssm_cfg) {
  MambaMixer mamba;
  Config& config = mamba.config;
  config.n_layer = config.vocab_size = 1;
  config.d_model = d_model;
  config.d_inner = config.d_ssm = value_or<std::size_t>(ssm_cfg, "expand", 2) * d_model;
  config.headdim = value_or<std::size_t>(ssm_cfg, "headdim", 64);
  config.d_state = value_or<std::size_t>(ssm_cfg, "d_state", 128);
  config.ngroups = value_or<std::size_t>(ssm_cfg, "ngroups", 1);
  config.d_conv = value_or<std::size_t>(ssm_cfg, "d_conv", 4);
  if (ssm_cfg.contains("dt_limit")) {
    config.dt_min = bound(ssm_cfg["dt_limit"][0]);
    config.dt_max = bound(ssm_cfg["dt_limit"][1]);
  }
  config.bias = value_or(ssm_cfg, "bias", false);
  config.conv_bias = value_or(ssm_cfg, "conv_bias", true);
  return mamba;
}

inline Attention state_spaces_attention(std::size_t d_model, const nlohmann::json& attn_cfg) {
  Attention attention;
  attention.d_model = d_model;
  attention.heads = size_at(attn_cfg, "num_heads");
  attention.kv_heads = value_or(attn_cfg, "num_heads_kv", attention.heads);
  attention.head_dim = value_or(attn_cfg, "head_dim", d_model / attention.heads);
  attention.scale =
      value_or(attn_cfg, "softmax_scale", 1.0 / std::sqrt(static_cast<double>(attention.head_dim)));
  attention.rope.width = value_or<std::size_t>(attn_cfg, "rotary_emb_dim", 0);
  attention.rope.base = value_or(attn_cfg, "rotary_emb_base", 10000.0);
  attention.d_conv = value_or<std::size_t>(attn_cfg, "d_conv", 0);
  attention.qkv_has_bias = value_or(attn_cfg, "qkv_proj_bias", true);
  attention.o_has_bias = value_or(attn_cfg, "out_proj_bias", true);
  return attention;
}

inline std::size_t rounded_up(std::size_t value, std::size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

inline Hybrid state_spaces_config(const nlohmann::json& json) {
  Hybrid model;
  model.d_model = size_at(json, "d_model");
  model.vocab_size = rounded_up(size_at(json, "vocab_size"),
                                value_or<std::size_t>(json, "pad_vocab_size_multiple", 8));
  model.tie_embeddings = value_or(json, "tie_embeddings", true);
  Mlp mlp;
  mlp.d_model = model.d_model;
  mlp.width = rounded_up(value_or<std::size_t>(json, "d_intermediate", 0), 128);
  const auto attends = value_or<std::vector<std::size_t>>(json, "attn_layer_idx", {});
  for (std::size_t i = 0; i < size_at(json, "n_layer"); ++i) {
    const bool here = std::find(attends.begin(), attends.end(), i) != attends.end();
    const Mixer first = here ? Mixer(state_spaces_attention(model.d_model, json.at("attn_cfg")))
                             : Mixer(state_spaces_mamba(model.d_model, json.at("ssm_cfg")));
    model.layers.push_back({{{}, 1.0, first}});
    if (mlp.width > 0) model.layers.back().push_back({{}, 1.0, mlp});
  }
  return model;
}

}  // namespace detail

/// A config.json, which may have the bare word Infinity: a number that is as good here.
inline nlohmann::json parse_hybrid_config(std::string text) {
  const std::string word = " Infinity";
  for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word)) {
    text.replace(at, word.size(), " 3e38");
  }
  return nlohmann::json::parse(text);
}

/// Who wrote this config.json.
inline Writer writer_of(const nlohmann::json& json) {
  const auto type = detail::value_or<std::string>(json, "model_type", "");
  if (type == "granitemoehybrid") return Writer::granite;
  if (type == "bamba") return Writer::bamba;
  if (type == "falcon_h1") return Writer::falcon;
  if (type == "lfm2" || type == "lfm2_moe") return Writer::lfm2;
  if (type == "nemotron_h") return Writer::nemotron;
  if (type == "zamba2") return Writer::zamba;
  return Writer::state_spaces;
}

/// The model that this config.json describes, all tensors empty.
inline Hybrid read_hybrid_config(const nlohmann::json& json) {
  switch (writer_of(json)) {
    case Writer::granite:
      return detail::granite_config(json);
    case Writer::bamba:
      return detail::bamba_config(json);
    case Writer::falcon:
      return detail::falcon_config(json);
    case Writer::lfm2:
      return detail::lfm2_config(json);
    case Writer::nemotron:
      return detail::nemotron_config(json);
    case Writer::zamba:
      return detail::zamba_config(json);
    case Writer::state_spaces:
      break;
  }
  return detail::state_spaces_config(json);
}

}  // namespace reference
