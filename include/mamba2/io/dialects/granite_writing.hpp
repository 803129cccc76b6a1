// SPDX-License-Identifier: Apache-2.0
// Granite 4.0-H, dense and with experts, as transformers has it.
#pragma once

#include <cstddef>

#include "mamba2/io/dialects/granite.hpp"
#include "mamba2/io/dialects/writing.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

inline void check_granite(ExportCheck& check, const Config& c) {
  const AttentionConfig& a = c.attention;
  check.require_granite_pairs(c);
  check_granite_or_bamba(check, c);
  check.require("attention.rotary_emb_dim", a.rotary_emb_dim == 0 || a.rotary_emb_dim == a.head_dim,
                concat("0, head_dim ", a.head_dim, " or half of it"), a.rotary_emb_dim);
}

inline void write_granite_keys(JsonWriter& json, const Config& c) {
  Json types = Json::array();
  for (std::size_t i = 0; i < c.n_layer; i += 2) {
    types.push_back(c.kind(i) == LayerKind::attention ? "attention" : "mamba");
  }
  json.member("layer_types", types);
  const bool has_experts = c.has(LayerKind::moe);
  // Of experts; where there are none, llama.cpp's converter reads this key.
  json.member("intermediate_size", has_experts ? c.moe.d_intermediate : c.mlp.d_intermediate);
  json.member("shared_intermediate_size", has_experts ? c.moe.d_shared : c.mlp.d_intermediate);
  json.member("num_local_experts", has_experts ? c.moe.num_experts : 0);
  json.member("num_experts_per_tok", has_experts ? c.moe.num_experts_per_tok : 0);
  json.member("normalization_function", "rmsnorm");
  json.member("position_embedding_type", c.attention.rotary_emb_dim > 0 ? "rope" : "nope");
  json.member("attention_multiplier", shortest(c.attention.softmax_scale));
  json.member("embedding_multiplier", shortest(c.embedding_multiplier));
  json.member("residual_multiplier", shortest(c.residual_multiplier));
  json.member("logits_scaling", shortest(1.0F / c.logits_multiplier));
  write_granite_or_bamba_keys(json, c);
}

}  // namespace detail

inline constexpr DialectWriting kGraniteWriting = {&kGranite,
                                                   "GraniteMoeHybridForCausalLM",
                                                   "model.",
                                                   [](const Config& c) { return c.is_hybrid(); },
                                                   detail::check_granite,
                                                   detail::write_granite_keys};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
