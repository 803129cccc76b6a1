// SPDX-License-Identifier: Apache-2.0
// The shapes of Nemotron-H and Falcon-H1.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <mamba2/layers/config.hpp>
#include <string_view>

namespace cli {

/// A published hybrid by the kinds of its layers: a Nemotron-H, or a Falcon-H1, which has some with
/// two mixers.
struct LayeredShape {
  std::string_view name;
  std::string_view layers;  ///< a Config::pattern,
  std::size_t times;        ///< so many times
  std::size_t d_model;
  std::size_t num_heads, num_heads_kv, head_dim;
  std::size_t nheads, headdim, d_state, ngroups;
  std::size_t d_intermediate;
  std::size_t vocab_size;

  [[nodiscard]] mamba2::Config config() const {
    mamba2::Config config;
    config.d_model = d_model;
    config.vocab_size = vocab_size;
    config.d_inner = config.d_ssm = nheads * headdim;
    config.headdim = headdim;
    config.d_state = d_state;
    config.ngroups = ngroups;
    config.tie_embeddings = false;
    for (std::size_t i = 0; i < times; ++i) config.pattern += layers;
    config.n_layer = config.pattern.size();
    config.attention.num_heads = num_heads;
    config.attention.num_heads_kv = num_heads_kv;
    config.attention.head_dim = head_dim;
    config.attention.softmax_scale = 1.0F / std::sqrt(static_cast<float>(head_dim));
    config.mlp.d_intermediate = d_intermediate;
    if (config.has(mamba2::LayerKind::parallel)) {
      config.rmsnorm = false;
      config.attention.rotary_emb_dim = head_dim;
      config.attention.rotary_emb_base = 1e11F;
      // Those of the smallest: all cost the same.
      config.ssm_multipliers = {1.25F, 0.354F, 0.25F, 0.354F, 0.5F, 0.354F, 0.236F};
      config.attention.out_multiplier = 0.9375F;
      config.mlp.gate_multiplier = 0.884F;
      config.mlp.out_multiplier = 0.586F;
    } else {
      config.mlp.activation = mamba2::MlpActivation::relu2;
    }
    return config;
  }
};

inline constexpr std::array<LayeredShape, 4> kLayeredShapes = {
    {{"nemotron-nano-9b-v2", "M-M-M-MM-M-M-M*-M-M-M*-M-M-M-M*-M-M-M-M*-M-MM-M-M-M-M-M-", 1, 4480,
      40, 8, 128, 128, 80, 128, 8, 15680, 131072},
     {"nemotron-3-nano-4b", "M-M-M-MM-M-M*-M-M*-M-M-M*-M-M-MM*-MMM-M-M-", 1, 3136, 40, 8, 128, 96,
      80, 128, 8, 12544, 131072},
     {"falcon-h1-0.5b", "H-", 36, 1024, 8, 2, 64, 24, 64, 128, 1, 2048, 32784},
     {"falcon-h1-1.5b", "H-", 24, 2048, 8, 2, 128, 48, 64, 256, 1, 4608, 65537}}};

/// Nemotron-3-Nano-30B-A3B: one mixer to a layer.
[[nodiscard]] inline mamba2::Config nemotron_3_nano() {
  mamba2::Config config;
  config.pattern = "MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME";
  config.n_layer = config.pattern.size();
  config.d_model = 2688;
  config.vocab_size = 131072;
  config.d_inner = config.d_ssm = 4096;
  config.ngroups = 8;
  config.tie_embeddings = false;
  config.attention.num_heads = 32;
  config.attention.num_heads_kv = 2;
  config.attention.head_dim = 128;
  config.attention.softmax_scale = 0.08838835F;  // 1 / sqrt(128)
  config.moe.num_experts = 128;
  config.moe.num_experts_per_tok = 6;
  config.moe.d_intermediate = 1856;
  config.moe.d_shared = 3712;
  config.moe.activation = mamba2::MlpActivation::relu2;
  config.moe.sigmoid = config.moe.router_bias = config.moe.norm_topk_prob = true;
  config.moe.norm_eps = 1e-20F;
  config.moe.routed_scaling_factor = 2.5F;
  return config;
}

}  // namespace cli
