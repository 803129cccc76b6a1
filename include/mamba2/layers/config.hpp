// SPDX-License-Identifier: Apache-2.0
// The hyper-parameters of a Mamba-2 language model.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/layers/mixer_configs.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// The id of a token: a row of the embedding.
using Token = std::int32_t;

/// What a layer computes of its normed input; its character in Config::pattern.
enum class LayerKind : char {
  mamba2 = 'M',
  attention = '*',
  mlp = '-',
  moe = 'E',
  short_conv = 'C',
  parallel = 'H',     ///< Mamba-2 and attention side by side, which both read one norm
  shared_block = 'S'  ///< Mamba-2, whose norm reads what a shared block of attention and an MLP
                      ///< makes, too: see SharedBlockConfig
};

/// Hyper-parameters under the names of the original implementation (state-spaces/mamba); the
/// defaults are the defaults of its Mamba2 module at the sizes of mamba2-2.7b.
struct Config {
  std::size_t d_model = 2560;      ///< width of the residual stream
  std::size_t n_layer = 64;        ///< number of layers: residual += mixer(norm(residual))
  std::size_t vocab_size = 50288;  ///< rows of the embedding and the head, padding rows included
  std::size_t d_inner = 5120;      ///< expand * d_model
  std::size_t d_ssm = 5120;   ///< channels that pass the SSM; the rest of d_inner is gated only
  std::size_t headdim = 64;   ///< channels of one head
  std::size_t d_state = 128;  ///< state size N of one channel
  std::size_t ngroups = 1;    ///< groups of heads that share B and C, and of the gated norm
  std::size_t d_conv = 4;     ///< taps of the causal convolution

  static constexpr std::size_t kMaxLayers = std::size_t{1} << 16;  ///< far beyond any model

  float norm_eps = 1e-5F;  ///< epsilon of every RMSNorm, inside the square root
  float dt_min = 0.0F;     ///< dt_limit: bounds of the step size after softplus
  float dt_max = std::numeric_limits<float>::infinity();

  bool bias = false;              ///< in_proj and out_proj have a bias
  bool conv_bias = true;          ///< the convolution has a bias
  bool D_has_hdim = false;        ///< the skip weight D is per channel instead of per head
  bool rmsnorm = true;            ///< gated RMSNorm before out_proj; false: y * silu(z)
  bool norm_before_gate = false;  ///< norm(y) * silu(z) instead of norm(y * silu(z))
  bool tie_embeddings = true;     ///< the head is the embedding

  // Of BitMamba-2, which is Mamba-2 with ngroups = nheads and d_state 1, and these.
  bool conv_over_x_only = false;  ///< B and C are not convolved
  bool norm_ungrouped = false;    ///< the gated norm is over all of d_ssm, whatever ngroups
  bool head_norm = false;         ///< a second norm after norm_f, with weights of its own
  /// in_proj, out_proj and head round what they read to 8 bits, as they were trained: see
  /// kernels/bitlinear.hpp. Their weights are as a policy has them; the embedding is FP32 whatever
  /// that is.
  bool bitlinear = false;

  /// Of adapters of in_proj and out_proj of all Mamba-2 layers, LoRA, arXiv 2106.09685:
  /// y += lora_scale * B (A x), of the x that is not rounded. 0: none.
  std::size_t lora_rank = 0;
  float lora_scale = 1.0F;
  /// The layers repeat_start..repeat_end run repeat_count times more, right after themselves, with
  /// states of their own and the same weights.
  std::size_t repeat_start = 0;
  std::size_t repeat_end = 0;
  std::size_t repeat_count = 0;

  std::vector<Token> eos_token_ids = {0};  ///< tokens that end a text; may be empty

