// SPDX-License-Identifier: Apache-2.0
// Granite 4.0-H, dense and with experts, and Bamba (architecture granitehybrid), and Granite with
// attention in all layers (granite), as llama.cpp's converter writes them.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/io/dialects/gguf.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

inline constexpr std::string_view kGgufGraniteHybrid = "granitehybrid";
inline constexpr std::string_view kGgufGraniteDense = "granite";

inline constexpr auto kGgufGraniteLayers =
    joined(kGgufNorm, kGgufMamba2Layers, kGgufAttentionLayers, kGgufMlpLayers, gguf_moe_layers(1));

/// The attention of a Granite model.
inline void read_gguf_attention(GgufFields& fields, const std::string& arch, Config& config) {
  AttentionConfig& a = config.attention;
  a.num_heads = fields.integer(arch + ".attention.head_count");
  a.head_dim = std::max<std::size_t>(1, config.d_model / a.num_heads);
  a.softmax_scale = gguf_factor(fields, arch + ".attention.scale",
                                1.0F / std::sqrt(static_cast<float>(a.head_dim)));
  // llama.cpp's switch for RoPE. With it, the rows of queries and keys are interleaved, all of a
  // head, however many of its channels turn; without it, it does not matter.
  if (fields.flag(arch + ".rope.scaling.finetuned", true)) {
    a.rotary_emb_dim = fields.integer_if(arch + ".rope.dimension_count").value_or(a.head_dim);
    if (fields.find(arch + ".rope.freq_base") != nullptr) {
      a.rotary_emb_base = static_cast<float>(fields.number(arch + ".rope.freq_base"));
    }
    a.qk_interleaved = true;
  }
}

/// A Granite or a Bamba. What no key says is seen by the tensors.
[[nodiscard]] inline Config read_gguf_granite(GgufFields& fields, const std::string& arch,
                                              const Gguf& gguf) {
  Config config;
  config.d_model = fields.integer(arch + ".embedding_length");
  const std::size_t layers = read_gguf_blocks(fields, arch, 2);
  if (layers == 0) return config;
  config.norm_eps = static_cast<float>(fields.number(arch + ".attention.layer_norm_rms_epsilon"));
  constexpr std::string_view kKvHeads = ".attention.head_count_kv";
  const auto kv_heads = read_gguf_layer_numbers(fields, arch, kKvHeads, layers);
  if (kv_heads.empty()) return config;
  const bool has_experts = fields.integer_if(arch + ".expert_count").value_or(0) > 0;
  for (const std::size_t heads : kv_heads) {
    config.pattern += heads > 0 ? '*' : 'M';
    config.pattern += has_experts ? 'E' : '-';
  }
  config.n_layer = config.pattern.size();
  config.embedding_multiplier = gguf_factor(fields, arch + ".embedding_scale");
  config.residual_multiplier = gguf_factor(fields, arch + ".residual_scale");
  config.logits_multiplier = 1.0F / gguf_factor(fields, arch + ".logit_scale");
  config.max_position_embeddings = fields.integer_if(arch + ".context_length").value_or(0);

  if (has_experts) read_gguf_experts(fields, arch, gguf, 0, layers, config.moe);
  config.mlp.d_intermediate = gguf_rows(gguf, "blk.0.ffn_up.weight");
  config.mlp.bias = gguf_rows(gguf, "blk.0.ffn_up.bias") > 0;
  config.attention.num_heads_kv = one_gguf_number(fields, arch, kKvHeads, kv_heads);
  for (std::size_t i = 0; i < layers; ++i) {
    const std::string block = concat("blk.", i, ".");
    if (kv_heads[i] > 0) {
      config.attention.qkv_proj_bias =
          gguf_rows(gguf, block + "attn_q.bias") + gguf_rows(gguf, block + "attn_qkv.bias") > 0;
      config.attention.out_proj_bias = gguf_rows(gguf, block + "attn_output.bias") > 0;
    } else {
      config.conv_bias = gguf_rows(gguf, block + "ssm_conv1d.bias") > 0;
      config.bias = gguf_rows(gguf, block + "ssm_in.bias") > 0;
    }
  }
  if (config.has(LayerKind::attention)) read_gguf_attention(fields, arch, config);
  if (config.has(LayerKind::mamba2)) read_gguf_ssm(fields, arch, config);
  return config;
}

}  // namespace detail

inline constexpr GgufDialect kGgufGranite = {
    {detail::kGgufGraniteHybrid, detail::kGgufGraniteDense},
    "Granite 4.0 or Bamba",
    detail::read_gguf_granite,
    {detail::kGgufOuter, [](const Config&) { return std::size_t{2}; }, detail::kGgufGraniteLayers}};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
