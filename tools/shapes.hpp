// SPDX-License-Identifier: Apache-2.0
// The shapes of the published models.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <mamba2/io/bitmamba_file.hpp>
#include <mamba2/layers/config.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace cli {

/// A published model: all else is as in Config's defaults.
struct Shape {
  std::string_view name;
  std::size_t d_model;
  std::size_t n_layer;

  [[nodiscard]] mamba2::Config config() const {
    mamba2::Config config;
    config.d_model = d_model;
    config.n_layer = n_layer;
    config.d_inner = config.d_ssm = 2 * d_model;
    return config;
  }
};

inline constexpr std::array<Shape, 5> kShapes = {{{"mamba2-130m", 768, 24},
                                                  {"mamba2-370m", 1024, 48},
                                                  {"mamba2-780m", 1536, 48},
                                                  {"mamba2-1.3b", 2048, 48},
                                                  {"mamba2-2.7b", 2560, 64}}};

/// A published hybrid: a Mamba-2 or an attention layer and an MLP, or experts and one that all
/// tokens pass, `mixers` times; N is 128, G is 1.
struct HybridShape {
  std::string_view name;
  std::size_t d_model;
  std::size_t mixers;
  std::array<std::size_t, 4> attention;  ///< which of them attend; the first again: no more
  std::size_t num_heads, num_heads_kv, head_dim;
  std::size_t nheads, headdim;
  std::size_t d_intermediate;
  std::size_t vocab_size;
  bool tie_embeddings;
  std::size_t num_experts = 0;  ///< 0: an MLP
  std::size_t num_experts_per_tok = 0;
  std::size_t d_expert = 0;

  [[nodiscard]] mamba2::Config config() const {
    mamba2::Config config;
    config.d_model = d_model;
    config.n_layer = 2 * mixers;
    config.vocab_size = vocab_size;
    config.d_inner = config.d_ssm = nheads * headdim;
    config.headdim = headdim;
    config.tie_embeddings = tie_embeddings;
    for (std::size_t i = 0; i < mixers; ++i) {
      const bool attends = std::find(attention.begin(), attention.end(), i) != attention.end();
      config.pattern += attends ? '*' : 'M';
      config.pattern += num_experts > 0 ? 'E' : '-';
    }
    config.attention.num_heads = num_heads;
    config.attention.num_heads_kv = num_heads_kv;
    config.attention.head_dim = head_dim;
    config.attention.softmax_scale = 1.0F / static_cast<float>(head_dim);
    if (num_experts == 0) {
      config.mlp.d_intermediate = d_intermediate;
      return config;
    }
    config.moe.num_experts = num_experts;
    config.moe.num_experts_per_tok = num_experts_per_tok;
    config.moe.d_intermediate = d_expert;
    config.moe.d_shared = d_intermediate;
    return config;
  }
};

inline constexpr std::array<HybridShape, 6> kHybridShapes = {
    {{"granite-4.0-h-350m", 768, 32, {10, 13, 17, 27}, 12, 4, 64, 48, 32, 2048, 100352, true},
     {"granite-4.0-h-1b", 1536, 40, {5, 15, 25, 35}, 12, 4, 128, 48, 64, 4096, 100352, true},
     {"granite-4.0-h-micro", 2048, 40, {5, 15, 25, 35}, 32, 8, 64, 64, 64, 8192, 100352, true},
     {"granite-4.0-h-tiny",
      1536,
      40,
      {5, 15, 25, 35},
      12,
      4,
      128,
      48,
      64,
      1024,
      100352,
      true,
      64,
      6,
      512},
     {"granite-4.0-h-small",
      4096,
      40,
      {5, 15, 25, 35},
      32,
      8,
      128,
      128,
      64,
      1536,
      100352,
      true,
      72,
      10,
      768},
     {"bamba-9b", 4096, 32, {9, 18, 27, 9}, 32, 8, 128, 128, 64, 14336, 128256, false}}};

/// A published LFM2: a short convolution of 3 taps or attention with heads of 64 channels, and an
/// MLP, 16 times.
struct Lfm2Shape {
  std::string_view name;
  std::size_t d_model;
  std::size_t num_heads, num_heads_kv;
  std::size_t d_intermediate;

  [[nodiscard]] mamba2::Config config() const {
    mamba2::Config config;
    config.d_model = d_model;
    config.pattern = "C-C-*-C-C-*-C-C-*-C-*-C-*-C-*-C-";
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
    config.eos_token_ids = {7};
    return config;
  }
};

inline constexpr std::array<Lfm2Shape, 3> kLfm2Shapes = {{{"lfm2-350m", 1024, 16, 8, 4608},
                                                          {"lfm2-700m", 1536, 24, 8, 6912},
                                                          {"lfm2-1.2b", 2048, 32, 8, 8192}}};

