// SPDX-License-Identifier: Apache-2.0
// Zamba2, as transformers writes it: model_type zamba2.
#pragma once

#include <algorithm>
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

/// The usual layers, those of Zamba2-2.7B: 54, of which nine read a shared block.
[[nodiscard]] inline std::string usual_zamba2_pattern() {
  std::string pattern(54, static_cast<char>(LayerKind::mamba2));
  for (const std::size_t layer : {6U, 12U, 18U, 24U, 30U, 36U, 42U, 47U, 51U}) {
    pattern[layer] = static_cast<char>(LayerKind::shared_block);
  }
  return pattern;
}

/// layers_block_type, in the spellings of 4.x and 5.x. Its length is the number of layers, whatever
/// num_hidden_layers says.
[[nodiscard]] inline std::string read_zamba2_pattern(JsonFields& fields) {
  constexpr std::string_view kKey = "layers_block_type";
  std::string pattern;
  const Json* value = fields.find_value(kKey);
  if (value == nullptr) {
    pattern = usual_zamba2_pattern();
  } else if (const auto* list = value->get_ptr<const Json::array_t*>(); list == nullptr) {
    fields.refuse(kKey, "a list", describe(*value));
  } else if (list->empty() || list->size() > Config::kMaxLayers) {
    fields.refuse(kKey, concat("of 1..", Config::kMaxLayers, " layers"), concat(list->size()));
  } else {
    for (const Json& name : *list) {
      const bool is_mamba2 = is_text(name, "mamba") || is_text(name, "linear_attention");
      if (!is_mamba2 && !is_text(name, "hybrid")) {
        fields.refuse(kKey, "of \"mamba\" and \"hybrid\"", describe(name), ErrorCode::unsupported);
      }
      pattern += static_cast<char>(is_mamba2 ? LayerKind::mamba2 : LayerKind::shared_block);
    }
  }
  if (pattern.empty()) pattern = "M";
  const std::size_t layers = integer_or(fields, "num_hidden_layers", pattern.size());
  if (layers != pattern.size() && value != nullptr) {
    fields.note(concat(fields.name(), ": num_hidden_layers is ", layers, ", but ", kKey, " has ",
                       pattern.size(), " layers, which count"));
  } else if (layers != pattern.size()) {
    fields.refuse("num_hidden_layers", concat(pattern.size(), " without ", kKey), concat(layers));
  }
  return pattern;
}

/// The keys of the Mamba-2 mixers. What the step size is bounded by is not among them:
/// time_step_min and time_step_floor are what training began with.
inline void read_zamba2_mamba(JsonFields& fields, Config& config) {
  const std::size_t heads = fields.integer("n_mamba_heads", 8);
  config.d_inner = config.d_ssm = fields.integer("mamba_expand", 2) * config.d_model;
  config.headdim = std::max<std::size_t>(1, config.d_inner / heads);
  config.d_state = fields.integer("mamba_d_state", 64);
  config.ngroups = fields.integer("mamba_ngroups", 1);
  config.d_conv = fields.integer("mamba_d_conv", 4);
  config.bias = fields.flag("add_bias_linear", false);
  if (heads * config.headdim != config.d_inner) {
    fields.refuse("n_mamba_heads",
                  concat("a divisor of mamba_expand * hidden_size ", config.d_inner),
                  concat(heads));
  }
}

/// Blocks of attention, whose heads are those of twice the width whatever attention_head_dim says,
/// and of an MLP.
inline void read_zamba2_blocks(JsonFields& fields, Config& config) {
  AttentionConfig& a = config.attention;
  a.num_heads = fields.integer("num_attention_heads", 32);
  a.num_heads_kv = integer_or(fields, "num_key_value_heads", a.num_heads);
  a.head_dim = std::max<std::size_t>(1, 2 * config.d_model / a.num_heads);
  if (a.q_dim() != 2 * config.d_model) {
    fields.refuse("num_attention_heads",
                  concat("a divisor of 2 * hidden_size ", 2 * config.d_model), concat(a.num_heads));
  }
  a.softmax_scale = std::sqrt(2.0F / static_cast<float>(a.head_dim));
  a.rotary_emb_dim = fields.flag("use_mem_rope", false) ? a.head_dim : 0;
  a.rotary_emb_base = read_rope_theta(fields);
  config.max_position_embeddings = integer_or(fields, "max_position_embeddings", 0);
  if (fields.flag("use_long_context", false)) {
    // Some versions of the code change RoPE's base then, and some do not.
    fields.refuse("use_long_context", "false", "true", ErrorCode::unsupported);
  }
  config.mlp.d_intermediate = integer_or(fields, "intermediate_size", 4 * config.d_model);
  config.mlp.bias = config.bias;
  config.mlp.activation = MlpActivation::geglu;
  const Json* act = fields.find_value("hidden_act");
  if (act != nullptr) require_text(fields, "hidden_act", *act, "gelu");
  SharedBlockConfig& s = config.shared_block;
  s.num_blocks =
      std::min(fields.integer("num_mem_blocks", 1), config.count(LayerKind::shared_block));
  s.adapter_rank = fields.integer("adapter_rank", 128);
  s.attention_adapters = fields.flag("use_shared_attention_adapter", false);
}

