// SPDX-License-Identifier: Apache-2.0
// Oracle: causal attention and rotary embedding in double precision, written from the formulas.
#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

namespace reference {

/// The heads of an attention layer: query head h reads keys and values of h / (heads / kv_heads).
struct AttentionShape {
  std::size_t heads;
  std::size_t kv_heads;
  std::size_t headdim;
  double scale;
};

/// For every token t: softmax over all tokens s <= t of scale * q_t . k_s, times v_s. q (T, heads,
/// headdim); k, v (T, kv_heads, headdim). Returns (T, heads, headdim); the first `skip` tokens of
/// it are left out.
inline std::vector<double> causal_attention(const AttentionShape& shape,
                                            const std::vector<double>& q,
                                            const std::vector<double>& k,
                                            const std::vector<double>& v, std::size_t skip = 0) {
  const std::size_t H = shape.heads, KV = shape.kv_heads, n = shape.headdim;
  const std::size_t T = k.size() / (KV * n);
  std::vector<double> out((T - skip) * H * n);
  std::vector<double> weights(T);
  for (std::size_t t = skip; t < T; ++t) {
    for (std::size_t h = 0; h < H; ++h) {
      const double* query = &q[(t * H + h) * n];
      const std::size_t kv = h / (H / KV);
      double largest = 0.0;
      for (std::size_t s = 0; s <= t; ++s) {
        const double* key = &k[(s * KV + kv) * n];
        double product = 0.0;
        for (std::size_t c = 0; c < n; ++c) product += query[c] * key[c];
        weights[s] = shape.scale * product;
        largest = s == 0 ? weights[s] : std::fmax(largest, weights[s]);
      }
      double sum = 0.0;
      for (std::size_t s = 0; s <= t; ++s) sum += weights[s] = std::exp(weights[s] - largest);
      double* to = &out[((t - skip) * H + h) * n];
      for (std::size_t s = 0; s <= t; ++s) {
        const double* value = &v[(s * KV + kv) * n];
        for (std::size_t c = 0; c < n; ++c) to[c] += weights[s] / sum * value[c];
      }
    }
  }
  return out;
}

/// The channels [0, rot) of a head at a position: y_i = x_i cos a - x_{i + rot/2} sin a and
/// y_{i + rot/2} = x_{i + rot/2} cos a + x_i sin a, with a = position * base^(-2i / rot). x: a
/// head.
inline void rotary_embedding(std::vector<double>& x, std::size_t rot, double base,
                             double position) {
  for (std::size_t i = 0; i < rot / 2; ++i) {
    const long double exponent =
        -2.0L * static_cast<long double>(i) / static_cast<long double>(rot);
    const long double angle =
        static_cast<long double>(position) * std::pow(static_cast<long double>(base), exponent);
    const auto cosine = static_cast<double>(std::cos(angle));
    const auto sine = static_cast<double>(std::sin(angle));
    const double a = x[i];
    const double b = x[i + rot / 2];
    x[i] = a * cosine - b * sine;
    x[i + rot / 2] = b * cosine + a * sine;
  }
}

}  // namespace reference
