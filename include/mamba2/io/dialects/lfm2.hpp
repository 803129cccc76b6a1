// SPDX-License-Identifier: Apache-2.0
// LFM2, as transformers writes it: model_type lfm2, or with experts lfm2_moe.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/io/dialects/dialect.hpp"
#include "mamba2/io/dialects/hybrid_keys.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// Added to the sum of what the chosen experts count, which that is divided by.
inline constexpr float kLfm2MoeEps = 1e-6F;

/// Which layers attend; the others are convolutions. By layer_types, one of "conv" and
/// "full_attention" each, else by the numbers in full_attn_idxs; all where neither is given.
[[nodiscard]] inline std::vector<bool> read_lfm2_layers(JsonFields& fields) {
  constexpr std::string_view kTypes = "layer_types";
  constexpr std::string_view kNumbers = "full_attn_idxs";
  const Json* types = fields.find_value(kTypes);
  if (types == nullptr) {
    const std::size_t layers = read_layer_count(fields, "num_hidden_layers", 32);
    std::vector<bool> attends(layers, fields.find_value(kNumbers) == nullptr);
    for (const std::size_t i : layer_numbers(fields, kNumbers, layers)) attends[i] = true;
    return attends;
  }
  std::vector<bool> attends;
  const auto* list = types->get_ptr<const Json::array_t*>();
  if (list == nullptr) fields.refuse(kTypes, "a list", describe(*types));
  for (std::size_t i = 0; list != nullptr && i < list->size(); ++i) {
    const Json& type = (*list)[i];
    attends.push_back(is_text(type, "full_attention"));
    if (!attends.back() && !is_text(type, "conv")) {
      fields.refuse(kTypes, "of \"conv\" and \"full_attention\"", describe(type),
                    ErrorCode::unsupported);
    }
  }
  return attends;
}

/// The rows of w1: two thirds of what is stated, times a factor, and rounded up, unless
/// block_auto_adjust_ff_dim is false.
[[nodiscard]] inline std::size_t read_lfm2_width(JsonFields& fields) {
  const std::size_t stated = fields.find_value("block_ff_dim") != nullptr
                                 ? fields.integer("block_ff_dim", 12288)
                                 : fields.integer("intermediate_size", 12288);
  if (!fields.flag("block_auto_adjust_ff_dim", true)) return stated;
  const std::size_t adjusted = 2 * stated / 3;
  constexpr std::string_view kFactor = "block_ffn_dim_multiplier";
  const Json* factor = fields.find(kFactor);
  if (factor != nullptr && factor->is_null()) return adjusted;
  const double times = fields.number(kFactor, 1.0);
  const double width = std::floor(times * static_cast<double>(adjusted));
  if (!(width >= 1.0 && width <= double{std::numeric_limits<std::int32_t>::max()})) {
    fields.refuse(kFactor, "positive, with a width of MLPs in 1..2^31-1", concat(times));
    return stated;
  }
  const std::size_t multiple = fields.integer("block_multiple_of", 256);
  return (static_cast<std::size_t>(width) + multiple - 1) / multiple * multiple;
}

/// What models with and without experts have, but for their MLPs: those of the first dense_layers
/// layers are dense, the others are experts.
[[nodiscard]] inline Config read_any_lfm2(JsonFields& fields, std::size_t dense_layers) {
  Config config;
  config.vocab_size = fields.integer("vocab_size", 65536);
  config.d_model = fields.integer("hidden_size", 2560);
  config.norm_eps = static_cast<float>(fields.number("norm_eps", 1e-5));
  config.eos_token_ids = read_eos(fields, config.vocab_size, 2);
  // The older key counts where both are there.
  config.tie_embeddings = fields.flag("tie_embedding", fields.flag("tie_word_embeddings", true));
  const std::vector<bool> attends = read_lfm2_layers(fields);
  for (std::size_t i = 0; i < attends.size(); ++i) {
    config.pattern += attends[i] ? '*' : 'C';
    config.pattern += i < dense_layers ? '-' : 'E';
  }
  config.n_layer = config.pattern.size();
  if (config.has(LayerKind::short_conv)) {
    config.short_conv.d_conv = fields.integer("conv_L_cache", 3);
    config.short_conv.bias = fields.flag("conv_bias", false);
  }
  if (config.has(LayerKind::attention)) {
    constexpr double kUsualBase = 1e6;
    read_attention_keys(fields, config, 8);
    AttentionConfig& a = config.attention;
    a.rotary_emb_dim = a.head_dim;
    a.rotary_emb_base = read_rope_theta(fields, kUsualBase);
    a.qk_norm = true;
  }
  return config;
}

