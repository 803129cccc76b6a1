// SPDX-License-Identifier: Apache-2.0
// Falcon-H1, as transformers writes it: model_type falcon_h1.
#pragma once

#include <array>
#include <cstddef>
#include <initializer_list>
#include <string_view>

#include "mamba2/io/dialects/dialect.hpp"
#include "mamba2/io/dialects/hybrid_keys.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// A list of as many numbers as there are places for; absent or null leaves them.
inline void read_multipliers(JsonFields& fields, std::string_view key,
                             std::initializer_list<float*> places) {
  const Json* value = fields.find_value(key);
  if (value == nullptr) return;
  if (!value->is_array() || value->size() != places.size()) {
    return fields.refuse(key, concat("a list of ", places.size(), " numbers"), describe(*value));
  }
  std::size_t i = 0;
  for (float* place : places) {
    const Json& entry = (*value)[i++];
    const auto number = number_of(entry);
    if (!number)
      fields.refuse(key, concat("a list of ", places.size(), " numbers"), describe(entry));
    *place = static_cast<float>(number.value_or(1.0));
  }
}

/// The factors, which are those of the products' results here (see Mamba2Multipliers), so that the
/// matrices stay what they are: floats are not rounded again, and codes remain codes. That of keys
/// is a part of softmax_scale.
inline void read_falcon_multipliers(JsonFields& fields, Config& config) {
  const auto factor = [&](std::string_view key) {
    return fields.find_value(key) == nullptr ? 1.0F : static_cast<float>(fields.number(key, 1.0));
  };
  config.embedding_multiplier = factor("embedding_multiplier");
  config.logits_multiplier = factor("lm_head_multiplier");
  config.attention.in_multiplier = factor("attention_in_multiplier");
  config.attention.out_multiplier = factor("attention_out_multiplier");
  config.attention.softmax_scale *= factor("key_multiplier");
  Mamba2Multipliers& m = config.ssm_multipliers;
  m.in = factor("ssm_in_multiplier");
  m.out = factor("ssm_out_multiplier");
  read_multipliers(fields, "ssm_multipliers", {&m.z, &m.x, &m.B, &m.C, &m.dt});
  read_multipliers(fields, "mlp_multipliers",
                   {&config.mlp.gate_multiplier, &config.mlp.out_multiplier});
}

[[nodiscard]] inline Config read_falcon_h1(JsonFields& fields) {
  Config config;
  read_model_keys(fields, config, 1e-5, 2);
  config.vocab_size = fields.integer("vocab_size", 128000);
  const std::size_t layers = read_layer_count(fields, "num_hidden_layers", 32);
  for (std::size_t i = 0; i < layers; ++i) config.pattern += "H-";
  config.n_layer = config.pattern.size();
  config.mlp.d_intermediate = fields.integer("intermediate_size", 14336);
  config.mlp.bias = fields.flag("mlp_bias", false);

  const std::size_t expanded = fields.integer("mamba_expand", 2) * config.d_model;
  const bool is_null = fields.find("mamba_d_ssm") != nullptr && !fields.find_value("mamba_d_ssm");
  read_mamba_keys(fields, config, is_null ? expanded : fields.integer("mamba_d_ssm", 1024));
  config.rmsnorm = fields.flag("mamba_rms_norm", false);
  config.norm_before_gate = config.rmsnorm && fields.flag("mamba_norm_before_gate", true);
  if (fields.flag("projectors_bias", false) != config.bias) {
    fields.refuse("projectors_bias", concat("as mamba_proj_bias, ", config.bias ? "true" : "false"),
                  config.bias ? "false" : "true", ErrorCode::unsupported);
  }
  if (fields.find("num_key_value_heads") != nullptr) {
    read_attention_keys(fields, config);
  } else {
    read_attention_keys(fields, config, 8);
  }
  config.attention.rotary_emb_dim = config.attention.head_dim;
  config.attention.rotary_emb_base = read_rope_theta(fields, 100000.0);
  read_falcon_multipliers(fields, config);
  return config;
}

inline constexpr auto kFalconOuter = std::to_array<TensorRename>(
    {{"embed_tokens.weight", "embedding.weight"}, {"final_layernorm.weight", "norm_f.weight"}});

inline constexpr auto kFalconLayers =
    std::to_array<TensorRename>({{"input_layernorm.", "norm."},
                                 {"mamba.", "mixer."},
                                 {"self_attn.", "attention."},
                                 {"pre_ff_layernorm.", "norm.", 1},
                                 {"feed_forward.", "mlp.", 1}});

}  // namespace detail

inline constexpr Dialect kFalconH1 = {
    "falcon_h1",
    "Falcon-H1",
    [](const detail::JsonFields& c) { return detail::has_model_type(c, "falcon_h1"); },
    detail::read_falcon_h1,
    "tie_word_embeddings",
    {detail::kFalconOuter, [](const Config&) { return std::size_t{2}; }, detail::kFalconLayers}};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
