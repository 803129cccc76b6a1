// SPDX-License-Identifier: Apache-2.0
// Keys that the config.json files of several hybrids of transformers share, in the spellings of its
// versions 4 and 5.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/io/config_keys.hpp"
#include "mamba2/io/json_fields.hpp"
#include "mamba2/layers/config.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// Whether `model_type` is this text.
[[nodiscard]] inline bool has_model_type(const JsonFields& fields, std::string_view type) {
  const Json* value = fields.find("model_type");
  return value != nullptr && is_text(*value, type);
}

/// Refuses another activation than SiLU.
inline void require_silu(JsonFields& fields, std::string_view key) {
  const Json* act = fields.find_value(key);
  if (act != nullptr && !is_text(*act, "swish")) require_text(fields, key, *act, "silu");
}

/// An integer; `fallback` where the key is absent or null.
[[nodiscard]] inline std::size_t integer_or(JsonFields& fields, std::string_view key,
                                            std::size_t fallback, std::size_t min = 1) {
  return fields.find_value(key) == nullptr ? fallback : fields.integer(key, fallback, min);
}

/// Numbers of layers, each below `count`; none where the key is absent or null.
[[nodiscard]] inline std::vector<std::size_t> layer_numbers(JsonFields& fields,
                                                            std::string_view key,
                                                            std::size_t count) {
  std::vector<std::size_t> numbers;
  const Json* value = fields.find_value(key);
  if (value == nullptr) return numbers;
  const auto* list = value->get_ptr<const Json::array_t*>();
  if (list == nullptr) {
    fields.refuse(key, "a list of layers", describe(*value));
    return numbers;
  }
  for (const Json& entry : *list) {
    const auto* number = entry.get_ptr<const std::uint64_t*>();
    if (number == nullptr || *number >= count) {
      fields.refuse(key, concat("a list of integers in 0..", count - 1), describe(entry));
      return numbers;
    }
    numbers.push_back(static_cast<std::size_t>(*number));
  }
  return numbers;
}

/// The base of RoPE: in rope_parameters (5.x) or beside the other keys (4.x), else the usual one.
/// Refuses scaled kinds.
[[nodiscard]] inline float read_rope_theta(JsonFields& fields, double usual = 10000.0) {
  double theta =
      fields.find_value("rope_theta") == nullptr ? usual : fields.number("rope_theta", usual);
  for (const std::string_view key : {"rope_scaling", "rope_parameters"}) {
    const Json* value = fields.find_value(key);
    if (value == nullptr) continue;
    if (!value->is_object()) {
      fields.refuse(key, "an object", describe(*value));
      continue;
    }
    const std::string prefix = concat(key, ".");
    JsonFields rope(*value, fields.name(), prefix);
    for (const std::string_view kind : {"rope_type", "type"}) {
      const Json* type = rope.find_value(kind);
      if (type != nullptr) require_text(rope, kind, *type, "default");
    }
    if (rope.find_value("rope_theta") != nullptr) theta = rope.number("rope_theta", theta);
    fields.adopt(rope);
  }
  return static_cast<float>(theta);
}

/// The mamba_* keys that Granite, Bamba and Falcon-H1 share. d_inner: where it is not
/// mamba_expand * hidden_size.
inline void read_mamba_keys(JsonFields& fields, Config& config,
                            std::optional<std::size_t> d_inner = {}) {
  const std::size_t expand = fields.integer("mamba_expand", 2);
  config.d_inner = config.d_ssm = d_inner.value_or(expand * config.d_model);
  const std::size_t heads = fields.integer("mamba_n_heads", 128);
  const Json* headdim = fields.find_value("mamba_d_head");
  config.headdim = headdim == nullptr || is_text(*headdim, "auto")
                       ? config.d_inner / heads
                       : fields.integer("mamba_d_head", 64);
  config.d_state = fields.integer("mamba_d_state", 256);
  config.ngroups = fields.integer("mamba_n_groups", 1);
  config.d_conv = fields.integer("mamba_d_conv", 4);
  config.conv_bias = fields.flag("mamba_conv_bias", true);
  config.bias = fields.flag("mamba_proj_bias", false);
  read_dt_limit(fields, "time_step_limit", config);
  if (heads * config.headdim != config.d_inner) {
    fields.refuse("mamba_n_heads",
                  concat(d_inner ? "mamba_d_ssm" : "mamba_expand * hidden_size",
                         " / mamba_d_head = ", config.d_inner, "/", config.headdim),
                  concat(heads));
  }
}

/// The keys of attention. usual_kv_heads: where they are not given, if not as many as there are of
/// queries.
inline void read_attention_keys(JsonFields& fields, Config& config,
                                std::optional<std::size_t> usual_kv_heads = {}) {
  AttentionConfig& a = config.attention;
  a.num_heads = fields.integer("num_attention_heads", 32);
  a.num_heads_kv = integer_or(fields, "num_key_value_heads", usual_kv_heads.value_or(a.num_heads));
  a.head_dim =
      integer_or(fields, "head_dim", std::max<std::size_t>(1, config.d_model / a.num_heads));
  a.qkv_proj_bias = a.out_proj_bias = fields.flag("attention_bias", false);
  a.softmax_scale = 1.0F / std::sqrt(static_cast<float>(a.head_dim));
  config.max_position_embeddings = integer_or(fields, "max_position_embeddings", 0);
}

/// What all have, but for the layers.
inline void read_model_keys(JsonFields& fields, Config& config, double norm_eps, Token eos) {
  config.vocab_size = fields.integer("vocab_size", 32000);
  config.d_model = fields.integer("hidden_size", 4096);
  config.norm_eps = static_cast<float>(fields.number("rms_norm_eps", norm_eps));
  config.tie_embeddings = fields.flag("tie_word_embeddings", false);
  config.eos_token_ids = read_eos(fields, config.vocab_size, eos);
  require_silu(fields, "hidden_act");
}

/// A pattern of layers with a mixer each, attention where it is named, and an MLP each after it.
[[nodiscard]] inline std::string pattern_of(std::size_t layers, const std::vector<bool>& attends,
                                            bool has_mlp) {
  std::string pattern;
  for (std::size_t i = 0; i < layers; ++i) {
    pattern += attends[i] ? '*' : 'M';
    if (has_mlp) pattern += '-';
  }
  return pattern;
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
