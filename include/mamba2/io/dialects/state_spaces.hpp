// SPDX-License-Identifier: Apache-2.0
// Mamba-2 and its hybrids with attention and MLPs, as the original code (state-spaces/mamba) writes
// them.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/io/config_keys.hpp"
#include "mamba2/io/dialects/dialect.hpp"
#include "mamba2/io/dialects/hybrid_keys.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// ssm_cfg: the arguments of the original Mamba2 module; those without effect here are passed over.
inline void read_ssm_cfg(JsonFields& fields, Config& config) {
  constexpr auto kKnown = std::to_array<std::string_view>(
      {"layer",         "d_state",          "d_conv",        "expand",
       "headdim",       "ngroups",          "d_ssm",         "D_has_hdim",
       "rmsnorm",       "norm_before_gate", "dt_limit",      "bias",
       "conv_bias",     "chunk_size",       "A_init_range",  "conv_init",
       "dt_min",        "dt_max",           "dt_init_floor", "use_mem_eff_path",
       "process_group", "sequence_parallel"});
  if (const Json* layer = fields.find("layer")) {
    require_text(fields, "layer", *layer, "Mamba2");
  } else {
    fields.refuse("layer", "\"Mamba2\"", "no such key, which means Mamba-1",
                  ErrorCode::unsupported);
  }
  for (const auto& [key, value] : fields.entries()) {
    if (std::find(kKnown.begin(), kKnown.end(), key) == kKnown.end()) {
      fields.refuse(in_quotes(key), "absent (unknown argument)", describe(value),
                    ErrorCode::unsupported);
    }
  }
  config.d_inner = read_d_inner(fields, config.d_model);
  config.d_ssm =
      fields.find_value("d_ssm") != nullptr ? fields.integer("d_ssm", 0) : config.d_inner;
  config.d_state = fields.integer("d_state", 128);
  config.d_conv = fields.integer("d_conv", 4);
  config.headdim = fields.integer("headdim", 64);
  config.ngroups = fields.integer("ngroups", 1);
  config.D_has_hdim = fields.flag("D_has_hdim", false);
  config.rmsnorm = fields.flag("rmsnorm", true);
  config.norm_before_gate = fields.flag("norm_before_gate", false);
  config.bias = fields.flag("bias", false);
  config.conv_bias = fields.flag("conv_bias", true);
  read_dt_limit(fields, "dt_limit", config);
}

/// attn_cfg: the arguments of the original MHA module.
inline void read_attn_cfg(JsonFields& fields, Config& config) {
  AttentionConfig& a = config.attention;
  fields.require({"num_heads"});
  a.num_heads = fields.integer("num_heads", 1);
  a.num_heads_kv = integer_or(fields, "num_heads_kv", a.num_heads);
  a.head_dim =
      integer_or(fields, "head_dim", std::max<std::size_t>(1, config.d_model / a.num_heads));
  a.d_conv = fields.integer("d_conv", 0, 0);
  a.rotary_emb_dim = fields.integer("rotary_emb_dim", 0, 0);
  a.rotary_emb_base = static_cast<float>(fields.number("rotary_emb_base", 10000.0));
  a.qkv_proj_bias = fields.flag("qkv_proj_bias", true);
  a.out_proj_bias = fields.flag("out_proj_bias", true);
  const double usual = 1.0 / std::sqrt(static_cast<double>(a.head_dim));
  a.softmax_scale = static_cast<float>(fields.find_value("softmax_scale") == nullptr
                                           ? usual
                                           : fields.number("softmax_scale", usual));
  const auto require = [&](std::string_view key, bool expected) {
    if (fields.flag(key, expected) != expected) {
      fields.refuse(key, expected ? "true" : "false", expected ? "false" : "true",
                    ErrorCode::unsupported);
    }
  };
  require("causal", fields.find("causal") != nullptr);  // false is the module's default
  require("rotary_emb_interleaved", false);
  if (const std::size_t mlp = fields.integer("mlp_dim", 0, 0); mlp > 0) {
    fields.refuse("mlp_dim", "0", concat(mlp), ErrorCode::unsupported);
  }
}

