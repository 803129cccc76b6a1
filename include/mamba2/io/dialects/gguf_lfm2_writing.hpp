// SPDX-License-Identifier: Apache-2.0
// LFM2, dense and with experts, as llama.cpp's converter writes it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "mamba2/io/dialects/gguf_lfm2.hpp"
#include "mamba2/io/dialects/gguf_writing.hpp"
#include "mamba2/io/dialects/lfm2_writing.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

inline void set_gguf_lfm2(const GgufKeys& keys, const Config& c) {
  const AttentionConfig& a = c.attention;
  std::vector<std::int32_t> kv_heads;
  for (std::size_t i = 0; i < c.n_layer; i += 2) {
    const bool attends = c.kind(i) == LayerKind::attention;
    kv_heads.push_back(attends ? static_cast<std::int32_t>(a.num_heads_kv) : 0);
  }
  keys.set("feed_forward_length", std::max<std::size_t>(1, c.mlp.d_intermediate));
  keys.set("attention.head_count", a.num_heads);
  keys.writer.set_integers(keys.key("attention.head_count_kv"), kv_heads);
  keys.set_number("rope.freq_base", a.rotary_emb_base);
  keys.set("vocab_size", c.vocab_size);
  keys.set("shortconv.l_cache", c.short_conv.d_conv);
  if (!c.has(LayerKind::moe)) return;
  constexpr std::size_t kSigmoid = 2;
  keys.set("expert_count", c.moe.num_experts);
  keys.set("expert_used_count", c.moe.num_experts_per_tok);
  keys.set("expert_feed_forward_length", c.moe.d_intermediate);
  keys.set("leading_dense_block_count", c.count(LayerKind::mlp));
  keys.set("expert_gating_func", kSigmoid);
}

inline void check_gguf_lfm2(ExportCheck& check, const Config& c) {
  const AttentionConfig& a = c.attention;
  check_lfm2(check, c);
  // Where llama.cpp takes the number of heads for granted, and the taps of the convolutions.
  check.require("the layers", c.has(LayerKind::attention) && c.has(LayerKind::short_conv),
                "convolutions and some with attention", in_quotes(c.pattern));
  check.require("attention.head_dim", a.q_dim() == c.d_model,
                concat("d_model / num_heads ", c.d_model, "/", a.num_heads), a.head_dim);
  check.require_flag("short_conv.bias", false, c.short_conv.bias);
  if (!c.has(LayerKind::moe)) return;
  check.require_flag("moe.router_bias", true, c.moe.router_bias);
  check.require_flag("moe.norm_topk_prob", true, c.moe.norm_topk_prob);
  check.require("moe.routed_scaling_factor", c.moe.routed_scaling_factor == 1.0F, "1",
                c.moe.routed_scaling_factor);
}

}  // namespace detail

inline constexpr GgufWriting kGgufLfm2MoeWriting = {detail::kGgufLfm2Moe, &kGgufLfm2,
                                                    detail::is_lfm2_moe, detail::check_gguf_lfm2,
                                                    detail::set_gguf_lfm2};

inline constexpr GgufWriting kGgufLfm2Writing = {detail::kGgufLfm2Dense, &kGgufLfm2,
                                                 detail::is_lfm2, detail::check_gguf_lfm2,
                                                 detail::set_gguf_lfm2};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
