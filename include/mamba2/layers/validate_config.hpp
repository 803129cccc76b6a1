// SPDX-License-Identifier: Apache-2.0
// What a Config must be: what all else expects of one.
#pragma once

#include <cmath>
#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "mamba2/core/result.hpp"
#include "mamba2/layers/config.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

inline Error config_error(std::string_view key, std::string_view expected, auto found) {
  return {ErrorCode::invalid_argument, concat(key, " must be ", expected, ", found ", found)};
}

/// A member with its bounds.
struct ConfigRange {
  std::string_view key;
  std::size_t value;
  std::size_t max;
  std::size_t min = 1;
};

[[nodiscard]] inline Result<void> check_ranges(std::initializer_list<ConfigRange> ranges) {
  for (const ConfigRange& range : ranges) {
    if (range.value < range.min || range.value > range.max) {
      return config_error(range.key, concat("in ", range.min, "..", range.max), range.value);
    }
  }
  return {};
}

// Far beyond any model. 2^17 columns of products of INT8 codes add up to less than 2^31.
inline constexpr std::size_t kMaxWidth = std::size_t{1} << 17;
inline constexpr std::size_t kMaxTaps = 64;

[[nodiscard]] inline Result<void> check_mamba2(const Config& c) {
  constexpr std::size_t kMaxStates = std::size_t{1} << 16;
  Result<void> result = check_ranges({{"d_inner", c.d_inner, kMaxWidth},
                                      {"d_ssm", c.d_ssm, kMaxWidth},
                                      {"headdim", c.headdim, kMaxWidth},
                                      {"d_state", c.d_state, kMaxStates},
                                      {"ngroups", c.ngroups, kMaxWidth},
                                      {"d_conv", c.d_conv, kMaxTaps}});
  if (!result) return result;
  if (c.d_ssm > c.d_inner) {
    return config_error("d_ssm", concat("at most d_inner ", c.d_inner), c.d_ssm);
  }
  if (c.d_ssm % c.headdim != 0) {
    return config_error("headdim", concat("a divisor of d_ssm ", c.d_ssm), c.headdim);
  }
  if (c.nheads() % c.ngroups != 0) {
    return config_error("ngroups", concat("a divisor of nheads ", c.nheads()), c.ngroups);
  }
  if (c.ngroups * c.d_state > kMaxWidth) {
    return config_error("d_state", concat("at most ", kMaxWidth, " / ngroups ", c.ngroups),
                        c.d_state);
  }
  if (!(c.dt_min >= 0.0F && c.dt_min <= c.dt_max)) {
    return config_error("dt_limit", "0 <= min <= max", concat(c.dt_min, "..", c.dt_max));
  }
  return {};
}

[[nodiscard]] inline Result<void> check_attention(const AttentionConfig& a) {
  Result<void> result =
      check_ranges({{"attention.num_heads", a.num_heads, kMaxWidth},
                    {"attention.num_heads_kv", a.num_heads_kv, a.num_heads},
                    {"attention.head_dim", a.head_dim, kMaxWidth},
                    {"attention.d_conv", a.d_conv, kMaxTaps, 0},
                    {"attention.rotary_emb_dim", a.rotary_emb_dim, a.head_dim, 0}});
  if (!result) return result;
  if (a.num_heads % a.num_heads_kv != 0) {
    return config_error("attention.num_heads_kv",
                        concat("a divisor of attention.num_heads ", a.num_heads), a.num_heads_kv);
  }
  if (a.num_heads * a.head_dim > kMaxWidth) {
    return config_error("attention.head_dim",
                        concat("at most ", kMaxWidth, " / attention.num_heads ", a.num_heads),
                        a.head_dim);
  }
  if (a.qk_interleaved && a.head_dim % 2 != 0) {
    return config_error("attention.head_dim", "even where rows are interleaved", a.head_dim);
  }
  if (a.rotary_emb_dim % 2 != 0) {
    return config_error("attention.rotary_emb_dim", "even", a.rotary_emb_dim);
  }
  const auto is_positive = [](float value) { return value > 0.0F && std::isfinite(value); };
  if (!is_positive(a.rotary_emb_base)) {
    return config_error("attention.rotary_emb_base", "positive and finite", a.rotary_emb_base);
  }
  if (!is_positive(a.softmax_scale)) {
    return config_error("attention.softmax_scale", "positive and finite", a.softmax_scale);
  }
  return {};
}