  /// Of a hybrid: the LayerKind of each layer, in the notation of Nemotron-H, and C, H and S; what
  /// others call a layer, a mixer and an MLP, is two here. Empty: all are Mamba-2.
  std::string pattern;
  float embedding_multiplier = 1.0F;  ///< of rows of the embedding, where they enter
  float residual_multiplier = 1.0F;   ///< of what a layer adds
  float logits_multiplier = 1.0F;
  std::size_t max_position_embeddings = 0;  ///< tokens that attention was made for; 0: not said
  AttentionConfig attention;
  MlpConfig mlp;
  MoeConfig moe;
  Mamba2Multipliers ssm_multipliers;
  ShortConvConfig short_conv;
  SharedBlockConfig shared_block;

  /// Whether it is, at least in part, BitMamba-2 rather than Mamba-2.
  [[nodiscard]] bool is_bitmamba() const noexcept {
    return conv_over_x_only || norm_ungrouped || head_norm || bitlinear;
  }
  /// Whether there are other layers than Mamba-2.
  [[nodiscard]] bool is_hybrid() const noexcept { return !pattern.empty(); }
  [[nodiscard]] LayerKind kind(std::size_t layer) const noexcept {
    return pattern.empty() ? LayerKind::mamba2 : static_cast<LayerKind>(pattern[layer]);
  }
  /// Whether a layer has a mixer of a kind. One with several mixers has them, too.
  [[nodiscard]] bool has_in(std::size_t layer, LayerKind once) const noexcept {
    const LayerKind is = kind(layer);
    const bool is_in_two = once == LayerKind::mamba2 || once == LayerKind::attention;
    const bool is_in_block = is_in_two || once == LayerKind::mlp;
    return is == once || (is_in_two && is == LayerKind::parallel) ||
           (is_in_block && is == LayerKind::shared_block);
  }
  /// How many mixers of a kind there are.
  [[nodiscard]] std::size_t count(LayerKind once) const noexcept {
    if (pattern.empty()) return once == LayerKind::mamba2 ? n_layer : 0;
    std::size_t sum = 0;
    for (std::size_t i = 0; i < pattern.size(); ++i) sum += has_in(i, once) ? 1U : 0U;
    return sum;
  }
  [[nodiscard]] bool has(LayerKind kind) const noexcept { return count(kind) > 0; }
  /// Of a layer that reads a shared block: how many such layers there are before it.
  [[nodiscard]] std::size_t use_of_block(std::size_t layer) const noexcept {
    const auto end = pattern.begin() + static_cast<std::ptrdiff_t>(layer);
    return static_cast<std::size_t>(
        std::count(pattern.begin(), end, static_cast<char>(LayerKind::shared_block)));
  }
  /// The layer of which that is true; n_layer: there are not so many.
  [[nodiscard]] std::size_t layer_of_use(std::size_t use) const noexcept {
    std::size_t layer = 0;
    while (layer < pattern.size() && (kind(layer) != LayerKind::shared_block || use-- > 0)) ++layer;
    return layer < pattern.size() ? layer : n_layer;
  }
  /// Whether the weights of a layer's block are listed with it, as it is the first that reads it.
  [[nodiscard]] bool owns_block(std::size_t layer) const noexcept {
    return kind(layer) == LayerKind::shared_block && use_of_block(layer) < shared_block.num_blocks;
  }
  /// The number of the layer that runs as the step'th of n_step().
  [[nodiscard]] std::size_t layer_of(std::size_t step) const noexcept {
    const std::size_t slice = repeat_end + 1 - repeat_start;
    const std::size_t end = repeat_end + 1 + slice * repeat_count;
    if (step <= repeat_end) return step;
    return step < end ? repeat_start + (step - repeat_end - 1) % slice
                      : step - (end - repeat_end - 1);
  }
  [[nodiscard]] std::size_t n_step() const noexcept {
    return n_layer + (repeat_end + 1 - repeat_start) * repeat_count;
  }
  /// How many of them are of a kind: the states of such layers.
  [[nodiscard]] std::size_t step_count(LayerKind once) const noexcept {
    std::size_t sum = count(once);
    for (std::size_t i = repeat_start; repeat_count > 0 && i <= repeat_end; ++i) {
      if (has_in(i, once)) sum += repeat_count;
    }
    return sum;
  }
  /// Tokens that a sequence has room for unless it is asked for more (SessionOptions::context):
  /// 4096, or max_position_embeddings where that is less; 0 without attention, where there is no
  /// limit.
  [[nodiscard]] std::size_t default_context() const noexcept {
    constexpr std::size_t kUsual = 4096;
    if (!has(LayerKind::attention)) return 0;
    return max_position_embeddings == 0 ? kUsual : std::min(kUsual, max_position_embeddings);
  }

