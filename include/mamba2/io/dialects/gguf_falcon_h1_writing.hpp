// SPDX-License-Identifier: Apache-2.0
// Falcon-H1, as llama.cpp's converter writes it.
#pragma once

#include <cstddef>
#include <string_view>
#include <utility>

#include "mamba2/io/dialects/falcon_h1_writing.hpp"
#include "mamba2/io/dialects/gguf_falcon_h1.hpp"
#include "mamba2/io/dialects/gguf_writing.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

inline void check_gguf_falcon(ExportCheck& check, const Config& c) {
  check_falcon(check, c);
  check.require_flag("norm_before_gate", false, c.norm_before_gate);
  check.require_flag("attention.qkv_proj_bias", false, c.attention.qkv_proj_bias);
  check.require_flag("mlp.bias", false, c.mlp.bias);
}

inline void set_gguf_falcon(const GgufKeys& keys, const Config& c) {
  const AttentionConfig& a = c.attention;
  set_gguf_ssm(keys, c);
  keys.set("feed_forward_length", c.mlp.d_intermediate);
  keys.set("attention.head_count", a.num_heads);
  keys.set("attention.head_count_kv", a.num_heads_kv);
  keys.set("attention.key_length", a.head_dim);
  keys.set("attention.value_length", a.head_dim);
  keys.set_number("rope.freq_base", a.rotary_emb_base);
  keys.set("vocab_size", c.vocab_size);
}

/// The factors go into the weights.
inline void scale_gguf_falcon(ExportedTensor& tensor, const Config& c) {
  const Mamba2Multipliers& m = c.ssm_multipliers;
  const AttentionConfig& a = c.attention;
  const std::size_t shared = c.ngroups * c.d_state;
  const auto is = [&](std::string_view name) { return tensor.name.ends_with(name); };
  const auto all = [&](float factor) { tensor.set_factors({{tensor.shape.front(), factor}}); };
  if (is("ssm_in.weight")) {
    tensor.set_factors({{c.d_ssm, m.in * m.z},
                        {c.d_ssm, m.in * m.x},
                        {shared, m.in * m.B},
                        {shared, m.in * m.C},
                        {c.nheads(), m.in * m.dt}});
  }
  if (is("ssm_out.weight")) all(m.out);
  if (is("attn_q.weight") || is("attn_v.weight")) all(a.in_multiplier);
  if (is("attn_k.weight")) all(a.in_multiplier * key_multiplier(a));
  if (is("attn_output.weight")) all(a.out_multiplier);
  if (is("ffn_gate.weight")) all(c.mlp.gate_multiplier);
  if (is("ffn_down.weight")) all(c.mlp.out_multiplier);
  if (is(kGgufEmbedding)) all(c.embedding_multiplier);
  if (tensor.name == kGgufHead) all(c.logits_multiplier);
}

}  // namespace detail

inline constexpr GgufWriting kGgufFalconH1Writing = {
    detail::kGgufFalconH1Name, &kGgufFalconH1, detail::becomes_falcon, detail::check_gguf_falcon,
    detail::set_gguf_falcon, detail::scale_gguf_falcon,
    // One matrix cannot have both factors in it.
    [](const Config& c) { return c.embedding_multiplier != 1.0F || c.logits_multiplier != 1.0F; }};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
