// SPDX-License-Identifier: Apache-2.0
// Nemotron-H, Nemotron-Nano-v2 and Nemotron-3, as llama.cpp's converter writes them: architectures
// nemotron_h and, with experts, nemotron_h_moe.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>

#include "mamba2/io/dialects/gguf.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

inline constexpr std::string_view kGgufNemotronHName = "nemotron_h";
inline constexpr std::string_view kGgufNemotronHMoeName = "nemotron_h_moe";

/// A layer is one branch. The converter puts the rows of queries and keys into another order, the
/// same for both, which does not matter where no channels turn.
inline constexpr auto kGgufNemotronMlp =
    std::to_array<TensorRename>({{"ffn_up.", "mlp.up_proj.", 0, LayerKind::mlp},
                                 {"ffn_down.", "mlp.down_proj.", 0, LayerKind::mlp}});
inline constexpr auto kGgufNemotronLayers = joined(
    kGgufNorm, kGgufMamba2Layers, kGgufAttentionLayers, kGgufNemotronMlp, gguf_moe_layers(0));

/// Sets the pattern: an MLP, or experts where there are some, where feed_forward_length is not 0,
/// else attention where there are heads of keys and values, else Mamba-2.
inline void read_gguf_nemotron_layers(GgufFields& fields, const std::string& arch, Config& config) {
  const std::size_t layers = read_gguf_blocks(fields, arch, 1);
  constexpr std::string_view kKvHeads = ".attention.head_count_kv";
  constexpr std::string_view kWidths = ".feed_forward_length";
  const auto kv_heads = read_gguf_layer_numbers(fields, arch, kKvHeads, layers);
  const auto widths = read_gguf_layer_numbers(fields, arch, kWidths, layers);
  if (kv_heads.size() != layers || widths.size() != layers) return;
  const bool has_experts = fields.integer_if(arch + ".expert_count").value_or(0) > 0;
  const char with_width = has_experts ? 'E' : '-';
  for (std::size_t i = 0; i < layers; ++i) {
    config.pattern += widths[i] > 0 ? with_width : kv_heads[i] > 0 ? '*' : 'M';
  }
  config.n_layer = layers;
  config.attention.num_heads_kv = one_gguf_number(fields, arch, kKvHeads, kv_heads);
  const std::size_t width = one_gguf_number(fields, arch, kWidths, widths);
  if (!has_experts) config.mlp.d_intermediate = width;
}

/// Of the experts of a model that has some.
inline void read_gguf_nemotron_experts(GgufFields& fields, const std::string& arch,
                                       const Gguf& gguf, Config& config) {
  MoeConfig& moe = config.moe;
  const std::size_t first = config.pattern.find(static_cast<char>(LayerKind::moe));
  read_gguf_experts(fields, arch, gguf, first, config.n_layer, moe);
  moe.activation = MlpActivation::relu2;
  moe.sigmoid = true;
  moe.norm_topk_prob = fields.flag(arch + ".expert_weights_norm", false);
  moe.norm_eps = 1e-20F;
  moe.routed_scaling_factor = gguf_factor(fields, arch + ".expert_weights_scale");
  moe.n_group =
      std::max<std::size_t>(1, fields.integer_if(arch + ".expert_group_count").value_or(1));
  moe.topk_group =
      std::max<std::size_t>(1, fields.integer_if(arch + ".expert_group_used_count").value_or(1));
}

/// The width of a head is given, and not that of the model over their number. No positions.
inline void read_gguf_nemotron_attention(GgufFields& fields, const std::string& arch,
                                         Config& config) {
  AttentionConfig& a = config.attention;
  constexpr std::string_view kHeads = ".attention.head_count";
  a.num_heads = one_gguf_number(fields, arch, kHeads,
                                read_gguf_layer_numbers(fields, arch, kHeads, config.n_layer));
  a.head_dim = read_gguf_head_dim(fields, arch, config);
  a.softmax_scale = 1.0F / std::sqrt(static_cast<float>(a.head_dim));
  config.max_position_embeddings = fields.integer_if(arch + ".context_length").value_or(0);
}

[[nodiscard]] inline Config read_gguf_nemotron_h(GgufFields& fields, const std::string& arch,
                                                 const Gguf& gguf) {
  Config config;
  config.d_model = fields.integer(arch + ".embedding_length");
  const std::string rms = arch + ".attention.layer_norm_rms_epsilon";
  config.norm_eps = static_cast<float>(
      fields.number(fields.find(rms) != nullptr ? rms : arch + ".attention.layer_norm_epsilon"));
  read_gguf_nemotron_layers(fields, arch, config);
  if (config.has(LayerKind::moe)) read_gguf_nemotron_experts(fields, arch, gguf, config);
  config.mlp.activation = config.has(LayerKind::mlp) ? MlpActivation::relu2 : MlpActivation::swiglu;
  for (std::size_t i = 0; i < config.pattern.size(); ++i) {
    const std::string block = concat("blk.", i, ".");
    switch (config.kind(i)) {
      case LayerKind::attention:
        config.attention.qkv_proj_bias =
            gguf_rows(gguf, block + "attn_q.bias") + gguf_rows(gguf, block + "attn_qkv.bias") > 0;
        config.attention.out_proj_bias = gguf_rows(gguf, block + "attn_output.bias") > 0;
        break;
      case LayerKind::mlp:
        config.mlp.bias = gguf_rows(gguf, block + "ffn_up.bias") > 0;
        break;
      case LayerKind::moe:
        break;
      default:
        config.conv_bias = gguf_rows(gguf, block + "ssm_conv1d.bias") > 0;
        config.bias = gguf_rows(gguf, block + "ssm_in.bias") > 0;
    }
  }
  if (config.has(LayerKind::attention)) read_gguf_nemotron_attention(fields, arch, config);
  if (config.has(LayerKind::mamba2)) read_gguf_ssm(fields, arch, config);
  return config;
}

}  // namespace detail

inline constexpr GgufDialect kGgufNemotronH = {
    {detail::kGgufNemotronHName, detail::kGgufNemotronHMoeName},
    "Nemotron-H",
    detail::read_gguf_nemotron_h,
    {detail::kGgufOuter, [](const Config&) { return std::size_t{1}; },
     detail::kGgufNemotronLayers}};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