  [[nodiscard]] std::size_t nheads() const noexcept { return d_ssm / headdim; }
  [[nodiscard]] std::size_t d_mlp() const noexcept { return d_inner - d_ssm; }
  /// x, B and C side by side.
  [[nodiscard]] std::size_t xBC_dim() const noexcept { return d_ssm + 2 * ngroups * d_state; }
  /// Channels of the convolution.
  [[nodiscard]] std::size_t conv_dim() const noexcept {
    return conv_over_x_only ? d_ssm : xBC_dim();
  }
  /// Rows of in_proj: z0 | x0 (both d_mlp wide) | z | x | B | C | dt.
  [[nodiscard]] std::size_t d_in_proj() const noexcept {
    return 2 * d_inner + 2 * ngroups * d_state + nheads();
  }

  /// Checks ranges and divisibility: what all else expects of a Config. Sizes of tensors and of
  /// memory fit in 64 bits afterwards, and sums of INT8 products over a row in 32.
  /// The error names the key, what was expected and what was found.
  [[nodiscard]] Result<void> validate() const;
};

/// Calls visit(name, member) for every member of a Config, const or not, that a model of Mamba-2
/// layers alone has; hybrid_fields() and later_fields() are the rest: the one list of them. Its
/// order is that of packed files and of fingerprints.
template <class AnyConfig, class Visit>
requires std::same_as<std::remove_const_t<AnyConfig>, Config>
void fields(AnyConfig& c, Visit&& visit) {
  visit("d_model", c.d_model);
  visit("n_layer", c.n_layer);
  visit("vocab_size", c.vocab_size);
  visit("d_inner", c.d_inner);
  visit("d_ssm", c.d_ssm);
  visit("headdim", c.headdim);
  visit("d_state", c.d_state);
  visit("ngroups", c.ngroups);
  visit("d_conv", c.d_conv);
  visit("norm_eps", c.norm_eps);
  visit("dt_min", c.dt_min);
  visit("dt_max", c.dt_max);
  visit("bias", c.bias);
  visit("conv_bias", c.conv_bias);
  visit("D_has_hdim", c.D_has_hdim);
  visit("rmsnorm", c.rmsnorm);
  visit("norm_before_gate", c.norm_before_gate);
  visit("tie_embeddings", c.tie_embeddings);
  visit("eos_token_ids", c.eos_token_ids);
}

/// The members besides, which are at their defaults in a model of Mamba-2 layers alone.
template <class AnyConfig, class Visit>
requires std::same_as<std::remove_const_t<AnyConfig>, Config>
void hybrid_fields(AnyConfig& c, Visit&& visit) {
  visit("pattern", c.pattern);
  visit("embedding_multiplier", c.embedding_multiplier);
  visit("residual_multiplier", c.residual_multiplier);
  visit("logits_multiplier", c.logits_multiplier);
  visit("max_position_embeddings", c.max_position_embeddings);
  visit("attention.num_heads", c.attention.num_heads);
  visit("attention.num_heads_kv", c.attention.num_heads_kv);
  visit("attention.head_dim", c.attention.head_dim);
  visit("attention.d_conv", c.attention.d_conv);
  visit("attention.rotary_emb_dim", c.attention.rotary_emb_dim);
  visit("attention.rotary_emb_base", c.attention.rotary_emb_base);
  visit("attention.softmax_scale", c.attention.softmax_scale);
  visit("attention.qkv_proj_bias", c.attention.qkv_proj_bias);
  visit("attention.out_proj_bias", c.attention.out_proj_bias);
  visit("attention.qk_interleaved", c.attention.qk_interleaved);
  visit("mlp.d_intermediate", c.mlp.d_intermediate);
  visit("mlp.bias", c.mlp.bias);
}