[[nodiscard]] inline Result<void> check_moe(const Config& c) {
  // Far beyond any model, of all layers together.
  constexpr std::size_t kMaxExperts = std::size_t{1} << 17;
  const MoeConfig& m = c.moe;
  Result<void> result =
      check_ranges({{"moe.num_experts", m.num_experts, kMaxExperts / c.count(LayerKind::moe)},
                    {"moe.num_experts_per_tok", m.num_experts_per_tok, m.num_experts},
                    {"moe.d_intermediate", m.d_intermediate, kMaxWidth},
                    {"moe.d_shared", m.d_shared, kMaxWidth, 0},
                    {"moe.d_latent", m.d_latent, kMaxWidth, 0},
                    {"moe.n_group", m.n_group, m.num_experts},
                    {"moe.topk_group", m.topk_group, m.n_group}});
  if (!result) return result;
  if (m.num_experts % m.n_group != 0 || (m.n_group > 1 && m.num_experts / m.n_group < 2)) {
    return config_error("moe.n_group",
                        concat("a divisor of moe.num_experts ", m.num_experts,
                               " with at least 2 experts to a group"),
                        m.n_group);
  }
  const std::size_t left = m.num_experts / m.n_group * m.topk_group;
  if (m.num_experts_per_tok > left) {
    return config_error(
        "moe.num_experts_per_tok",
        concat("at most ", left, ", the experts of moe.topk_group ", m.topk_group, " groups"),
        m.num_experts_per_tok);
  }
  if (m.activation > MlpActivation::relu2) {
    return config_error("moe.activation", "swiglu (0) or relu2 (1)",
                        static_cast<int>(m.activation));
  }
  if (!m.sigmoid && (m.router_bias || m.n_group > 1)) {
    return config_error("moe.sigmoid", "true where there are groups or a bias of the router",
                        "false");
  }
  if (!(m.norm_eps >= 0.0F && m.norm_eps < 1.0F)) {
    return config_error("moe.norm_eps", "in [0, 1)", m.norm_eps);
  }
  if (!std::isfinite(m.routed_scaling_factor)) {
    return config_error("moe.routed_scaling_factor", "finite", m.routed_scaling_factor);
  }
  return {};
}

inline constexpr std::size_t kMaxAdapterRank = 4096;  // of adapters

/// What blocks read is twice as wide as the residual.
[[nodiscard]] inline Result<void> check_shared_block(const Config& c) {
  const std::size_t uses = c.count(LayerKind::shared_block);
  return check_ranges(
      {{"d_model", c.d_model, kMaxWidth / 2},
       {"shared_block.num_blocks", c.shared_block.num_blocks, uses},
       {"shared_block.adapter_rank", c.shared_block.adapter_rank, kMaxAdapterRank}});
}

[[nodiscard]] inline Result<void> check_short_conv(const ShortConvConfig& s) {
  return check_ranges({{"short_conv.d_conv", s.d_conv, kMaxTaps}});
}

/// Factors, and their inverses, are numbers.
[[nodiscard]] inline Result<void> check_multipliers(const Config& c) {
  const Mamba2Multipliers& m = c.ssm_multipliers;
  for (const auto& [key, value] :
       {std::pair("embedding_multiplier", c.embedding_multiplier),
        std::pair("residual_multiplier", c.residual_multiplier),
        std::pair("logits_multiplier", c.logits_multiplier), std::pair("ssm_multipliers.in", m.in),
        std::pair("ssm_multipliers.z", m.z), std::pair("ssm_multipliers.x", m.x),
        std::pair("ssm_multipliers.B", m.B), std::pair("ssm_multipliers.C", m.C),
        std::pair("ssm_multipliers.dt", m.dt), std::pair("ssm_multipliers.out", m.out),
        std::pair("attention.in_multiplier", c.attention.in_multiplier),
        std::pair("attention.out_multiplier", c.attention.out_multiplier),
        std::pair("mlp.gate_multiplier", c.mlp.gate_multiplier),
        std::pair("mlp.out_multiplier", c.mlp.out_multiplier)}) {
    if (!std::isnormal(value) || !std::isnormal(1.0F / value)) {
      return config_error(key, "finite and not 0, and its inverse, too", value);
    }
  }
  if (c.d_mlp() > 0 && !(m == Mamba2Multipliers{})) {
    return config_error("d_ssm", concat("d_inner ", c.d_inner, " where there are ssm_multipliers"),
                        c.d_ssm);
  }
  return {};
}

