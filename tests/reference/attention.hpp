// SPDX-License-Identifier: Apache-2.0
// Oracle: causal attention with grouped heads, in double precision.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

#include "tests/reference/causal_conv.hpp"
#include "tests/reference/mamba2_reference.hpp"
#include "tests/reference/rope.hpp"

namespace reference {

/// The shape and the tensors of an attention mixer, row-major; what a model does not have is empty.
struct Attention {
  std::size_t d_model = 0;
  std::size_t heads = 0;
  std::size_t kv_heads = 0;  ///< a divisor of heads; query head h reads h / (heads / kv_heads)
  std::size_t head_dim = 0;
  double scale = 0.0;  ///< of the products of queries and keys
  Rope rope;
  std::size_t d_conv = 0;  ///< taps of a convolution over queries, keys and values; 0: none
  bool qkv_has_bias = false;
  bool o_has_bias = false;
  bool qk_norm = false;
  double qk_norm_eps = 1e-5;
  double in_scale = 1.0;   ///< of the input
  double key_scale = 1.0;  ///< of the keys
  double out_scale = 1.0;  ///< of the output

  std::vector<double> q, q_bias;        ///< (heads * head_dim, d_model), its rows
  std::vector<double> k, k_bias;        ///< (kv_heads * head_dim, d_model), its rows
  std::vector<double> v, v_bias;        ///< likewise
  std::vector<double> conv, conv_bias;  ///< (qkv_dim, d_conv), its rows
  std::vector<double> q_norm, k_norm;   ///< (head_dim): one RMSNorm for every head of q, of k
  std::vector<double> o, o_bias;        ///< (d_model, heads * head_dim), its rows

  [[nodiscard]] std::size_t q_dim() const { return heads * head_dim; }
  [[nodiscard]] std::size_t kv_dim() const { return kv_heads * head_dim; }
  /// Queries, keys and values side by side.
  [[nodiscard]] std::size_t qkv_dim() const { return q_dim() + 2 * kv_dim(); }
};

/// What it remembers of the tokens so far.
struct AttentionState {
  std::vector<double> conv;          ///< (d_conv - 1, qkv_dim): inputs of the convolution
  std::vector<double> keys, values;  ///< (tokens, kv_dim), the keys as the queries meet them

  explicit AttentionState(const Attention& a)
      : conv(a.d_conv > 0 ? (a.d_conv - 1) * a.qkv_dim() : 0) {}
};

/// factor * x.
inline std::vector<double> times(double factor, std::vector<double> x) {
  for (double& value : x) value *= factor;
  return x;
}

/// softmax(scale q k^T) v of one query (head_dim) over the first `tokens` keys and values of one
/// head, which are `stride` apart. Adds it to out (head_dim).
inline void attend(const Attention& a, const double* query, const double* keys,
                   const double* values, std::size_t stride, std::size_t tokens, double* out) {
  std::vector<double> weights(tokens);
  for (std::size_t s = 0; s < tokens; ++s) {
    weights[s] = a.scale * dot(query, keys + s * stride, a.head_dim);
  }
  const double top = *std::max_element(weights.begin(), weights.end());
  double sum = 0.0;
  for (double& weight : weights) sum += weight = std::exp(weight - top);
  for (std::size_t s = 0; s < tokens; ++s) {
    for (std::size_t i = 0; i < a.head_dim; ++i) {
      out[i] += weights[s] / sum * values[s * stride + i];
    }
  }
}

/// Turns every head of x (T, heads * head_dim), whose first token is at position `first`.
inline void rotate_heads(const Attention& a, std::size_t first, std::size_t heads,
                         std::vector<double>& x) {
  for (std::size_t head = 0; head * a.head_dim < x.size(); ++head) {
    rotate(a.rope, first + head / heads, &x[head * a.head_dim]);
  }
}

/// The mixer on its normed input u (T, d_model), each token over all before it and itself. Returns
/// (T, d_model); the state moves on by T tokens.
inline std::vector<double> attention(const Attention& a, std::span<const double> input,
                                     AttentionState& state) {
  const std::vector<double> u = times(a.in_scale, {input.begin(), input.end()});
  const std::size_t q_dim = a.q_dim(), kv_dim = a.kv_dim(), T = u.size() / a.d_model;
  const std::size_t past = state.keys.size() / kv_dim;

  std::vector<double> qk = beside(linear(a.q, a.q_bias, u, a.d_model), q_dim,
                                  times(a.key_scale, linear(a.k, a.k_bias, u, a.d_model)), kv_dim);
  std::vector<double> qkv = beside(qk, q_dim + kv_dim, linear(a.v, a.v_bias, u, a.d_model), kv_dim);
  if (a.d_conv > 0) qkv = causal_conv(a.conv, a.conv_bias, a.d_conv, qkv, state.conv);
  std::vector<double> q = columns(qkv, a.qkv_dim(), 0, q_dim);
  std::vector<double> k = columns(qkv, a.qkv_dim(), q_dim, kv_dim);
  const std::vector<double> v = columns(qkv, a.qkv_dim(), q_dim + kv_dim, kv_dim);

  if (a.qk_norm) q = rms_norm(q, a.q_norm, a.head_dim, a.qk_norm_eps);
  if (a.qk_norm) k = rms_norm(k, a.k_norm, a.head_dim, a.qk_norm_eps);
  rotate_heads(a, past, a.heads, q);
  rotate_heads(a, past, a.kv_heads, k);
  state.keys.insert(state.keys.end(), k.begin(), k.end());
  state.values.insert(state.values.end(), v.begin(), v.end());

  std::vector<double> out(T * q_dim);
  for (std::size_t t = 0; t < T; ++t) {
    for (std::size_t h = 0; h < a.heads; ++h) {
      const std::size_t read = h / (a.heads / a.kv_heads) * a.head_dim;
      const std::size_t at = t * q_dim + h * a.head_dim;
      attend(a, &q[at], &state.keys[read], &state.values[read], kv_dim, past + t + 1, &out[at]);
    }
  }
  return times(a.out_scale, linear(a.o, a.o_bias, out, q_dim));
}

}  // namespace reference