/// A published Zamba2: layers of Mamba-2 with heads of 64 channels, of which some read a shared
/// block of attention and an MLP first.
struct Zamba2Shape {
  std::string_view name;
  std::size_t d_model;
  std::size_t n_layer;
  std::array<std::size_t, 13> hybrid;  ///< which of them; the first again: no more
  std::size_t num_blocks;
  bool attention_adapters;

  [[nodiscard]] mamba2::Config config() const {
    mamba2::Config config;
    config.d_model = d_model;
    config.n_layer = n_layer;
    config.vocab_size = 32000;
    config.d_inner = config.d_ssm = 2 * d_model;
    config.d_state = 64;
    config.ngroups = d_model > 3000 ? 2 : 1;
    config.pattern.assign(n_layer, 'M');
    for (const std::size_t layer : hybrid) config.pattern[layer] = 'S';
    config.attention.num_heads = config.attention.num_heads_kv = 32;
    config.attention.head_dim = config.attention.rotary_emb_dim = 2 * d_model / 32;
    config.attention.softmax_scale =
        std::sqrt(2.0F / static_cast<float>(config.attention.head_dim));
    config.mlp.d_intermediate = 4 * d_model;
    config.mlp.activation = mamba2::MlpActivation::geglu;
    config.shared_block = {num_blocks, 128, attention_adapters};
    config.eos_token_ids = {2};
    return config;
  }
};

inline constexpr std::array<Zamba2Shape, 3> kZamba2Shapes = {
    {{"zamba2-1.2b", 2048, 38, {5, 11, 17, 23, 29, 35, 5, 5, 5, 5, 5, 5, 5}, 1, true},
     {"zamba2-2.7b", 2560, 54, {6, 12, 18, 24, 30, 36, 42, 47, 51, 6, 6, 6, 6}, 2, false},
     {"zamba2-7b", 3584, 81, {6, 11, 17, 23, 29, 35, 41, 47, 53, 59, 65, 71, 77}, 2, false}}};

/// A published BitMamba-2.
struct BitMambaShape {
  std::string_view name;
  std::size_t d_model, n_layer, nheads;

  [[nodiscard]] mamba2::Config config() const {
    return mamba2::detail::bitmamba_config(50257, d_model, n_layer, nheads);
  }
};

inline constexpr std::array<BitMambaShape, 2> kBitMambaShapes = {
    {{"bitmamba-255m", 1024, 24, 16}, {"bitmamba-1b", 2048, 32, 32}}};

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

/// A published model that is like no other here.
struct OtherShape {
  std::string_view name;
  mamba2::Config (*config)();
};

inline constexpr std::array<OtherShape, 1> kOtherShapes = {
    {{"nemotron-3-nano-30b-a3b", nemotron_3_nano}}};

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

/// The names of all shapes, for an option to choose from.
[[nodiscard]] inline std::vector<std::string> shape_names() {
  std::vector<std::string> names;
  for (const Shape& shape : kShapes) names.emplace_back(shape.name);
  for (const HybridShape& shape : kHybridShapes) names.emplace_back(shape.name);
  for (const Lfm2Shape& shape : kLfm2Shapes) names.emplace_back(shape.name);
  for (const Zamba2Shape& shape : kZamba2Shapes) names.emplace_back(shape.name);
  for (const BitMambaShape& shape : kBitMambaShapes) names.emplace_back(shape.name);
  for (const OtherShape& shape : kOtherShapes) names.emplace_back(shape.name);
  for (const LayeredShape& shape : kLayeredShapes) names.emplace_back(shape.name);
  return names;
}

/// The Config of the shape of that name, one of shape_names().
[[nodiscard]] inline mamba2::Config config_of_shape(std::string_view name) {
  for (const HybridShape& shape : kHybridShapes) {
    if (shape.name == name) return shape.config();
  }
  for (const BitMambaShape& shape : kBitMambaShapes) {
    if (shape.name == name) return shape.config();
  }
  for (const Lfm2Shape& shape : kLfm2Shapes) {
    if (shape.name == name) return shape.config();
  }
  for (const Zamba2Shape& shape : kZamba2Shapes) {
    if (shape.name == name) return shape.config();
  }
  for (const OtherShape& shape : kOtherShapes) {
    if (shape.name == name) return shape.config();
  }
  for (const LayeredShape& shape : kLayeredShapes) {
    if (shape.name == name) return shape.config();
  }
  return std::find_if(kShapes.begin(), kShapes.end(),
                      [name](const Shape& shape) { return shape.name == name; })
      ->config();
}

}  // namespace cli
