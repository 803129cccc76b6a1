// SPDX-License-Identifier: Apache-2.0
// The shapes of Zamba2.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <mamba2/layers/config.hpp>
#include <string_view>

namespace cli {

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

}  // namespace cli
