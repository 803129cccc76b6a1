// SPDX-License-Identifier: Apache-2.0
// Oracle: the state space layer of Mamba-2 in double precision, as a recurrence and in chunks.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "mamba2/layers/config.hpp"

namespace reference {

using mamba2::Config;

/// What the state space layer sees of T tokens.
struct ScanInputs {
  std::vector<double> x;      ///< (T, nheads, headdim), after convolution and SiLU
  std::vector<double> B;      ///< (T, ngroups, d_state), likewise
  std::vector<double> C;      ///< (T, ngroups, d_state), likewise
  std::vector<double> delta;  ///< (T, nheads), after softplus and clamp
};

/// sum_i a[i] * b[i]. Four partial sums: four times as fast as one, and no less exact.
inline double dot(const double* a, const double* b, std::size_t n) {
  double sum[4] = {};
  std::size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    sum[0] += a[i] * b[i];
    sum[1] += a[i + 1] * b[i + 1];
    sum[2] += a[i + 2] * b[i + 2];
    sum[3] += a[i + 3] * b[i + 3];
  }
  for (; i < n; ++i) sum[0] += a[i] * b[i];
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/// The weight of the skip connection of channel p of head h; D is (nheads), or (d_ssm) where
/// D_has_hdim.
inline double skip_weight(const Config& config, const std::vector<double>& D, std::size_t h,
                          std::size_t p) {
  return config.D_has_hdim ? D[h * config.headdim + p] : D[h];
}

/// The recurrence, token by token:
///     S = exp(delta A) S + (delta x) B^T        y = S C + D x        A = -exp(A_log)
/// for each head; heads share B and C with their group. `ssm` (nheads, headdim, d_state) is the
/// state: read, then left as it is after the last token. Returns y (T, nheads, headdim).
inline std::vector<double> selective_scan(const Config& config, const std::vector<double>& A_log,
                                          const std::vector<double>& D, const ScanInputs& in,
                                          std::vector<double>& ssm) {
  const std::size_t H = config.nheads(), P = config.headdim, N = config.d_state;
  const std::size_t G = config.ngroups, T = in.delta.size() / H;
  std::vector<double> y(T * H * P);
  for (std::size_t t = 0; t < T; ++t) {
    for (std::size_t h = 0; h < H; ++h) {
      const std::size_t g = h / (H / G);
      const double delta = in.delta[t * H + h];
      const double a = std::exp(delta * -std::exp(A_log[h]));
      const double* B = &in.B[(t * G + g) * N];
      const double* C = &in.C[(t * G + g) * N];
      for (std::size_t p = 0; p < P; ++p) {
        const double x = in.x[(t * H + h) * P + p];
        double* S = &ssm[(h * P + p) * N];
        for (std::size_t n = 0; n < N; ++n) S[n] = a * S[n] + delta * x * B[n];
        y[(t * H + h) * P + p] = dot(S, C, N) + skip_weight(config, D, h, p) * x;
      }
    }
  }
  return y;
}

/// The same layer in the chunked form of the paper (state space duality): inside a chunk of at
/// most `chunk` tokens a masked product like attention, between chunks the state. Any chunk gives
/// what selective_scan gives, to rounding.
inline std::vector<double> ssd_chunked(const Config& config, const std::vector<double>& A_log,
                                       const std::vector<double>& D, const ScanInputs& in,
                                       std::vector<double>& ssm, std::size_t chunk) {
  const std::size_t H = config.nheads(), P = config.headdim, N = config.d_state;
  const std::size_t G = config.ngroups, T = in.delta.size() / H;
  std::vector<double> y(T * H * P);
  for (std::size_t begin = 0; begin < T; begin += chunk) {
    const std::size_t length = std::min(chunk, T - begin);
    for (std::size_t h = 0; h < H; ++h) {
      const auto x = [&](std::size_t i) { return &in.x[((begin + i) * H + h) * P]; };
      const auto B = [&](std::size_t i) { return &in.B[((begin + i) * G + h / (H / G)) * N]; };
      const auto C = [&](std::size_t i) { return &in.C[((begin + i) * G + h / (H / G)) * N]; };
      const auto delta = [&](std::size_t i) { return in.delta[(begin + i) * H + h]; };
      double* S = &ssm[h * P * N];

      // cs_i: log of the decay from the entering state to token i.
      std::vector<double> cs(length);
      double log_decay = 0.0;
      for (std::size_t i = 0; i < length; ++i) {
        cs[i] = log_decay += delta(i) * -std::exp(A_log[h]);
      }

      for (std::size_t i = 0; i < length; ++i) {
        double* yi = &y[((begin + i) * H + h) * P];
        for (std::size_t p = 0; p < P; ++p) {
          yi[p] =
              std::exp(cs[i]) * dot(&S[p * N], C(i), N) + skip_weight(config, D, h, p) * x(i)[p];
        }
        for (std::size_t j = 0; j <= i; ++j) {
          const double M = dot(C(i), B(j), N) * std::exp(cs[i] - cs[j]) * delta(j);
          for (std::size_t p = 0; p < P; ++p) yi[p] += M * x(j)[p];
        }
      }

      for (std::size_t pn = 0; pn < P * N; ++pn) S[pn] *= std::exp(cs[length - 1]);
      for (std::size_t j = 0; j < length; ++j) {
        const double weight = std::exp(cs[length - 1] - cs[j]) * delta(j);
        for (std::size_t p = 0; p < P; ++p) {
          for (std::size_t n = 0; n < N; ++n) S[p * N + n] += weight * x(j)[p] * B(j)[n];
        }
      }
    }
  }
  return y;
}

}  // namespace reference
