// SPDX-License-Identifier: Apache-2.0
// Mamba-2 and its hybrids as llama.cpp's converter writes them: architectures mamba2, granitehybrid
// (Granite 4.0-H without experts, and Bamba) and granite (Granite with attention in all layers).
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/io/dialects/names.hpp"
#include "mamba2/io/gguf.hpp"
#include "mamba2/io/gguf_fields.hpp"
#include "mamba2/layers/config.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

inline constexpr std::string_view kGgufMamba2 = "mamba2";
inline constexpr std::string_view kGgufGranite = "granitehybrid";
inline constexpr std::string_view kGgufGraniteDense = "granite";

inline constexpr std::string_view kGgufEmbedding = "token_embd.weight";
inline constexpr std::string_view kGgufHead = "output.weight";

inline constexpr auto kGgufOuter =
    std::to_array<TensorRename>({{kGgufEmbedding, "embedding.weight"},
                                 {"output_norm.weight", "norm_f.weight"},
                                 {kGgufHead, "lm_head.weight"}});

inline constexpr auto kGgufLayers = std::to_array<TensorRename>(
    {{"attn_norm.", "norm."},
     {"ssm_in.", "mixer.in_proj.", 0, LayerKind::mamba2},
     {"ssm_conv1d.", "mixer.conv1d.", 0, LayerKind::mamba2},
     {"ssm_dt.bias", "mixer.dt_bias", 0, LayerKind::mamba2},
     {"ssm_a", "mixer.A", 0, LayerKind::mamba2},
     {"ssm_d", "mixer.D", 0, LayerKind::mamba2},
     {"ssm_norm.", "mixer.norm.", 0, LayerKind::mamba2},
     {"ssm_out.", "mixer.out_proj.", 0, LayerKind::mamba2},
     {"attn_qkv.", "attention.q_proj.|attention.k_proj.|attention.v_proj.", 0,
      LayerKind::attention},
     {"attn_q.", "attention.q_proj.", 0, LayerKind::attention},
     {"attn_k.", "attention.k_proj.", 0, LayerKind::attention},
     {"attn_v.", "attention.v_proj.", 0, LayerKind::attention},
     {"attn_output.", "attention.o_proj.", 0, LayerKind::attention},
     {"ffn_norm.", "norm.", 1},
     {"ffn_gate.", "mlp.gate_proj.", 1},
     {"ffn_up.", "mlp.up_proj.", 1},
     {"ffn_down.", "mlp.down_proj.", 1}});

/// Of names with "layers." for "blk.".
inline constexpr DialectNames kGgufNames = {
    kGgufOuter, [](const Config& c) { return std::size_t{c.has(LayerKind::mlp) ? 2U : 1U}; },
    kGgufLayers};

/// The ssm.* keys of an architecture.
inline void read_gguf_ssm(GgufFields& fields, const std::string& arch, Config& config) {
  config.d_conv = fields.integer(arch + ".ssm.conv_kernel");
  config.d_inner = config.d_ssm = fields.integer(arch + ".ssm.inner_size");
  config.d_state = fields.integer(arch + ".ssm.state_size");
  config.ngroups = fields.integer(arch + ".ssm.group_count");
  const std::string heads = arch + ".ssm.time_step_rank";
  const std::size_t nheads = fields.integer(heads);
  config.headdim = config.d_inner / nheads;
  if (config.headdim * nheads != config.d_inner) {
    fields.refuse(heads, concat("a divisor of ", arch, ".ssm.inner_size ", config.d_inner),
                  concat(nheads));
  }
}

/// A factor; where it is absent or 0, it is not applied: `otherwise`.
[[nodiscard]] inline float gguf_factor(GgufFields& fields, const std::string& key,
                                       float otherwise = 1.0F) {
  if (fields.find(key) == nullptr) return otherwise;
  const auto factor = static_cast<float>(fields.number(key));
  return factor == 0.0F ? otherwise : factor;
}

