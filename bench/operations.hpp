// SPDX-License-Identifier: Apache-2.0
// How much arithmetic a model needs, counted from the formulas and not from the code.
#pragma once

#include <algorithm>
#include <cstddef>
#include <mamba2/mamba2.hpp>

namespace bench {

/// Multiplications and additions, each counted, of one token.
struct Operations {
  double matrix;  ///< products with weight matrices
  double floats;  ///< recurrence and attention; norms, convolution and gates do not count

  [[nodiscard]] double total() const { return matrix + floats; }
};

namespace detail {

[[nodiscard]] inline double count(const mamba2::Config& c, mamba2::LayerKind kind) {
  return static_cast<double>(c.count(kind));
}

/// Weights of experts, of which those of a token count, and of what is around them.
inline double expert_weights(const mamba2::Config& c) {
  const mamba2::MoeConfig& m = c.moe;
  const std::size_t matrices = m.has_gate() ? 3 : 2;
  const std::size_t chosen =
      m.num_experts_per_tok * matrices * m.d_intermediate * m.d_expert(c.d_model);
  const std::size_t always = m.num_experts + matrices * m.d_shared + 2 * m.d_latent;
  return count(c, mamba2::LayerKind::moe) * static_cast<double>(chosen + always * c.d_model);
}
/// Weights of layers that read shared blocks but for their mixers: what those of attention have for
/// the second half of what they read, adapters and linear.
inline double shared_block_weights(const mamba2::Config& c) {
  const mamba2::SharedBlockConfig& s = c.shared_block;
  const std::size_t d = c.d_model;
  const std::size_t qkv = c.attention.qkv_dim();
  const std::size_t of_mlp = s.adapter_rank * (d + 2 * c.mlp.d_intermediate);
  const std::size_t of_attention = s.attention_adapters ? s.adapter_rank * (3 * 2 * d + qkv) : 0;
  return count(c, mamba2::LayerKind::shared_block) *
         static_cast<double>(qkv * d + of_mlp + of_attention + d * d);
}
/// Weights in the projections of all layers that a token meets.
inline double projection_weights(const mamba2::Config& c) {
  using mamba2::LayerKind;
  const double mamba2 =
      count(c, LayerKind::mamba2) * static_cast<double>(c.d_in_proj() + c.d_inner);
  const double attention = count(c, LayerKind::attention) *
                           static_cast<double>(2 * (c.attention.q_dim() + c.attention.kv_dim()));
  const double mlp = count(c, LayerKind::mlp) *
                     static_cast<double>((c.mlp.has_gate() ? 3 : 2) * c.mlp.d_intermediate);
  const double short_conv = count(c, LayerKind::short_conv) * static_cast<double>(4 * c.d_model);
  return (mamba2 + attention + mlp + short_conv) * static_cast<double>(c.d_model) +
         expert_weights(c) + shared_block_weights(c);
}
inline double head_weights(const mamba2::Config& c) {
  return static_cast<double>(c.vocab_size * c.d_model);
}
/// Of queries with the keys of `tokens` tokens, and of weights with their values.
inline double attention_operations(const mamba2::Config& c, double tokens) {
  return count(c, mamba2::LayerKind::attention) * 4.0 * static_cast<double>(c.attention.q_dim()) *
         tokens;
}

}  // namespace detail

/// A token by itself, after so many others: 4 operations for each value of the state at most, for
/// what it gives the token and, once a chunk, for what the chunk leaves in it.
inline Operations decode_operations(const mamba2::Config& c, std::size_t context) {
  const double state =
      detail::count(c, mamba2::LayerKind::mamba2) * static_cast<double>(c.d_ssm * c.d_state);
  return {2.0 * (detail::projection_weights(c) + detail::head_weights(c)),
          4.0 * state + detail::attention_operations(c, static_cast<double>(context))};
}

/// A token's share in a prefill of `tokens` tokens: the head is computed once, and the recurrence
/// in chunks of mamba2::kernels::kChunk tokens.
inline Operations prefill_operations(const mamba2::Config& c, std::size_t tokens) {
  constexpr std::size_t kChunk = mamba2::kernels::kChunk;
  double pairs = 0.0;  // of a token and one that it sees in its chunk
  for (std::size_t done = 0; done < tokens; done += kChunk) {
    const auto length = static_cast<double>(std::min(kChunk, tokens - done));
    pairs += length * (length + 1.0) / 2.0;
  }
  const auto n = static_cast<double>(tokens);
  const auto d_ssm = static_cast<double>(c.d_ssm);
  const auto d_state = static_cast<double>(c.d_state);
  const double products = 2.0 * pairs / n * d_state * static_cast<double>(c.ngroups);  // C . B
  const double inside = 2.0 * pairs / n * d_ssm;
  const double across = 2.0 * d_ssm * d_state + 2.0 * d_ssm * d_state;  // from and to the state
  return {2.0 * (detail::projection_weights(c) + detail::head_weights(c) / n),
          detail::count(c, mamba2::LayerKind::mamba2) * (products + inside + across) +
              detail::attention_operations(c, (n + 1.0) / 2.0)};
}

}  // namespace bench