/// What only hybrids have.
[[nodiscard]] inline Result<void> check_hybrid(const Config& c) {
  if (c.pattern.size() != c.n_layer) {
    return config_error("pattern", concat("of n_layer ", c.n_layer, " characters"),
                        c.pattern.size());
  }
  constexpr std::string_view kKinds = "M*-ECHS";
  if (const auto odd = c.pattern.find_first_not_of(kKinds); odd != std::string::npos) {
    return config_error("pattern", concat("of the characters ", kKinds), c.pattern.substr(odd, 1));
  }
  if (c.has(LayerKind::shared_block)) {
    if (Result<void> result = check_shared_block(c); !result) return result;
  }
  if (c.has(LayerKind::attention)) {
    if (Result<void> result = check_attention(c.attention); !result) return result;
  }
  if (c.has(LayerKind::moe)) {
    if (Result<void> result = check_moe(c); !result) return result;
  }
  if (c.has(LayerKind::short_conv)) {
    if (Result<void> result = check_short_conv(c.short_conv); !result) return result;
  }
  if (!c.has(LayerKind::mlp)) return {};
  if (c.mlp.activation > MlpActivation::geglu) {
    return config_error("mlp.activation", "swiglu (0), relu2 (1) or geglu (2)",
                        static_cast<int>(c.mlp.activation));
  }
  if (c.has(LayerKind::shared_block) && !c.mlp.has_gate()) {
    return config_error("mlp.activation", "swiglu (0) or geglu (2) in shared blocks",
                        static_cast<int>(c.mlp.activation));
  }
  return check_ranges({{"mlp.d_intermediate", c.mlp.d_intermediate, kMaxWidth}});
}

}  // namespace detail

inline Result<void> Config::validate() const {
  constexpr std::size_t kMaxVocabulary = std::size_t{1} << 24;
  Result<void> result = detail::check_ranges({{"d_model", d_model, detail::kMaxWidth},
                                              {"n_layer", n_layer, kMaxLayers},
                                              {"vocab_size", vocab_size, kMaxVocabulary}});
  if (result && !pattern.empty()) result = detail::check_hybrid(*this);
  if (result && has(LayerKind::mamba2)) result = detail::check_mamba2(*this);
  if (result) result = detail::check_multipliers(*this);
  if (!result) return result;
  if (bitlinear && (is_hybrid() || tie_embeddings)) {
    return detail::config_error("bitlinear", "false in hybrids and where the head is the embedding",
                                "true");
  }
  result = detail::check_ranges({{"lora_rank", lora_rank, detail::kMaxAdapterRank, 0},
                                 {"repeat_end", repeat_end, n_layer - 1, 0},
                                 {"repeat_start", repeat_start, repeat_end, 0},
                                 {"repeat_count", repeat_count, kMaxLayers, 0}});
  if (!result) return result;
  if (lora_rank > 0 && (has(LayerKind::parallel) || has(LayerKind::shared_block))) {
    return detail::config_error("lora_rank", "0 where layers have several mixers", lora_rank);
  }
  if (!std::isfinite(lora_scale)) {
    return detail::config_error("lora_scale", "finite", lora_scale);
  }
  if (n_step() > kMaxLayers) {
    return detail::config_error("repeat_count",
                                detail::concat("such that at most ", kMaxLayers, " layers run"),
                                repeat_count);
  }
  if (!(norm_eps >= 0.0F && norm_eps < 1.0F)) {
    return detail::config_error("norm_eps", "in [0, 1)", norm_eps);
  }
  for (const Token id : eos_token_ids) {
    if (id < 0 || static_cast<std::size_t>(id) >= vocab_size) {
      return detail::config_error("eos_token_id", detail::concat("in 0..", vocab_size - 1), id);
    }
  }
  return {};
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2
