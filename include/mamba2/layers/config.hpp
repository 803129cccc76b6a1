// SPDX-License-Identifier: Apache-2.0
// The hyper-parameters of a Mamba-2 language model.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <type_traits>
#include <vector>

#include "mamba2/core/result.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// The id of a token: a row of the embedding.
using Token = std::int32_t;

/// Hyper-parameters under the names of the original implementation (state-spaces/mamba); the
/// defaults are the defaults of its Mamba2 module at the sizes of mamba2-2.7b.
struct Config {
  std::size_t d_model = 2560;      ///< width of the residual stream
  std::size_t n_layer = 64;        ///< number of blocks
  std::size_t vocab_size = 50288;  ///< rows of the embedding and the head, padding rows included
  std::size_t d_inner = 5120;      ///< expand * d_model
  std::size_t d_ssm = 5120;   ///< channels that pass the SSM; the rest of d_inner is gated only
  std::size_t headdim = 64;   ///< channels of one head
  std::size_t d_state = 128;  ///< state size N of one channel
  std::size_t ngroups = 1;    ///< groups of heads that share B and C, and of the gated norm
  std::size_t d_conv = 4;     ///< taps of the causal convolution

  float norm_eps = 1e-5F;  ///< epsilon of every RMSNorm, inside the square root
  float dt_min = 0.0F;     ///< dt_limit: bounds of the step size after softplus
  float dt_max = std::numeric_limits<float>::infinity();

  bool bias = false;              ///< in_proj and out_proj have a bias
  bool conv_bias = true;          ///< the convolution has a bias
  bool D_has_hdim = false;        ///< the skip weight D is per channel instead of per head
  bool rmsnorm = true;            ///< gated RMSNorm before out_proj; false: y * silu(z)
  bool norm_before_gate = false;  ///< norm(y) * silu(z) instead of norm(y * silu(z))
  bool tie_embeddings = true;     ///< the head is the embedding

  std::vector<Token> eos_token_ids = {0};  ///< tokens that end a text; may be empty

  [[nodiscard]] std::size_t nheads() const noexcept { return d_ssm / headdim; }
  [[nodiscard]] std::size_t d_mlp() const noexcept { return d_inner - d_ssm; }
  /// Channels of the convolution: x, B and C side by side.
  [[nodiscard]] std::size_t conv_dim() const noexcept { return d_ssm + 2 * ngroups * d_state; }
  /// Rows of in_proj: z0 | x0 (both d_mlp wide) | z | x | B | C | dt.
  [[nodiscard]] std::size_t d_in_proj() const noexcept {
    return 2 * d_inner + 2 * ngroups * d_state + nheads();
  }

  /// Checks ranges and divisibility: what all else expects of a Config. Sizes of tensors and of
  /// memory fit in 64 bits afterwards, and sums of INT8 products over a row in 32.
  /// The error names the key, what was expected and what was found.
  [[nodiscard]] Result<void> validate() const;
};

/// Calls visit(name, member) for every member of a Config, const or not: the one list of them. Its
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

namespace detail {

inline Error config_error(std::string_view key, std::string_view expected, auto found) {
  return {ErrorCode::invalid_argument, concat(key, " must be ", expected, ", found ", found)};
}

}  // namespace detail

inline Result<void> Config::validate() const {
  // Far beyond any model. 2^17 columns of products of INT8 codes add up to less than 2^31.
  constexpr std::size_t kMaxWidth = std::size_t{1} << 17;
  constexpr std::size_t kMaxVocabulary = std::size_t{1} << 24;
  constexpr std::size_t kMaxLayers = std::size_t{1} << 16;
  constexpr std::size_t kMaxStates = std::size_t{1} << 16;
  constexpr std::size_t kMaxTaps = 64;
  struct Range {
    std::string_view key;
    std::size_t value;
    std::size_t max;
  };
  for (const Range& range :
       {Range{"d_model", d_model, kMaxWidth}, Range{"n_layer", n_layer, kMaxLayers},
        Range{"vocab_size", vocab_size, kMaxVocabulary}, Range{"d_inner", d_inner, kMaxWidth},
        Range{"d_ssm", d_ssm, kMaxWidth}, Range{"headdim", headdim, kMaxWidth},
        Range{"d_state", d_state, kMaxStates}, Range{"ngroups", ngroups, kMaxWidth},
        Range{"d_conv", d_conv, kMaxTaps}}) {
    if (range.value < 1 || range.value > range.max) {
      return detail::config_error(range.key, detail::concat("in 1..", range.max), range.value);
    }
  }
  if (d_ssm > d_inner) {
    return detail::config_error("d_ssm", detail::concat("at most d_inner ", d_inner), d_ssm);
  }
  if (d_ssm % headdim != 0) {
    return detail::config_error("headdim", detail::concat("a divisor of d_ssm ", d_ssm), headdim);
  }
  if (nheads() % ngroups != 0) {
    return detail::config_error("ngroups", detail::concat("a divisor of nheads ", nheads()),
                                ngroups);
  }
  if (ngroups * d_state > kMaxWidth) {
    return detail::config_error(
        "d_state", detail::concat("at most ", kMaxWidth, " / ngroups ", ngroups), d_state);
  }
  if (!(norm_eps >= 0.0F && norm_eps < 1.0F)) {
    return detail::config_error("norm_eps", "in [0, 1)", norm_eps);
  }
  if (!(dt_min >= 0.0F && dt_min <= dt_max)) {
    return detail::config_error("dt_limit", "0 <= min <= max",
                                detail::concat(dt_min, "..", dt_max));
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
