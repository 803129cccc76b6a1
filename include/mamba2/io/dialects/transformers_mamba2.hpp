// SPDX-License-Identifier: Apache-2.0
// Pure Mamba-2, as transformers writes it: Mamba2ForCausalLM.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "mamba2/io/config_keys.hpp"
#include "mamba2/io/dialects/dialect.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// What model_type may be, whoever reads it.
inline constexpr std::string_view kModelTypes =
    "\"mamba2\", \"granitemoehybrid\", \"bamba\", \"nemotron_h\", \"falcon_h1\", \"lfm2\", "
    "\"lfm2_moe\" or \"zamba2\"";

/// The dialect of transformers' Mamba2Config. Its code reads no norm_before_gate, though published
/// configs carry the key: the gate comes first, whatever that says.
[[nodiscard]] inline Config read_transformers(JsonFields& fields) {
  refuse_other_models(fields, "mamba2", kModelTypes);
  refuse_other_blocks(fields);
  if (const Json* act = fields.find("hidden_act"); act != nullptr && !is_text(*act, "swish")) {
    require_text(fields, "hidden_act", *act, "silu");  // "swish" is another name of it
  }
  Config config;
  config.d_model = fields.integer("hidden_size", 4096);
  config.n_layer = fields.integer("num_hidden_layers", 64);
  config.vocab_size = fields.integer("vocab_size", 32768);
  config.d_inner = read_d_inner(fields, config.d_model);
  config.d_ssm = config.d_inner;
  config.headdim = fields.integer("head_dim", 64);
  config.d_state = fields.integer("state_size", 128);
  config.ngroups = fields.integer("n_groups", 8);
  config.d_conv = fields.integer("conv_kernel", 4);
  config.norm_eps = static_cast<float>(fields.number("layer_norm_epsilon", 1e-5));
  read_dt_limit(fields, "time_step_limit", config);
  config.bias = fields.flag("use_bias", false);
  config.conv_bias = fields.flag("use_conv_bias", true);
  config.tie_embeddings = fields.flag("tie_word_embeddings", false);
  config.eos_token_ids = read_eos(fields, config.vocab_size, 2);
  const std::size_t num_heads = fields.integer("num_heads", 128);
  if (num_heads * config.headdim != config.d_inner) {
    fields.refuse("num_heads",
                  concat("expand * hidden_size / head_dim = ", config.d_inner, "/", config.headdim),
                  concat(num_heads, fields.find("num_heads") == nullptr ? " (the default)" : ""));
  }
  return config;
}

}  // namespace detail

inline constexpr Dialect kTransformersMamba2 = {"transformers", "Mamba-2",
                                                [](const detail::JsonFields& c) {
                                                  return c.find("hidden_size") != nullptr ||
                                                         c.find("model_type") != nullptr ||
                                                         c.find("architectures") != nullptr;
                                                },
                                                detail::read_transformers};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
