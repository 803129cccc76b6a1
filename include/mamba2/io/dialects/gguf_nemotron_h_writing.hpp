// SPDX-License-Identifier: Apache-2.0
// Nemotron-H, as llama.cpp's converter writes it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "mamba2/io/dialects/gguf_nemotron_h.hpp"
#include "mamba2/io/dialects/gguf_writing.hpp"
#include "mamba2/io/dialects/nemotron_h_writing.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

inline void check_gguf_nemotron(ExportCheck& check, const Config& c) {
  check_nemotron(check, c);
  check.require("the layers", c.has(LayerKind::attention) && c.has(LayerKind::mamba2),
                "some of Mamba-2 and some with attention", in_quotes(c.pattern));
  check.require_flag("mlp.bias", false, c.mlp.bias);
  check.require("the layers", !c.has(LayerKind::mlp) || !c.has(LayerKind::moe),
                "without MLPs or without experts", in_quotes(c.pattern));
}

inline void set_gguf_nemotron_experts(const GgufKeys& keys, const MoeConfig& moe) {
  keys.set("expert_count", moe.num_experts);
  keys.set("expert_used_count", moe.num_experts_per_tok);
  keys.set("expert_feed_forward_length", moe.d_intermediate);
  keys.set("expert_shared_feed_forward_length", moe.d_shared);
  keys.set("expert_shared_count", 1);
  keys.writer.set_flag(keys.key("expert_weights_norm"), moe.norm_topk_prob);
  keys.set_number("expert_weights_scale", moe.routed_scaling_factor);
  keys.set("expert_group_count", moe.n_group);
  keys.set("expert_group_used_count", moe.topk_group);
  if (moe.d_latent > 0) keys.set("moe_latent_size", moe.d_latent);
}

inline void set_gguf_nemotron(const GgufKeys& keys, const Config& c) {
  const AttentionConfig& a = c.attention;
  std::vector<std::int32_t> kv_heads;
  std::vector<std::int32_t> widths;
  for (std::size_t i = 0; i < c.n_layer; ++i) {
    const auto only = [&](LayerKind kind, std::size_t number) {
      return c.kind(i) == kind ? static_cast<std::int32_t>(number) : 0;
    };
    kv_heads.push_back(only(LayerKind::attention, a.num_heads_kv));
    widths.push_back(only(LayerKind::mlp, c.mlp.d_intermediate) +
                     only(LayerKind::moe, c.moe.d_intermediate));
  }
  set_gguf_ssm(keys, c);
  keys.writer.set_integers(keys.key("feed_forward_length"), widths);
  keys.set("attention.head_count", a.num_heads);
  keys.writer.set_integers(keys.key("attention.head_count_kv"), kv_heads);
  keys.set("attention.key_length", a.head_dim);
  keys.set("attention.value_length", a.head_dim);
  keys.set_number("attention.layer_norm_epsilon", c.norm_eps);
  keys.set("rope.dimension_count", c.d_model / a.num_heads);
  keys.writer.set_flag(keys.key("rope.scaling.finetuned"), false);
  keys.set("vocab_size", c.vocab_size);
  if (c.has(LayerKind::moe)) set_gguf_nemotron_experts(keys, c.moe);
}

}  // namespace detail

inline constexpr GgufWriting kGgufNemotronHMoeWriting = {
    detail::kGgufNemotronHMoeName, &kGgufNemotronH,
    [](const Config& c) { return detail::becomes_nemotron(c) && c.has(LayerKind::moe); },
    detail::check_gguf_nemotron, detail::set_gguf_nemotron};

inline constexpr GgufWriting kGgufNemotronHWriting = {
    detail::kGgufNemotronHName, &kGgufNemotronH, detail::becomes_nemotron,
    detail::check_gguf_nemotron, detail::set_gguf_nemotron};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
