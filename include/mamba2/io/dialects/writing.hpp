// SPDX-License-Identifier: Apache-2.0
// How hybrids are written as checkpoints of Hugging Face transformers. The keys are those of its
// version 4, which version 5 and llama.cpp's converter read, too.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

#include "mamba2/io/dialects/dialect.hpp"
#include "mamba2/io/export.hpp"
#include "mamba2/io/json.hpp"
#include "mamba2/io/json_fields.hpp"
#include "mamba2/io/json_writer.hpp"
#include "mamba2/layers/config.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// How a model becomes one of a dialect.
struct DialectWriting {
  const Dialect* dialect;         ///< its name is the model_type
  std::string_view architecture;  ///< the class
  std::string_view root;          ///< before all names of tensors but the head's
  /// Whether models with such layers are written so.
  bool (*fits)(const Config& config);
  /// Refuses what it cannot say.
  void (*check)(detail::ExportCheck& check, const Config& config);
  /// The keys of config.json but for those that all models have.
  void (*write_keys)(detail::JsonWriter& json, const Config& config);
};

namespace detail {

/// A float as the number that people wrote: 1e-05, not 9.99999975e-06.
[[nodiscard]] inline double shortest(float value) {
  return *number_of(*parse_json(concat(value), "a float"));
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
  json.member("mamba_expand", std::max<std::size_t>(1, c.d_inner / c.d_model));
  json.member("mamba_n_groups", c.ngroups);
  json.member("mamba_n_heads", c.nheads());
  json.member("mamba_proj_bias", c.bias);
}

/// What granitemoehybrid and bamba have in common.
inline void check_granite_or_bamba(ExportCheck& check, const Config& c) {
  check.require_plain_block(c);
  const bool fits = !c.has(LayerKind::mamba2) || c.d_inner % c.d_model == 0;
  check.require("d_inner", fits, concat("a multiple of d_model ", c.d_model), c.d_inner);
  check.require_flag("attention.out_proj_bias", c.attention.qkv_proj_bias,
                     c.attention.out_proj_bias);
}

inline void write_granite_or_bamba_keys(JsonWriter& json, const Config& c) {
  json.member("num_hidden_layers", c.n_layer / 2);
  json.member("rms_norm_eps", shortest(c.norm_eps));
  write_attention_keys(json, c);
  write_mamba_keys(json, c);
}

}  // namespace detail

}  // namespace MAMBA2_ISA
}  // namespace mamba2
