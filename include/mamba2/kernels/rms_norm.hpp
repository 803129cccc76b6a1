// SPDX-License-Identifier: Apache-2.0
// Root-mean-square normalisation, plain and gated.
#pragma once

#include <cmath>
#include <cstddef>

#include "mamba2/kernels/activations.hpp"
#include "mamba2/kernels/simd.hpp"
#include "mamba2/kernels/unroll.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels {

/// to += x. x, to (n).
inline void add(const float* x, std::size_t n, float* to) noexcept {
  for_each_vector(n, [&](std::size_t i, auto lanes) {
    lanes.store(lanes.load(to + i) + lanes.load(x + i), to + i);
  });
}

/// to += factor * x. x, to (n).
inline void add_times(float factor, const float* x, std::size_t n, float* to) noexcept {
  for_each_vector(n, [&](std::size_t i, auto lanes) {
    lanes.store(multiply_add(Floats(factor), lanes.load(x + i), lanes.load(to + i)), to + i);
  });
}

/// x *= factor. x (n).
inline void times(float factor, float* x, std::size_t n) noexcept {
  for_each_vector(n, [&](std::size_t i, auto lanes) {
    lanes.store(Floats(factor) * lanes.load(x + i), x + i);
  });
}

/// The sum of a[i] * b[i] over n values, in an order that depends on nothing but n.
[[nodiscard]] inline float sum_of_products(const float* a, const float* b, std::size_t n) noexcept {
  constexpr std::size_t kChains = 4;  // an addition need not wait for the one before
  Floats sums[kChains];
  unroll<kChains>([&](auto c) MAMBA2_INLINE { sums[c] = Floats(0.0F); });
  std::size_t i = 0;
  for (; i + kChains * kLanes <= n; i += kChains * kLanes) {
    unroll<kChains>([&](auto c) MAMBA2_INLINE {
      const std::size_t at = i + c * kLanes;
      sums[c] = multiply_add(load(a + at), load(b + at), sums[c]);
    });
  }
  for_each_vector(n - i, [&](std::size_t k, auto lanes) {
    sums[0] = multiply_add(lanes.load(a + i + k), lanes.load(b + i + k), sums[0]);
  });
  return sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

/// Sum of x^2 over n values.
[[nodiscard]] inline float sum_of_squares(const float* x, std::size_t n) noexcept {
  Floats squares(0.0F);
  for_each_vector(n, [&](std::size_t i, auto lanes) {
    const Floats v = lanes.load(x + i);
    squares = multiply_add(v, v, squares);
  });
  return sum(squares);
}

/// 1 / sqrt(mean + eps), where the mean is sum / n.
[[nodiscard]] inline float inverse_rms(float sum, std::size_t n, float eps) noexcept {
  return 1.0F / std::sqrt(sum / static_cast<float>(n) + eps);
}

/// out = x * factor * weight. x, weight, out (n); out may be x.
inline void scale(const float* x, float factor, const float* weight, std::size_t n,
                  float* out) noexcept {
  for_each_vector(n, [&](std::size_t i, auto lanes) {
    lanes.store(lanes.load(x + i) * Floats(factor) * lanes.load(weight + i), out + i);
  });
}

/// out = x / sqrt(mean(x^2) + eps) * weight. x, weight, out (n); out may be x.
inline void rms_norm(const float* x, const float* weight, std::size_t n, float eps,
                     float* out) noexcept {
  scale(x, inverse_rms(sum_of_squares(x, n), n, eps), weight, n, out);
}

/// out = y * silu(z). y, z, out (n); out may be y or z. Returns the sum of out^2.
[[gnu::flatten]] inline float gate(const float* y, const float* z, std::size_t n,
                                   float* out) noexcept {
  Floats squares(0.0F);
  for_each_vector(n, [&](std::size_t i, auto lanes) {
    const Floats v = lanes.load(y + i) * silu(lanes.load(z + i));
    squares = multiply_add(v, v, squares);
    lanes.store(v, out + i);
  });
  return sum(squares);
}

/// out = y * gelu(z). y, z, out (n); out may be y or z.
[[gnu::flatten]] inline void gate_by_gelu(const float* y, const float* z, std::size_t n,
                                          float* out) noexcept {
  for_each_vector(n, [&](std::size_t i, auto lanes) {
    lanes.store(lanes.load(y + i) * gelu(lanes.load(z + i)), out + i);
  });
}

/// out = max(x, 0)^2. x, out (n); out may be x.
inline void relu2(const float* x, std::size_t n, float* out) noexcept {
  for_each_vector(
      n, [&](std::size_t i, auto lanes) { lanes.store(relu2(lanes.load(x + i)), out + i); });
}

/// What stands between the scan and out_proj: norm(y * silu(z)), or norm(y) * silu(z) where
/// norm_before_gate. It comes in two steps, so that heads can be worked on apart.
struct GatedNorm {
  const float* weight;  ///< (nheads * headdim), or nullptr: the gate alone
  std::size_t nheads;
  std::size_t headdim;
  std::size_t ngroups;  ///< the mean is taken over the heads of a group
  float eps;            ///< inside the square root
  bool norm_before_gate;
};

/// The first step, for one head: y, z (headdim). z becomes y * silu(z), unless the norm comes
/// first. Returns the head's share of the sum of squares.
[[nodiscard]] inline float gate_head(const GatedNorm& norm, const float* y, float* z) noexcept {
  if (norm.weight != nullptr && norm.norm_before_gate) return sum_of_squares(y, norm.headdim);
  return gate(y, z, norm.headdim, z);
}

/// The second step, for one token: squares (nheads) holds what the first step returned. The result
/// is left in z (nheads * headdim).
inline void gated_norm(const GatedNorm& norm, const float* squares, const float* y,
                       float* z) noexcept {
  if (norm.weight == nullptr) return;
  const std::size_t heads = norm.nheads / norm.ngroups;
  const std::size_t n = heads * norm.headdim;
  for (std::size_t group = 0; group < norm.ngroups; ++group) {
    float total = 0.0F;
    for (std::size_t h = 0; h < heads; ++h) total += squares[group * heads + h];
    const float factor = inverse_rms(total, n, norm.eps);
    const float* weight = norm.weight + group * n;
    float* out = z + group * n;
    if (norm.norm_before_gate) gate(y + group * n, out, n, out);
    scale(out, factor, weight, n, out);
  }
}

}  // namespace kernels
}  // namespace MAMBA2_ISA
}  // namespace mamba2
