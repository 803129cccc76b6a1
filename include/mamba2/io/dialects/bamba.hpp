// SPDX-License-Identifier: Apache-2.0
// Bamba, as transformers writes it: model_type bamba.
#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "mamba2/io/dialects/dialect.hpp"
#include "mamba2/io/dialects/hybrid_keys.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

[[nodiscard]] inline Config read_bamba(JsonFields& fields) {
  Config config;
  read_model_keys(fields, config, 1e-5, 2);
  const std::size_t layers = read_layer_count(fields, "num_hidden_layers", 32);
  std::vector<bool> attends(layers, false);
  for (const std::size_t i : layer_numbers(fields, "attn_layer_indices", layers)) attends[i] = true;
  config.pattern = pattern_of(layers, attends, true);
  config.n_layer = config.pattern.size();
  config.mlp.d_intermediate = fields.integer("intermediate_size", 14336);
  config.mlp.bias = fields.flag("mlp_bias", false);
  if (config.has(LayerKind::mamba2)) read_mamba_keys(fields, config);
  if (config.has(LayerKind::attention)) {
    read_attention_keys(fields, config, 8);
    // In transformers' code, whatever attn_rotary_emb says.
    config.attention.rotary_emb_dim = config.attention.head_dim / 2;
    config.attention.rotary_emb_base = read_rope_theta(fields);
  }
  return config;
}

inline constexpr auto kBambaOuter = std::to_array<TensorRename>(
    {{"embed_tokens.weight", "embedding.weight"}, {"final_layernorm.weight", "norm_f.weight"}});

inline constexpr auto kBambaLayers =
    std::to_array<TensorRename>({{"input_layernorm.", "norm."},
                                 {"mamba.", "mixer.", 0, LayerKind::mamba2},
                                 {"self_attn.", "attention.", 0, LayerKind::attention},
                                 {"pre_ff_layernorm.", "norm.", 1},
                                 {"feed_forward.", "mlp.", 1}});

}  // namespace detail

inline constexpr Dialect kBamba = {
    "bamba",
    "Bamba",
    [](const detail::JsonFields& c) { return detail::has_model_type(c, "bamba"); },
    detail::read_bamba,
    "tie_word_embeddings",
    {detail::kBambaOuter, [](const Config&) { return std::size_t{2}; }, detail::kBambaLayers}};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
