// SPDX-License-Identifier: Apache-2.0
// Root-mean-square normalisation, plain and gated.
#pragma once

#include <cmath>
#include <cstddef>

#include "mamba2/core/views.hpp"
#include "mamba2/kernels/activations.hpp"
#include "mamba2/kernels/simd.hpp"

namespace mamba2::inline MAMBA2_ISA::kernels {

/// 1 / sqrt(mean(x^2) + eps) over n values.
[[nodiscard]] inline float inverse_rms(const float* x, std::size_t n, float eps) noexcept {
  Floats squares(0.0F);
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Floats v = load(x + i);
    squares = xsimd::fma(v, v, squares);
  }
  float total = sum(squares);
  for (; i < n; ++i) total += x[i] * x[i];
  return 1.0F / std::sqrt(total / static_cast<float>(n) + eps);
}

/// out[t] = x[t] / sqrt(mean(x[t]^2) + eps) * weight for every row t.
/// x, out (tokens, n), weight (n); out may be x.
inline void rms_norm(ConstRows x, const float* weight, float eps, MutableRows out) noexcept {
  for (std::size_t t = 0; t < x.rows; ++t) {
    const float scale = inverse_rms(x[t], x.cols, eps);
    for (std::size_t i = 0; i < x.cols; ++i) out[t][i] = x[t][i] * scale * weight[i];
  }
}

/// What stands between the scan and out_proj.
struct GatedNorm {
  const float* weight;    ///< (n)
  std::size_t ngroups;    ///< the mean is taken over n / ngroups values at a time
  float eps;              ///< inside the square root
  bool norm_before_gate;  ///< norm(y) * silu(z) instead of norm(y * silu(z))
};

/// Normalises y gated by z, group by group. y, z, out (tokens, n); out may be y.
inline void gated_rms_norm(const GatedNorm& norm, ConstRows y, ConstRows z,
                           MutableRows out) noexcept {
  const std::size_t group = y.cols / norm.ngroups;
  for (std::size_t t = 0; t < y.rows; ++t) {
    for (std::size_t first = 0; first < y.cols; first += group) {
      const float* weight = norm.weight + first;
      const float* y_group = y[t] + first;
      const float* z_group = z[t] + first;
      float* out_group = out[t] + first;
      if (norm.norm_before_gate) {
        const float scale = inverse_rms(y_group, group, norm.eps);
        for (std::size_t i = 0; i < group; ++i) {
          out_group[i] = y_group[i] * scale * weight[i] * silu(z_group[i]);
        }
      } else {
        for (std::size_t i = 0; i < group; ++i) out_group[i] = y_group[i] * silu(z_group[i]);
        const float scale = inverse_rms(out_group, group, norm.eps);
        for (std::size_t i = 0; i < group; ++i) out_group[i] *= scale * weight[i];
      }
    }
  }
}

/// out = y * silu(z), the gate alone. y, z, out (tokens, n); out may be y.
inline void gate(ConstRows y, ConstRows z, MutableRows out) noexcept {
  for (std::size_t t = 0; t < y.rows; ++t) {
    for (std::size_t i = 0; i < y.cols; ++i) out[t][i] = y[t][i] * silu(z[t][i]);
  }
}

}  // namespace mamba2::inline MAMBA2_ISA::kernels
