// SPDX-License-Identifier: Apache-2.0
// Falcon-H1, as llama.cpp's converter writes it: architecture falcon-h1. The factors of Falcon-H1
// are in its weights there.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>

#include "mamba2/io/dialects/gguf.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

inline constexpr std::string_view kGgufFalconH1Name = "falcon-h1";

/// The norm of the MLP has no ".weight".
inline constexpr auto kGgufFalconNorm =
    std::to_array<TensorRename>({{"ffn_norm", "norm.weight", 1}});
inline constexpr auto kGgufFalconLayers =
    joined(kGgufNorm, kGgufMamba2Layers, kGgufAttentionLayers, kGgufFalconNorm, kGgufMlpLayers);

/// The first files were written by a fork of llama.cpp with other keys, and without the factors.
inline void refuse_old_falcon(GgufFields& fields, const std::string& arch) {
  for (const std::string_view key : {".mlp_gate_multiplier", ".mlp_down_multiplier", ".ssm.has_mup",
                                     ".mamba_rms_norm", ".rope_theta"}) {
    const std::string name = concat(arch, key);
    if (fields.find(name) == nullptr) continue;
    fields.refuse(name, "absent (a file of an old fork of llama.cpp: convert the model again)",
                  fields.found(name), ErrorCode::unsupported);
  }
}

inline void read_gguf_falcon_attention(GgufFields& fields, const std::string& arch,
                                       std::size_t layers, Config& config) {
  AttentionConfig& a = config.attention;
  const auto number = [&](std::string_view name) {
    return one_gguf_number(fields, arch, name, read_gguf_layer_numbers(fields, arch, name, layers));
  };
  a.num_heads = number(".attention.head_count");
  a.num_heads_kv = number(".attention.head_count_kv");
  a.head_dim = read_gguf_head_dim(fields, arch, config);
  a.softmax_scale = 1.0F / std::sqrt(static_cast<float>(a.head_dim));
  a.rotary_emb_dim = fields.integer_if(arch + ".rope.dimension_count").value_or(a.head_dim);
  if (fields.find(arch + ".rope.freq_base") != nullptr) {
    a.rotary_emb_base = static_cast<float>(fields.number(arch + ".rope.freq_base"));
  }
  config.max_position_embeddings = fields.integer_if(arch + ".context_length").value_or(0);
}

[[nodiscard]] inline Config read_gguf_falcon_h1(GgufFields& fields, const std::string& arch,
                                                const Gguf& gguf) {
  Config config;
  refuse_old_falcon(fields, arch);
  config.d_model = fields.integer(arch + ".embedding_length");
  config.norm_eps = static_cast<float>(fields.number(arch + ".attention.layer_norm_rms_epsilon"));
  config.mlp.d_intermediate = fields.integer(arch + ".feed_forward_length");
  const std::size_t layers = read_gguf_blocks(fields, arch, 2);
  for (std::size_t i = 0; i < layers; ++i) config.pattern += "H-";
  config.n_layer = config.pattern.size();
  read_gguf_falcon_attention(fields, arch, layers, config);
  read_gguf_ssm(fields, arch, config);
  config.rmsnorm = gguf_rows(gguf, "blk.0.ssm_norm.weight") > 0;
  config.conv_bias = gguf_rows(gguf, "blk.0.ssm_conv1d.bias") > 0;
  if (gguf.find(kGgufHead) == nullptr) {
    fields.note(concat(fields.file(),
                       ": the head is the embedding, which has the embedding's factor in it, and "
                       "the factor of the head is lost: logits are too large or too small by both, "
                       "as they are in llama.cpp; the original checkpoint has them"));
  }
  return config;
}

}  // namespace detail

inline constexpr GgufDialect kGgufFalconH1 = {
    {detail::kGgufFalconH1Name, ""},
    "Falcon-H1",
    detail::read_gguf_falcon_h1,
    {detail::kGgufOuter, [](const Config&) { return std::size_t{2}; }, detail::kGgufFalconLayers}};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
