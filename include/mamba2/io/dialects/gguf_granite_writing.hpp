// SPDX-License-Identifier: Apache-2.0
// Granite 4.0-H, dense and with experts, and with attention in all layers, as llama.cpp's converter
// writes them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "mamba2/io/dialects/gguf_granite.hpp"
#include "mamba2/io/dialects/gguf_writing.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

inline void set_gguf_granite(const GgufKeys& keys, const Config& c) {
  const AttentionConfig& a = c.attention;
  std::vector<std::int32_t> kv_heads;
  for (std::size_t i = 0; i < c.n_layer; i += 2) {
    const bool attends = c.kind(i) == LayerKind::attention;
    kv_heads.push_back(attends ? static_cast<std::int32_t>(a.num_heads_kv) : 0);
  }
  if (c.has(LayerKind::mamba2)) set_gguf_ssm(keys, c);
  const bool has_experts = c.has(LayerKind::moe);
  keys.set("feed_forward_length", has_experts ? c.moe.d_intermediate : c.mlp.d_intermediate);
  keys.set("expert_shared_feed_forward_length",
           has_experts ? c.moe.d_shared : c.mlp.d_intermediate);
  keys.set("expert_count", has_experts ? c.moe.num_experts : 0);
  keys.set("expert_used_count", has_experts ? c.moe.num_experts_per_tok : 0);
  keys.set("attention.head_count", a.num_heads);
  if (c.has(LayerKind::mamba2)) {
    keys.writer.set_integers(keys.key("attention.head_count_kv"), kv_heads);
  } else {
    keys.set("attention.head_count_kv", a.num_heads_kv);
  }
  keys.set_number("attention.scale", a.softmax_scale);
  keys.set_number("embedding_scale", c.embedding_multiplier);
  keys.set_number("residual_scale", c.residual_multiplier);
  keys.set_number("logit_scale", 1.0F / c.logits_multiplier);
  keys.set("rope.dimension_count", a.head_dim);
  keys.set_number("rope.freq_base", a.rotary_emb_base);
  // llama.cpp's switch for RoPE.
  keys.writer.set_flag(keys.key("rope.scaling.finetuned"), a.rotary_emb_dim > 0);
  keys.set("vocab_size", c.vocab_size);
}

/// What llama.cpp takes for granted of a hybrid.
inline void check_gguf_granite(ExportCheck& check, const Config& c) {
  const AttentionConfig& a = c.attention;
  check.require_plain_block(c);
  check.require_granite_pairs(c);
  check.require("the layers", c.has(LayerKind::attention), "some with attention",
                in_quotes(c.pattern));
  const bool fits = !c.has(LayerKind::mamba2) || c.d_inner == 2 * c.d_model;
  check.require("d_inner", fits, concat("2 * d_model ", 2 * c.d_model), c.d_inner);
  check.require("attention.head_dim", a.q_dim() == c.d_model,
                concat("d_model / num_heads ", c.d_model, "/", a.num_heads), a.head_dim);
  check.require("attention.rotary_emb_dim", a.rotary_emb_dim == 0 || a.rotary_emb_dim == a.head_dim,
                concat("0 or head_dim ", a.head_dim), a.rotary_emb_dim);
  check.require_flag("mlp.bias", false, c.mlp.bias);
}

/// With attention in all layers, experts are another architecture, which this library does not
/// have.
inline void check_gguf_granite_dense(ExportCheck& check, const Config& c) {
  check.require_pairs(c);
  check_gguf_granite(check, c);
}

}  // namespace detail

inline constexpr GgufWriting kGgufGraniteDenseWriting = {
    detail::kGgufGraniteDense,
    &kGgufGranite,
    [](const Config& c) { return c.is_hybrid() && !c.has(LayerKind::mamba2); },
    detail::check_gguf_granite_dense,
    detail::set_gguf_granite,
    nullptr,
    nullptr,
    true};

inline constexpr GgufWriting kGgufGraniteHybridWriting = {
    detail::kGgufGraniteHybrid,
    &kGgufGranite,
    [](const Config& c) { return c.is_hybrid(); },
    detail::check_gguf_granite,
    detail::set_gguf_granite,
    nullptr,
    nullptr,
    true};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