[[nodiscard]] inline Config read_lfm2(JsonFields& fields) {
  Config config = read_any_lfm2(fields, Config::kMaxLayers);
  config.mlp.d_intermediate = read_lfm2_width(fields);
  return config;
}

[[nodiscard]] inline Config read_lfm2_moe(JsonFields& fields) {
  Config config = read_any_lfm2(fields, fields.integer("num_dense_layers", 2, 0));
  if (config.has(LayerKind::mlp)) {
    config.mlp.d_intermediate = fields.integer("intermediate_size", 7168);
  }
  if (config.has(LayerKind::moe)) {
    MoeConfig& m = config.moe;
    m.num_experts = fields.integer("num_experts", 32);
    m.num_experts_per_tok = fields.integer("num_experts_per_tok", 4);
    m.d_intermediate = fields.integer("moe_intermediate_size", 1792);
    m.sigmoid = true;
    m.router_bias = fields.flag("use_expert_bias", true);
    m.norm_topk_prob = fields.flag("norm_topk_prob", true);
    if (m.norm_topk_prob) m.norm_eps = kLfm2MoeEps;
    m.routed_scaling_factor = static_cast<float>(fields.number("routed_scaling_factor", 1.0));
  }
  return config;
}

inline constexpr auto kLfm2Outer = std::to_array<TensorRename>(
    {{"embed_tokens.weight", "embedding.weight"}, {"embedding_norm.weight", "norm_f.weight"}});

inline constexpr auto kLfm2Layers = std::to_array<TensorRename>(
    {{"operator_norm.", "norm."},
     {"conv.in_proj.", "short_conv.in_proj.", 0, LayerKind::short_conv},
     {"conv.conv.", "short_conv.conv1d.", 0, LayerKind::short_conv},
     {"conv.out_proj.", "short_conv.out_proj.", 0, LayerKind::short_conv},
     {"self_attn.q_layernorm.", "attention.q_norm.", 0, LayerKind::attention},
     {"self_attn.k_layernorm.", "attention.k_norm.", 0, LayerKind::attention},
     {"self_attn.out_proj.", "attention.o_proj.", 0, LayerKind::attention},
     {"self_attn.", "attention.", 0, LayerKind::attention},
     {"ffn_norm.", "norm.", 1},
     {"feed_forward.w1.", "mlp.gate_proj.", 1, LayerKind::mlp},
     {"feed_forward.w3.", "mlp.up_proj.", 1, LayerKind::mlp},
     {"feed_forward.w2.", "mlp.down_proj.", 1, LayerKind::mlp},
     {"feed_forward.gate.weight", "moe.router.weight", 1, LayerKind::moe},
     {"feed_forward.expert_bias", "moe.router.bias", 1, LayerKind::moe},
     {"feed_forward.experts.*.w1.", "moe.experts.*.gate_proj.", 1, LayerKind::moe},
     {"feed_forward.experts.*.w3.", "moe.experts.*.up_proj.", 1, LayerKind::moe},
     {"feed_forward.experts.*.w2.", "moe.experts.*.down_proj.", 1, LayerKind::moe}});

inline constexpr DialectNames kLfm2Names = {
    kLfm2Outer, [](const Config&) { return std::size_t{2}; }, kLfm2Layers};
// It counts where tie_word_embeddings is there, too.
inline constexpr std::string_view kLfm2TieKey = "tie_embedding";

}  // namespace detail

inline constexpr Dialect kLfm2 = {
    "lfm2",
    "LFM2",
    [](const detail::JsonFields& c) { return detail::has_model_type(c, "lfm2"); },
    detail::read_lfm2,
    detail::kLfm2TieKey,
    detail::kLfm2Names};

inline constexpr Dialect kLfm2Moe = {
    "lfm2_moe",
    "LFM2",
    [](const detail::JsonFields& c) { return detail::has_model_type(c, "lfm2_moe"); },
    detail::read_lfm2_moe,
    detail::kLfm2TieKey,
    detail::kLfm2Names};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
