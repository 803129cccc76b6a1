// SPDX-License-Identifier: Apache-2.0
// Oracle: a whole Mamba-2 language model in double precision, written from the formulas.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

#include "mamba2/layers/config.hpp"
#include "tests/reference/scan_reference.hpp"

namespace reference {

using mamba2::Token;

/// The tensors of one block, row-major; what a config does not have is empty.
struct BlockWeights {
  std::vector<double> norm;           ///< (d_model)
  std::vector<double> in_proj;        ///< (d_in_proj, d_model)
  std::vector<double> in_proj_bias;   ///< (d_in_proj)
  std::vector<double> in_proj_scale;  ///< (d_in_proj): factors of what in_proj gives; empty: 1
  std::vector<double> conv_weight;    ///< (conv_dim, d_conv), the last tap meets the newest input
  std::vector<double> conv_bias;      ///< (conv_dim)
  std::vector<double> dt_bias;        ///< (nheads)
  std::vector<double> A_log;          ///< (nheads)
  std::vector<double> D;              ///< (nheads), or (d_ssm) where D_has_hdim
  std::vector<double> gated_norm;     ///< (d_ssm)
  std::vector<double> out_proj;       ///< (d_model, d_inner)
  std::vector<double> out_proj_bias;  ///< (d_model)
};

/// The tensors of a model.
struct Weights {
  std::vector<double> embedding;  ///< (vocab_size, d_model)
  std::vector<BlockWeights> blocks;
  std::vector<double> norm_f;   ///< (d_model)
  std::vector<double> lm_head;  ///< (vocab_size, d_model); empty where tied
};

/// What one block remembers of the tokens so far.
struct BlockState {
  std::vector<double> conv;  ///< (d_conv - 1, conv_dim): the last raw xBC, oldest first
  std::vector<double> ssm;   ///< (nheads, headdim, d_state)

  explicit BlockState(const Config& config)
      : conv((config.d_conv - 1) * config.conv_dim()), ssm(config.d_ssm * config.d_state) {}
};

/// What a model remembers: the state before the first token is zero.
struct State {
  std::vector<BlockState> blocks;

