// SPDX-License-Identifier: Apache-2.0
// What all mixers of a kind have in common, beside Mamba-2's own sizes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "mamba2/core/platform.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// Factors in a Mamba-2 mixer, of what its matrices give: so that these are the same whatever they
/// are stored as. in_proj gives m * (in * W u + bias), with the m of the part that a row is of.
struct Mamba2Multipliers {
  float in = 1.0F;
  float z = 1.0F;
  float x = 1.0F;
  float B = 1.0F;
  float C = 1.0F;
  float dt = 1.0F;
  float out = 1.0F;  ///< of out_proj's output, with its bias

  [[nodiscard]] bool operator==(const Mamba2Multipliers&) const = default;
};

/// Of all attention layers, under the names of the original implementation's attn_cfg.
struct AttentionConfig {
  std::size_t num_heads = 0;
  std::size_t num_heads_kv = 0;  ///< a divisor of num_heads: query head h reads keys and values of
                                 ///< head h / (num_heads / num_heads_kv)
  std::size_t head_dim = 0;
  std::size_t d_conv = 0;          ///< taps of a convolution over queries, keys and values; 0: none
  std::size_t rotary_emb_dim = 0;  ///< channels of a head that RoPE turns, in halves; 0: none
  float rotary_emb_base = 10000.0F;
  float softmax_scale = 1.0F;  ///< of the products of queries and keys
  bool qkv_proj_bias = false;
  bool out_proj_bias = false;
  /// The rows of q_proj and k_proj that make a head are interleaved, as llama.cpp writes them: row
  /// 2 i + j is channel j * head_dim / 2 + i.
  bool qk_interleaved = false;
  float in_multiplier = 1.0F;   ///< q_proj, k_proj and v_proj give in_multiplier * W u + bias
  float out_multiplier = 1.0F;  ///< of o_proj's output, with its bias
  bool qk_norm = false;         ///< RMSNorm of each head of queries and keys, before RoPE

  [[nodiscard]] std::size_t q_dim() const noexcept { return num_heads * head_dim; }
  [[nodiscard]] std::size_t kv_dim() const noexcept { return num_heads_kv * head_dim; }
  /// Queries, keys and values side by side.
  [[nodiscard]] std::size_t qkv_dim() const noexcept { return q_dim() + 2 * kv_dim(); }

  [[nodiscard]] bool operator==(const AttentionConfig&) const = default;
};

/// What an MLP computes of its input u.
enum class MlpActivation : std::uint8_t {
  swiglu,  ///< down_proj(silu(gate_proj u) * up_proj u)
  relu2,   ///< down_proj(max(up_proj u, 0)^2), without gate_proj
  geglu,   ///< down_proj(gelu(gate_proj u) * up_proj u), gelu by the error function
};

/// Of all MLP layers.
struct MlpConfig {
  std::size_t d_intermediate = 0;
  bool bias = false;
  MlpActivation activation = MlpActivation::swiglu;
  float gate_multiplier = 1.0F;  ///< of gate_proj's output, with its bias
  float out_multiplier = 1.0F;   ///< of down_proj's output, with its bias

  [[nodiscard]] bool has_gate() const noexcept { return activation != MlpActivation::relu2; }

  [[nodiscard]] bool operator==(const MlpConfig&) const = default;
};

/// Of all layers that are mixtures of experts (arXiv 1701.06538): the weighted sum of a few MLPs,
/// those whose scores, router x, are the largest; of equal scores the first one.
struct MoeConfig {
  std::size_t num_experts = 0;
  std::size_t num_experts_per_tok = 0;
  std::size_t d_intermediate = 0;  ///< of an expert
  std::size_t d_shared = 0;        ///< of an expert that all tokens pass, on x; 0: none
  std::size_t d_latent = 0;        ///< experts map a projection of x of this width; 0: x itself
  std::size_t n_group = 1;         ///< groups of experts, of which the topk_group best are left
  std::size_t topk_group = 1;
  MlpActivation activation = MlpActivation::swiglu;
  /// How much a chosen expert counts: sigmoid(score), which does not depend on the others; else the
  /// softmax over the scores of those that are chosen.
  bool sigmoid = false;
  bool router_bias = false;     ///< added to sigmoid(score), for the choice alone
  bool norm_topk_prob = false;  ///< divided by the sum over those that are chosen + norm_eps
  float norm_eps = 0.0F;
  float routed_scaling_factor = 1.0F;

  [[nodiscard]] bool has_gate() const noexcept { return activation == MlpActivation::swiglu; }
  /// Width of what an expert reads and writes.
  [[nodiscard]] std::size_t d_expert(std::size_t d_model) const noexcept {
    return d_latent > 0 ? d_latent : d_model;
  }

  [[nodiscard]] bool operator==(const MoeConfig&) const = default;
};

/// Of all gated short convolutions.
struct ShortConvConfig {
  std::size_t d_conv = 0;  ///< taps
  bool bias = false;       ///< in_proj, the convolution and out_proj have a bias

  [[nodiscard]] bool operator==(const ShortConvConfig&) const = default;
};

/// Of all layers that read a shared block first: blocks of attention and an MLP, whose weights
/// several layers use in turn, each with adapters of its own (Zamba2, arXiv 2411.15242).
struct SharedBlockConfig {
  std::size_t num_blocks = 0;       ///< the j'th layer that reads one reads block j % num_blocks
  std::size_t adapter_rank = 0;     ///< of gate_proj and up_proj: += B (A x)
  bool attention_adapters = false;  ///< of q_proj, k_proj and v_proj, too

  [[nodiscard]] bool operator==(const SharedBlockConfig&) const = default;
};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