/// Members that are newer than files: in packed files and fingerprints only those count that are
/// not at their defaults, by their names (changed_fields()), so that one more here leaves what
/// there is as it is. The end of the one list of members.
template <class AnyConfig, class Visit>
requires std::same_as<std::remove_const_t<AnyConfig>, Config>
void later_fields(AnyConfig& c, Visit&& visit) {
  visit("mlp.activation", c.mlp.activation);
  visit("moe.num_experts", c.moe.num_experts);
  visit("moe.num_experts_per_tok", c.moe.num_experts_per_tok);
  visit("moe.d_intermediate", c.moe.d_intermediate);
  visit("moe.d_shared", c.moe.d_shared);
  visit("moe.d_latent", c.moe.d_latent);
  visit("moe.n_group", c.moe.n_group);
  visit("moe.topk_group", c.moe.topk_group);
  visit("moe.activation", c.moe.activation);
  visit("moe.sigmoid", c.moe.sigmoid);
  visit("moe.router_bias", c.moe.router_bias);
  visit("moe.norm_topk_prob", c.moe.norm_topk_prob);
  visit("moe.norm_eps", c.moe.norm_eps);
  visit("moe.routed_scaling_factor", c.moe.routed_scaling_factor);
  visit("mlp.gate_multiplier", c.mlp.gate_multiplier);
  visit("mlp.out_multiplier", c.mlp.out_multiplier);
  visit("attention.in_multiplier", c.attention.in_multiplier);
  visit("attention.out_multiplier", c.attention.out_multiplier);
  visit("ssm_multipliers.in", c.ssm_multipliers.in);
  visit("ssm_multipliers.z", c.ssm_multipliers.z);
  visit("ssm_multipliers.x", c.ssm_multipliers.x);
  visit("ssm_multipliers.B", c.ssm_multipliers.B);
  visit("ssm_multipliers.C", c.ssm_multipliers.C);
  visit("ssm_multipliers.dt", c.ssm_multipliers.dt);
  visit("ssm_multipliers.out", c.ssm_multipliers.out);
  visit("attention.qk_norm", c.attention.qk_norm);
  visit("short_conv.d_conv", c.short_conv.d_conv);
  visit("short_conv.bias", c.short_conv.bias);
  visit("conv_over_x_only", c.conv_over_x_only);
  visit("norm_ungrouped", c.norm_ungrouped);
  visit("head_norm", c.head_norm);
  visit("bitlinear", c.bitlinear);
  visit("lora_rank", c.lora_rank);
  visit("lora_scale", c.lora_scale);
  visit("repeat_start", c.repeat_start);
  visit("repeat_end", c.repeat_end);
  visit("repeat_count", c.repeat_count);
  visit("shared_block.num_blocks", c.shared_block.num_blocks);
  visit("shared_block.adapter_rank", c.shared_block.adapter_rank);
  visit("shared_block.attention_adapters", c.shared_block.attention_adapters);
}

/// Calls visit(name, member) for the members of later_fields() that are not at their defaults.
template <class Visit>
void changed_fields(const Config& c, Visit&& visit) {
  const Config usual;
  later_fields(c, [&]<class Member>(std::string_view name, const Member& member) {
    later_fields(usual, [&]<class Other>(std::string_view other, const Other& its) {
      if constexpr (std::is_same_v<Member, Other>) {
        if (name == other && !(member == its)) visit(name, member);
      }
    });
  });
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2

#include "mamba2/layers/validate_config.hpp"