[[nodiscard]] inline Config read_zamba2(JsonFields& fields) {
  Config config;
  // Of the first revision of the published files, whose tensors have other names, too.
  for (const std::string_view older : {"ffn_hidden_size", "lora_rank", "state_size"}) {
    if (fields.find("mamba_d_state") != nullptr || fields.find(older) == nullptr) continue;
    fields.refuse("mamba_d_state", "given", concat(older, ", of an older form of these files"),
                  ErrorCode::unsupported);
  }
  config.vocab_size = fields.integer("vocab_size", 32000);
  config.d_model = fields.integer("hidden_size", 2560);
  config.norm_eps = static_cast<float>(fields.number("rms_norm_eps", 1e-5));
  if (config.norm_eps != 1e-5F) {
    // That of the gated norm is 1e-5 whatever this says.
    fields.refuse("rms_norm_eps", "1e-5, as of the norms in Mamba-2", concat(config.norm_eps),
                  ErrorCode::unsupported);
  }
  config.tie_embeddings = fields.flag("tie_word_embeddings", true);
  config.eos_token_ids = read_eos(fields, config.vocab_size, 2);
  config.pattern = read_zamba2_pattern(fields);
  config.n_layer = config.pattern.size();
  read_zamba2_mamba(fields, config);
  if (config.has(LayerKind::shared_block)) read_zamba2_blocks(fields, config);
  return config;
}

inline constexpr auto kZamba2Outer = std::to_array<TensorRename>(
    {{"embed_tokens.weight", "embedding.weight"}, {"final_layernorm.weight", "norm_f.weight"}});

inline constexpr auto kZamba2Layers = [] {
  constexpr LayerKind kMamba2 = LayerKind::mamba2;
  constexpr LayerKind kBlock = LayerKind::shared_block;
  return std::to_array<TensorRename>(
      {{"input_layernorm.", "norm.", 0, kMamba2},
       {"mamba.", "mixer.", 0, kMamba2},
       {"mamba_decoder.input_layernorm.", "norm.", 0, kBlock},
       {"mamba_decoder.mamba.", "mixer.", 0, kBlock},
       {"linear.", "block.linear.", 0, kBlock},
       {"shared_transformer.input_layernorm.", "block.norm.", 0, kBlock},
       {"shared_transformer.pre_ff_layernorm.", "block.mlp_norm.", 0, kBlock},
       {"shared_transformer.self_attn.linear_q_adapter_list.*.0.", "attention.q_adapter.A.", 0,
        kBlock, true},
       {"shared_transformer.self_attn.linear_q_adapter_list.*.1.", "attention.q_adapter.B.", 0,
        kBlock, true},
       {"shared_transformer.self_attn.linear_k_adapter_list.*.0.", "attention.k_adapter.A.", 0,
        kBlock, true},
       {"shared_transformer.self_attn.linear_k_adapter_list.*.1.", "attention.k_adapter.B.", 0,
        kBlock, true},
       {"shared_transformer.self_attn.linear_v_adapter_list.*.0.", "attention.v_adapter.A.", 0,
        kBlock, true},
       {"shared_transformer.self_attn.linear_v_adapter_list.*.1.", "attention.v_adapter.B.", 0,
        kBlock, true},
       {"shared_transformer.self_attn.", "attention.", 0, kBlock},
       {"shared_transformer.feed_forward.gate_up_proj_adapter_list.*.0.", "mlp.adapter.A.", 0,
        kBlock, true},
       {"shared_transformer.feed_forward.gate_up_proj_adapter_list.*.1.",
        "mlp.gate_adapter.B.|mlp.up_adapter.B.", 0, kBlock, true},
       {"shared_transformer.feed_forward.gate_up_proj.", "mlp.gate_proj.|mlp.up_proj.", 0, kBlock},
       {"shared_transformer.feed_forward.", "mlp.", 0, kBlock}});
}();

}  // namespace detail

inline constexpr Dialect kZamba2 = {
    "zamba2",
    "Zamba2",
    [](const detail::JsonFields& c) { return detail::has_model_type(c, "zamba2"); },
    detail::read_zamba2,
    "tie_word_embeddings",
    {detail::kZamba2Outer, [](const Config&) { return std::size_t{1}; }, detail::kZamba2Layers}};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
