// SPDX-License-Identifier: Apache-2.0
// The shapes of LFM2.
#pragma once

#include <array>
#include <cstddef>
#include <mamba2/layers/config.hpp>
#include <string_view>

namespace cli {

/// A published LFM2: a short convolution of 3 taps or attention with heads of 64 channels, and an
/// MLP or experts.
struct Lfm2Shape {
  std::string_view name;
  std::string_view layers;  ///< Config::pattern
  std::size_t d_model;
  std::size_t num_heads, num_heads_kv;
  std::size_t d_intermediate;  ///< of MLPs
  mamba2::MoeConfig moe = {};

  [[nodiscard]] mamba2::Config config() const {
    mamba2::Config config;
    config.d_model = d_model;
    config.pattern = layers;
    config.n_layer = config.pattern.size();
    config.vocab_size = 65536;
    config.short_conv.d_conv = 3;
    config.attention.num_heads = num_heads;
    config.attention.num_heads_kv = num_heads_kv;
    config.attention.head_dim = config.attention.rotary_emb_dim = 64;
    config.attention.rotary_emb_base = 1e6F;
    config.attention.softmax_scale = 0.125F;
    config.attention.qk_norm = true;
    config.mlp.d_intermediate = d_intermediate;
    config.moe = moe;
    config.eos_token_ids = {7};
    return config;
  }
};

inline constexpr std::string_view kLfm2Layers = "C-C-*-C-C-*-C-C-*-C-*-C-*-C-*-C-";

inline constexpr std::array<Lfm2Shape, 4> kLfm2Shapes = {
    {{"lfm2-350m", kLfm2Layers, 1024, 16, 8, 4608},
     {"lfm2-700m", kLfm2Layers, 1536, 24, 8, 6912},
     {"lfm2-1.2b", kLfm2Layers, 2048, 32, 8, 8192},
     {"lfm2-8b-a1b",
      "C-C-*ECECECE*ECECECE*ECECECE*ECECECE*ECECE*ECECE",
      2048,
      32,
      8,
      7168,
      {.num_experts = 32,
       .num_experts_per_tok = 4,
       .d_intermediate = 1792,
       .sigmoid = true,
       .router_bias = true,
       .norm_topk_prob = true,
       .norm_eps = 1e-6F}}}};

}  // namespace cli