  explicit State(const Config& config) : blocks(config.n_layer, BlockState(config)) {}
};

/// How to compute it.
struct Options {
  std::size_t chunk = 0;        ///< tokens per chunk of the SSD form; 0: the recurrence
  bool ungrouped_norm = false;  ///< the known mistake of one gated norm over all groups
};

/// The decimal number that a float of a config stands for: 1e-5 for 1e-5F, not 9.99999975e-6.
inline double decimal(float value) {
  char digits[32];
  const auto written = std::to_chars(digits, digits + sizeof digits, value);
  double number = 0.0;
  std::from_chars(digits, written.ptr, number);
  return number;
}

inline double silu(double v) { return v / (1.0 + std::exp(-v)); }
inline double softplus(double v) { return v > 20.0 ? v : std::log1p(std::exp(v)); }

/// W u + b for each row of u: W (out, in), b (out) or empty, u (T, in). Returns (T, out).
inline std::vector<double> linear(const std::vector<double>& W, const std::vector<double>& b,
                                  std::span<const double> u, std::size_t in) {
  const std::size_t out = W.size() / in, T = u.size() / in;
  std::vector<double> y(T * out);
  for (std::size_t o = 0; o < out; ++o) {
    for (std::size_t t = 0; t < T; ++t) {
      y[t * out + o] = dot(&W[o * in], &u[t * in], in) + (b.empty() ? 0.0 : b[o]);
    }
  }
  return y;
}

/// x / sqrt(mean(x^2) + eps) * weight over each run of `width` values; the weight repeats.
inline std::vector<double> rms_norm(const std::vector<double>& x, const std::vector<double>& weight,
                                    std::size_t width, double eps) {
  std::vector<double> y(x.size());
  for (std::size_t begin = 0; begin < x.size(); begin += width) {
    const double mean_square = dot(&x[begin], &x[begin], width) / static_cast<double>(width);
    for (std::size_t i = begin; i < begin + width; ++i) {
      y[i] = x[i] / std::sqrt(mean_square + eps) * weight[i % weight.size()];
    }
  }
  return y;
}

/// The gated norm of y (T, d_ssm) with gate z (T, d_ssm): norm(y * silu(z)), or norm(y) * silu(z)
/// where norm_before_gate; one norm for each group. Without rmsnorm just y * silu(z).
inline std::vector<double> gated_rms_norm(const Config& config, const std::vector<double>& weight,
                                          std::vector<double> y, const std::vector<double>& z,
                                          const Options& options) {
  const std::size_t width = options.ungrouped_norm ? config.d_ssm : config.d_ssm / config.ngroups;
  const double eps = decimal(config.norm_eps);
  if (config.rmsnorm && config.norm_before_gate) y = rms_norm(y, weight, width, eps);
  for (std::size_t i = 0; i < y.size(); ++i) y[i] *= silu(z[i]);
  if (config.rmsnorm && !config.norm_before_gate) y = rms_norm(y, weight, width, eps);
  return y;
}

/// The causal depthwise convolution of raw xBC (T, conv_dim), then SiLU. Returns (T, conv_dim);
/// the state moves on by T tokens.
inline std::vector<double> causal_conv1d(const Config& config, const BlockWeights& w,
                                         const std::vector<double>& xBC,
                                         std::vector<double>& state) {
  const std::size_t channels = config.conv_dim(), taps = config.d_conv;
  std::vector<double> input = state;  // (d_conv - 1 + T, conv_dim)
  input.insert(input.end(), xBC.begin(), xBC.end());
  std::vector<double> c(xBC.size());
  for (std::size_t t = 0; t < xBC.size() / channels; ++t) {
    for (std::size_t ch = 0; ch < channels; ++ch) {
      double sum = w.conv_bias.empty() ? 0.0 : w.conv_bias[ch];
      for (std::size_t k = 0; k < taps; ++k) {
        sum += w.conv_weight[ch * taps + k] * input[(t + k) * channels + ch];
      }
      c[t * channels + ch] = silu(sum);
    }
  }
  state.assign(input.end() - static_cast<std::ptrdiff_t>(state.size()), input.end());
  return c;
}

/// Columns [begin, begin + width) of a matrix whose rows are `row` wide.
inline std::vector<double> columns(const std::vector<double>& matrix, std::size_t row,
                                   std::size_t begin, std::size_t width) {
  std::vector<double> out;
  for (std::size_t r = 0; r < matrix.size(); r += row) {
    const auto first = matrix.begin() + static_cast<std::ptrdiff_t>(r + begin);
    out.insert(out.end(), first, first + static_cast<std::ptrdiff_t>(width));
  }
  return out;
}

/// Two matrices side by side: (T, a_width) and (T, b_width) give (T, a_width + b_width).
inline std::vector<double> beside(const std::vector<double>& a, std::size_t a_width,
                                  const std::vector<double>& b, std::size_t b_width) {
  std::vector<double> out;
  for (std::size_t t = 0; t * b_width < b.size(); ++t) {
    const auto a_row = a.begin() + static_cast<std::ptrdiff_t>(t * a_width);
    const auto b_row = b.begin() + static_cast<std::ptrdiff_t>(t * b_width);
    out.insert(out.end(), a_row, a_row + static_cast<std::ptrdiff_t>(a_width));
    out.insert(out.end(), b_row, b_row + static_cast<std::ptrdiff_t>(b_width));
  }
  return out;
}

/// Everything a mixer computes on its way, for T tokens.
struct MixerTrace {
  std::vector<double> z0, x0;  ///< (T, d_mlp) each: gate and value of the part without SSM
  std::vector<double> z;       ///< (T, d_ssm): the gate
  std::vector<double> xBC;     ///< (T, conv_dim): before the convolution
  std::vector<double> dt;      ///< (T, nheads): the raw step
  ScanInputs scan;             ///< after convolution, SiLU, softplus and clamp
  std::vector<double> y;       ///< (T, d_ssm): before the gate
  std::vector<double> v;       ///< (T, d_inner): what out_proj sees
  std::vector<double> output;  ///< (T, d_model)
};

/// The mixer of one block on its normed input u (T, d_model), with all that it computes.
inline MixerTrace mixer_trace(const Config& config, const BlockWeights& w,
                              std::span<const double> u, BlockState& state,
                              const Options& options = {}) {
  const std::size_t d_mlp = config.d_mlp(), d_ssm = config.d_ssm, H = config.nheads();
  const std::size_t GN = config.ngroups * config.d_state;
  MixerTrace m;

  std::vector<double> projected = linear(w.in_proj, w.in_proj_bias, u, config.d_model);
  for (std::size_t i = 0; i < projected.size() && !w.in_proj_scale.empty(); ++i) {
    projected[i] *= w.in_proj_scale[i % w.in_proj_scale.size()];
  }
  std::size_t next = 0;
  const auto take = [&](std::size_t width) {
    next += width;
    return columns(projected, config.d_in_proj(), next - width, width);
  };
  m.z0 = take(d_mlp);
  m.x0 = take(d_mlp);
  m.z = take(d_ssm);
  m.xBC = take(config.conv_dim());
  m.dt = take(H);

  const std::vector<double> c = causal_conv1d(config, w, m.xBC, state.conv);
  m.scan.x = columns(c, config.conv_dim(), 0, d_ssm);
  m.scan.B = columns(c, config.conv_dim(), d_ssm, GN);
  m.scan.C = columns(c, config.conv_dim(), d_ssm + GN, GN);
  m.scan.delta = m.dt;
  for (std::size_t i = 0; i < m.dt.size(); ++i) {
    m.scan.delta[i] = std::clamp(softplus(m.dt[i] + w.dt_bias[i % H]), decimal(config.dt_min),
                                 decimal(config.dt_max));
  }

  m.y = options.chunk == 0 ? selective_scan(config, w.A_log, w.D, m.scan, state.ssm)
                           : ssd_chunked(config, w.A_log, w.D, m.scan, state.ssm, options.chunk);
  m.v = gated_rms_norm(config, w.gated_norm, m.y, m.z, options);
  if (d_mlp > 0) {
    std::vector<double> gated = m.x0;
    for (std::size_t i = 0; i < gated.size(); ++i) gated[i] *= silu(m.z0[i]);
    m.v = beside(gated, d_mlp, m.v, d_ssm);
  }
  m.output = linear(w.out_proj, w.out_proj_bias, m.v, config.d_inner);
  return m;
}

/// The mixer of one block on its normed input u (T, d_model). Returns (T, d_model).
inline std::vector<double> mixer(const Config& config, const BlockWeights& w,
                                 std::span<const double> u, BlockState& state,
                                 const Options& options = {}) {
  return mixer_trace(config, w, u, state, options).output;
}

/// The rows of the embedding that belong to the tokens: (T, d_model).
inline std::vector<double> embed(const Config& config, const Weights& weights,
                                 std::span<const Token> tokens) {
  std::vector<double> r;
  for (const Token token : tokens) {
    const auto row =
        weights.embedding.begin() + token * static_cast<std::ptrdiff_t>(config.d_model);
    r.insert(r.end(), row, row + static_cast<std::ptrdiff_t>(config.d_model));
  }
  return r;
}

/// The logits (T, vocab_size) after each of the tokens, padding rows included, continuing from
/// `state`.
inline std::vector<double> forward(const Config& config, const Weights& weights,
                                   std::span<const Token> tokens, State& state,
                                   const Options& options = {}) {
  const double eps = decimal(config.norm_eps);
  std::vector<double> r = embed(config, weights, tokens);
  for (std::size_t i = 0; i < config.n_layer; ++i) {
    const BlockWeights& w = weights.blocks[i];
    const std::vector<double> u = rms_norm(r, w.norm, config.d_model, eps);
    const std::vector<double> out = mixer(config, w, u, state.blocks[i], options);
    for (std::size_t j = 0; j < r.size(); ++j) r[j] += out[j];
  }
  const std::vector<double> h = rms_norm(r, weights.norm_f, config.d_model, eps);
  return linear(config.tie_embeddings ? weights.embedding : weights.lm_head, {}, h, config.d_model);
}

/// The same for tokens that nothing precedes.
inline std::vector<double> forward(const Config& config, const Weights& weights,
                                   std::span<const Token> tokens, const Options& options = {}) {
  State state(config);
  return forward(config, weights, tokens, state, options);
}

/// -log softmax(logits)[token], in nats, over one row of logits.
inline double negative_log_likelihood(std::span<const double> logits, Token token) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0.0;
  for (const double logit : logits) sum += std::exp(logit - top);
  return top + std::log(sum) - logits[static_cast<std::size_t>(token)];
}

}  // namespace reference
