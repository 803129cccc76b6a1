// SPDX-License-Identifier: Apache-2.0
// The shapes of Granite 4.0-H and Bamba.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <mamba2/layers/config.hpp>
#include <string_view>

namespace cli {

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

}  // namespace cli