/// The heads of keys and values of each of so many layers, 0 for a Mamba-2 layer; all are the same
/// otherwise, and one number is that of all. Answers the number, and which attend.
[[nodiscard]] inline std::size_t read_gguf_kv_heads(GgufFields& fields, const std::string& key,
                                                    std::size_t layers,
                                                    std::vector<bool>& attends) {
  const GgufValue* list = fields.find(key);
  if (list != nullptr && !list->is_array && key.starts_with(concat(kGgufGraniteDense, "."))) {
    attends.assign(layers, true);
    return fields.integer(key);
  }
  const bool is_list = list != nullptr && list->is_array && list->count == layers &&
                       (list->type == GgufType::int32 || list->type == GgufType::uint32);
  if (!is_list) {
    fields.refuse(key, concat("a list of ", layers, " integers"), fields.found(key));
    return 1;
  }
  std::size_t heads = 0;
  for (std::size_t i = 0; i < layers; ++i) {
    const std::int32_t found = list->int32_at(i);
    const auto count = static_cast<std::size_t>(found);
    if (found < 0 || (found > 0 && heads > 0 && count != heads)) {
      fields.refuse(key, "the same number for all layers with attention, else 0", concat(found));
    }
    attends[i] = found > 0;
    if (found > 0) heads = count;
  }
  return std::max<std::size_t>(1, heads);
}

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

/// A Granite without experts, or a Bamba. What no key says is seen by the tensors.
[[nodiscard]] inline Config read_gguf_granite(GgufFields& fields, const std::string& arch,
                                              const Gguf& gguf) {
  Config config;
  config.d_model = fields.integer(arch + ".embedding_length");
  const std::size_t layers = fields.integer(arch + ".block_count");
  if (layers > Config::kMaxLayers / 2) {
    fields.refuse(arch + ".block_count", concat("in 1..", Config::kMaxLayers / 2), concat(layers));
    return config;
  }
  config.norm_eps = static_cast<float>(fields.number(arch + ".attention.layer_norm_rms_epsilon"));
  if (fields.integer_if(arch + ".expert_count").value_or(0) > 0) {
    fields.refuse(arch + ".expert_count", "0 (experts are not supported)",
                  fields.found(arch + ".expert_count"), ErrorCode::unsupported);
  }
  std::vector<bool> attends(layers, false);
  const std::size_t kv_heads =
      read_gguf_kv_heads(fields, arch + ".attention.head_count_kv", layers, attends);
  for (const bool attention : attends) config.pattern += attention ? "*-" : "M-";
  config.n_layer = config.pattern.size();
  config.embedding_multiplier = gguf_factor(fields, arch + ".embedding_scale");
  config.residual_multiplier = gguf_factor(fields, arch + ".residual_scale");
  config.logits_multiplier = 1.0F / gguf_factor(fields, arch + ".logit_scale");
  config.max_position_embeddings = fields.integer_if(arch + ".context_length").value_or(0);

  const auto rows_of = [&](std::string_view name) {
    const TensorView* tensor = gguf.find(name);
    return tensor == nullptr || tensor->shape.empty() ? std::size_t{0} : tensor->shape.front();
  };
  config.mlp.d_intermediate = rows_of("blk.0.ffn_up.weight");
  config.mlp.bias = rows_of("blk.0.ffn_up.bias") > 0;
  for (std::size_t i = 0; i < layers; ++i) {
    const std::string block = concat("blk.", i, ".");
    if (attends[i]) {
      config.attention.num_heads_kv = kv_heads;
      config.attention.qkv_proj_bias =
          rows_of(block + "attn_q.bias") + rows_of(block + "attn_qkv.bias") > 0;
      config.attention.out_proj_bias = rows_of(block + "attn_output.bias") > 0;
    } else {
      config.conv_bias = rows_of(block + "ssm_conv1d.bias") > 0;
      config.bias = rows_of(block + "ssm_in.bias") > 0;
    }
  }
  if (config.has(LayerKind::attention)) read_gguf_attention(fields, arch, config);
  if (config.has(LayerKind::mamba2)) read_gguf_ssm(fields, arch, config);
  return config;
}

/// A model of Mamba-2 layers alone.
[[nodiscard]] inline Config read_gguf_mamba2(GgufFields& fields) {
  const std::string arch(kGgufMamba2);
  Config config;
  config.d_model = fields.integer(arch + ".embedding_length");
  config.n_layer = fields.integer(arch + ".block_count");
  config.norm_eps = static_cast<float>(fields.number(arch + ".attention.layer_norm_rms_epsilon"));
  read_gguf_ssm(fields, arch, config);
  return config;
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