/// The keys of hybrids: which layers attend, and the width of the MLPs behind all.
inline void read_state_spaces_hybrid(JsonFields& fields, Config& config) {
  constexpr std::size_t kMultiple = 128;  // of the width of an MLP
  const std::size_t layers = config.n_layer;
  const std::size_t width = fields.integer("d_intermediate", 0, 0);
  std::vector<bool> attends(layers, false);
  for (const std::size_t i : layer_numbers(fields, "attn_layer_idx", layers)) attends[i] = true;
  const bool any = std::find(attends.begin(), attends.end(), true) != attends.end();
  if (!any && width == 0) return;
  config.pattern = pattern_of(layers, attends, width > 0);
  config.n_layer = config.pattern.size();
  config.mlp.d_intermediate = (width + kMultiple - 1) / kMultiple * kMultiple;
  if (!any) return;
  const Json* arguments = fields.find_value("attn_cfg");
  if (arguments == nullptr || !arguments->is_object()) {
    return fields.refuse("attn_cfg", "an object",
                         arguments == nullptr ? "no such key" : describe(*arguments));
  }
  JsonFields attn_cfg(*arguments, fields.name(), "attn_cfg.");
  read_attn_cfg(attn_cfg, config);
  fields.adopt(attn_cfg);
}

/// The dialect of the original code's MambaConfig.
[[nodiscard]] inline Config read_state_spaces(JsonFields& fields) {
  refuse_other_models(fields, "mamba2");
  refuse_layer_norm(fields);
  Config config;
  config.d_model = fields.integer("d_model", 2560);
  config.n_layer = read_layer_count(fields, "n_layer", 64);
  read_state_spaces_hybrid(fields, config);
  config.vocab_size = read_padded_vocab(fields);
  config.tie_embeddings = fields.flag("tie_embeddings", true);
  config.eos_token_ids = read_eos(fields, config.vocab_size, 0);
  const Json none = Json::object();
  const Json* arguments = fields.find("ssm_cfg");
  if (arguments != nullptr && !arguments->is_object()) {
    fields.refuse("ssm_cfg", "an object", describe(*arguments));
    arguments = nullptr;
  }
  JsonFields ssm_cfg(arguments != nullptr ? *arguments : none, fields.name(), "ssm_cfg.");
  read_ssm_cfg(ssm_cfg, config);
  fields.adopt(ssm_cfg);
  return config;
}

inline constexpr auto kStateSpacesLayers = std::to_array<TensorRename>(
    {{"norm.", "norm."},
     {"norm2.", "norm.", 1},
     {"mixer.in_proj.", "attention.q_proj.|attention.k_proj.|attention.v_proj.", 0,
      LayerKind::attention},
     {"mixer.out_proj.", "attention.o_proj.", 0, LayerKind::attention},
     {"mixer.conv1d.", "attention.conv1d.", 0, LayerKind::attention},
     {"mixer.", "mixer.", 0, LayerKind::mamba2},
     {"mlp.fc1.", "mlp.up_proj.|mlp.gate_proj.", 1},  // the gate comes last
     {"mlp.fc2.", "mlp.down_proj.", 1}});

}  // namespace detail

inline constexpr Dialect kStateSpaces = {
    "state-spaces",
    "Mamba-2",
    [](const detail::JsonFields& c) {
      return c.find("hidden_size") == nullptr &&
             (c.find("d_model") != nullptr || c.find("n_layer") != nullptr ||
              c.find("ssm_cfg") != nullptr);
    },
    detail::read_state_spaces,
    "tie_embeddings",
    {{},
     [](const Config& c) { return std::size_t{c.has(LayerKind::mlp) ? 2U : 1U}; },
     detail::kStateSpacesLayers}};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
