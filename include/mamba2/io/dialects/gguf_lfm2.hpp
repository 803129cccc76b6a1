// SPDX-License-Identifier: Apache-2.0
// LFM2 as llama.cpp's converter writes it: architecture lfm2, or with experts lfm2moe.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>

#include "mamba2/io/dialects/gguf.hpp"
#include "mamba2/io/dialects/lfm2.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

inline constexpr std::string_view kGgufLfm2Dense = "lfm2";
inline constexpr std::string_view kGgufLfm2Moe = "lfm2moe";

inline constexpr auto kGgufLfm2Outer =
    std::to_array<TensorRename>({{kGgufEmbedding, "embedding.weight"},
                                 {"token_embd_norm.weight", "norm_f.weight"},  // the last one
                                 {kGgufHead, "lm_head.weight"}});

inline constexpr auto kGgufShortConvLayers = std::to_array<TensorRename>(
    {{"shortconv.in_proj.", "short_conv.in_proj.", 0, LayerKind::short_conv},
     {"shortconv.conv.", "short_conv.conv1d.", 0, LayerKind::short_conv},
     {"shortconv.out_proj.", "short_conv.out_proj.", 0, LayerKind::short_conv},
     {"attn_q_norm.", "attention.q_norm.", 0, LayerKind::attention},
     {"attn_k_norm.", "attention.k_norm.", 0, LayerKind::attention}});

inline constexpr auto kGgufLfm2Layers = joined(
    kGgufNorm, kGgufShortConvLayers, kGgufAttentionLayers, kGgufMlpLayers, gguf_moe_layers(1));

/// Refuses encoders, decoders of audio, and others whose files have this architecture, too.
inline void refuse_other_lfm2(GgufFields& fields, const GgufMetadata& metadata,
                              const std::string& arch) {
  const auto refuse = [&](std::string_view key, std::string_view expected) {
    fields.refuse(key, expected, fields.found(key), ErrorCode::unsupported);
  };
  if (!fields.flag(arch + ".attention.causal", true)) refuse(arch + ".attention.causal", "true");
  const std::string window = arch + ".attention.sliding_window";
  if (fields.integer_if(window).value_or(0) > 0) refuse(window, "0");
  const std::string factor = arch + ".rope.scaling.factor";
  if (gguf_factor(fields, factor) != 1.0F) refuse(factor, "1");
  metadata.for_each([&](std::string_view key, const GgufValue&) {
    if (key.starts_with(arch + ".decision.") || key.starts_with(arch + ".embedding_length_out")) {
      refuse(key, "absent");
    }
  });
}

/// The experts, which follow so many dense blocks of all.
inline void read_gguf_lfm2_experts(GgufFields& fields, const std::string& arch, const Gguf& gguf,
                                   std::size_t dense, std::size_t layers, MoeConfig& m) {
  constexpr std::size_t kSigmoid = 2;
  read_gguf_experts(fields, arch, gguf, dense, layers, m);
  const std::string function = arch + ".expert_gating_func";
  if (fields.integer(function) != kSigmoid) {
    fields.refuse(function, "2 (sigmoid)", fields.found(function), ErrorCode::unsupported);
  }
  m.sigmoid = m.norm_topk_prob = true;
  m.norm_eps = kLfm2MoeEps;
}

[[nodiscard]] inline Config read_gguf_lfm2(GgufFields& fields, const std::string& arch,
                                           const Gguf& gguf) {
  Config config;
  refuse_other_lfm2(fields, gguf.metadata(), arch);
  const std::size_t layers = read_gguf_blocks(fields, arch, 2);
  constexpr std::string_view kKvHeads = ".attention.head_count_kv";
  const auto kv_heads = read_gguf_layer_numbers(fields, arch, kKvHeads, layers);
  const bool has_experts = arch == kGgufLfm2Moe;
  const std::size_t dense =
      has_experts ? fields.integer_if(arch + ".leading_dense_block_count").value_or(0) : layers;
  for (std::size_t i = 0; i < kv_heads.size(); ++i) {
    config.pattern += kv_heads[i] > 0 ? '*' : 'C';
    config.pattern += i < dense ? '-' : 'E';
  }
  config.n_layer = config.pattern.size();
  config.d_model = fields.integer(arch + ".embedding_length");
  config.norm_eps = static_cast<float>(fields.number(arch + ".attention.layer_norm_rms_epsilon"));
  if (dense > 0) config.mlp.d_intermediate = fields.integer(arch + ".feed_forward_length");
  if (config.has(LayerKind::moe)) {
    read_gguf_lfm2_experts(fields, arch, gguf, dense, layers, config.moe);
  }
  if (config.has(LayerKind::short_conv)) {
    config.short_conv.d_conv = fields.integer(arch + ".shortconv.l_cache");
  }
  if (config.has(LayerKind::attention)) {
    config.max_position_embeddings = fields.integer_if(arch + ".context_length").value_or(0);
    AttentionConfig& a = config.attention;
    a.num_heads = fields.integer(arch + ".attention.head_count");
    a.num_heads_kv = one_gguf_number(fields, arch, kKvHeads, kv_heads);
    a.head_dim = std::max<std::size_t>(1, config.d_model / a.num_heads);
    a.softmax_scale = 1.0F / std::sqrt(static_cast<float>(a.head_dim));
    a.rotary_emb_dim = fields.integer_if(arch + ".rope.dimension_count").value_or(a.head_dim);
    a.rotary_emb_base = gguf_factor(fields, arch + ".rope.freq_base", a.rotary_emb_base);
    a.qk_norm = true;
  }
  return config;
}

}  // namespace detail

inline constexpr GgufDialect kGgufLfm2 = {
    {detail::kGgufLfm2Dense, detail::kGgufLfm2Moe},
    "LFM2",
    detail::read_gguf_lfm2,
    {detail::kGgufLfm2Outer, [](const Config&) { return std::size_t{2}; },
     detail::kGgufLfm2Layers}};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
