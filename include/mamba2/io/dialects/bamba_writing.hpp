// SPDX-License-Identifier: Apache-2.0
// Bamba as transformers has it: of models that granitemoehybrid has not, those where RoPE turns
// half of a head or MLPs have biases.
#pragma once

#include <cstddef>

#include "mamba2/io/dialects/bamba.hpp"
#include "mamba2/io/dialects/writing.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

inline void check_bamba(ExportCheck& check, const Config& c) {
  const AttentionConfig& a = c.attention;
  check.require_pairs(c);
  check_granite_or_bamba(check, c);
  check.require_no_multipliers(c);
  if (!c.has(LayerKind::attention)) return;
  check.require_usual_scale(a);
  check.require("attention.rotary_emb_dim", a.rotary_emb_dim == a.head_dim / 2,
                concat("half of head_dim ", a.head_dim), a.rotary_emb_dim);
}

inline void write_bamba_keys(JsonWriter& json, const Config& c) {
  Json layers = Json::array();
  for (std::size_t i = 0; i < c.n_layer; i += 2) {
    if (c.kind(i) == LayerKind::attention) layers.push_back(i / 2);
  }
  json.member("attn_layer_indices", layers);
  json.member("attn_rotary_emb", c.attention.rotary_emb_dim);
  json.member("intermediate_size", c.mlp.d_intermediate);
  json.member("mlp_bias", c.mlp.bias);
  write_granite_or_bamba_keys(json, c);
}

}  // namespace detail

inline constexpr DialectWriting kBambaWriting = {
    &kBamba,
    "BambaForCausalLM",
    "model.",
    [](const Config& c) {
      const std::size_t turning = c.attention.rotary_emb_dim;
      return c.is_hybrid() && (c.mlp.bias || (turning > 0 && turning == c.attention.head_dim / 2));
    },
    detail::check_bamba,
    detail::write_bamba_keys};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
