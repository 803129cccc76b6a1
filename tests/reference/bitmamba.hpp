// SPDX-License-Identifier: Apache-2.0
// BitMamba-2 in double precision, written from its equations; and its files.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "mamba2/layers/config.hpp"
#include "tests/reference/random_weights.hpp"

namespace reference {

/// A matrix of -1, 0 and 1, each divided by the scale.
struct Ternary {
  std::size_t rows, cols;
  float scale;
  std::vector<int> codes;
};

/// y += scale * B (A x). A (rank, cols), B (rows, rank).
struct BitMambaAdapter {
  std::size_t rank = 0;
  double scale = 0.0;
  std::vector<double> A = {}, B = {};
};

struct BitMambaLayer {
  std::vector<double> in_norm, conv_weight, conv_bias, dt_bias, A_log, D, out_norm;
  Ternary in_proj, out_proj;
  BitMambaAdapter in_adapter, out_adapter;
};

struct BitMamba {
  std::size_t vocab_size, d_model, nheads;
  std::vector<double> embedding;
  std::vector<BitMambaLayer> layers;
  std::vector<double> norm_f, head_norm;
  Ternary head;
  std::vector<std::size_t> path;  ///< layers in the order in which they run
};

/// Logits after each token, and the least distance of what was rounded to where it turns.
struct BitMambaLogits {
  std::vector<double> logits;
  double margin = 1.0;
};

inline Ternary random_ternary(Random& random, std::size_t rows, std::size_t cols) {
  Ternary m{rows, cols, 0.0F, {}};
  double sum = 0.0;
  const double width = 1.0 / std::sqrt(static_cast<double>(cols));
  const auto w = random.normals(rows * cols, 0.0, width);
  for (const double v : w) sum += std::abs(v);
  const double mean = sum / static_cast<double>(w.size());
  for (const double v : w) m.codes.push_back(std::abs(v) < mean / 2 ? 0 : v < 0 ? -1 : 1);
  m.scale = static_cast<float>(1.0 / mean);
  return m;
}

/// Numbers as a file has them.
inline std::vector<double> random_floats(Random& random, std::size_t n, double mean, double width) {
  return to_double(to_float(random.normals(n, mean, width)));
}

inline BitMamba random_bitmamba(std::size_t vocab_size, std::size_t d_model, std::size_t layers,
                                std::size_t nheads, std::uint64_t seed) {
  Random random(seed);
  const std::size_t inner = 2 * d_model;
  BitMamba m{vocab_size, d_model, nheads, random_floats(random, vocab_size * d_model, 0.0, 1.0),
             {},         {},      {},     {},
             {}};
  for (std::size_t i = 0; i < layers; ++i) {
    BitMambaLayer layer;
    layer.in_norm = random_floats(random, d_model, 1.0, 0.2);
    layer.in_proj = random_ternary(random, 2 * inner + 3 * nheads, d_model);
    layer.conv_weight = random_floats(random, inner * 4, 0.0, 0.5);
    layer.conv_bias = random_floats(random, inner, 0.0, 0.2);
    layer.dt_bias = random_floats(random, nheads, -2.0, 1.0);
    layer.A_log = random_floats(random, nheads, 1.0, 0.7);
    layer.D = random_floats(random, inner, 1.0, 0.3);
    layer.out_norm = random_floats(random, inner, 1.0, 0.2);
    layer.out_proj = random_ternary(random, d_model, inner);
    m.layers.push_back(layer);
    m.path.push_back(i);
  }
  m.norm_f = random_floats(random, d_model, 1.0, 0.2);
  m.head_norm = random_floats(random, d_model, 1.0, 0.2);
  m.head = random_ternary(random, vocab_size, d_model);
  return m;
}

namespace detail {

inline std::vector<double> bitmamba_norm(std::span<const double> x,
                                         const std::vector<double>& weight) {
  double sum = 0.0;
  for (const double v : x) sum += v * v;
  const double factor = 1.0 / std::sqrt(sum / static_cast<double>(x.size()) + 1e-6);
  std::vector<double> out;
  for (std::size_t i = 0; i < x.size(); ++i) out.push_back(x[i] * factor * weight[i]);
  return out;
}

/// Norm, rounding and product.
inline std::vector<double> bitlinear(std::span<const double> x, const std::vector<double>& norm,
                                     const Ternary& m, double& margin,
                                     const BitMambaAdapter& adapter = {}) {
  const std::vector<double> normed = bitmamba_norm(x, norm);
  double most = 0.0;
  for (const double v : normed) most = std::max(most, std::abs(v));
  const double scale = 127.0 / (most + 1e-5);
  std::vector<double> codes;
  for (const double v : normed) {
    codes.push_back(std::clamp(std::round(v * scale), -128.0, 127.0));
    margin = std::min(margin, 0.5 - std::abs(v * scale - codes.back()));
  }
  std::vector<double> y(m.rows);
  for (std::size_t r = 0; r < m.rows; ++r) {
    for (std::size_t k = 0; k < m.cols; ++k) y[r] += m.codes[r * m.cols + k] * codes[k];
    y[r] /= scale * static_cast<double>(m.scale);
  }
  for (std::size_t i = 0; i < adapter.rank; ++i) {
    double low = 0.0;
    for (std::size_t k = 0; k < m.cols; ++k) low += adapter.A[i * m.cols + k] * normed[k];
    for (std::size_t r = 0; r < m.rows; ++r) {
      y[r] += adapter.scale * adapter.B[r * adapter.rank + i] * low;
    }
  }
  return y;
}

inline double bitmamba_silu(double v) { return v / (1.0 + std::exp(-v)); }

}  // namespace detail

inline BitMambaLogits forward(const BitMamba& m, std::span<const mamba2::Token> tokens) {
  const std::size_t inner = 2 * m.d_model, heads = m.nheads;
  BitMambaLogits out;
  std::vector<std::vector<double>> conv(m.path.size(), std::vector<double>(3 * inner));
  std::vector<std::vector<double>> state(m.path.size(), std::vector<double>(inner));
  for (const mamba2::Token token : tokens) {
    const auto row = m.embedding.begin() + token * static_cast<std::ptrdiff_t>(m.d_model);
    std::vector<double> residual(row, row + static_cast<std::ptrdiff_t>(m.d_model));
    for (std::size_t i = 0; i < m.path.size(); ++i) {
      const BitMambaLayer& w = m.layers[m.path[i]];
      const auto p = detail::bitlinear(residual, w.in_norm, w.in_proj, out.margin, w.in_adapter);
      std::vector<double> y(inner);
      for (std::size_t c = 0; c < inner; ++c) {
        const std::size_t head = c / (inner / heads);
        const double x = p[inner + c];
        double sum = w.conv_bias[c] + x * w.conv_weight[4 * c + 3];
        for (std::size_t k = 0; k < 3; ++k) {
          sum += conv[i][k * inner + c] * w.conv_weight[4 * c + k];
        }
        for (std::size_t k = 0; k < 2; ++k) conv[i][k * inner + c] = conv[i][(k + 1) * inner + c];
        conv[i][2 * inner + c] = x;
        const double u = detail::bitmamba_silu(sum);
        const double* BCdt = &p[2 * inner];
        const double delta = std::log1p(std::exp(BCdt[2 * heads + head] + w.dt_bias[head]));
        double& h = state[i][c];
        h = std::exp(-std::exp(w.A_log[head]) * delta) * h + u * BCdt[head] * delta;
        y[c] = (h * BCdt[heads + head] + u * w.D[c]) * detail::bitmamba_silu(p[c]);
      }
      const auto added = detail::bitlinear(y, w.out_norm, w.out_proj, out.margin, w.out_adapter);
      for (std::size_t k = 0; k < m.d_model; ++k) residual[k] += added[k];
    }
    const auto last = detail::bitmamba_norm(residual, m.norm_f);
    const auto logits = detail::bitlinear(last, m.head_norm, m.head, out.margin);
    out.logits.insert(out.logits.end(), logits.begin(), logits.end());
  }
  return out;
}

/// Adds an adapter, and returns its file.
inline std::string add_adapter(BitMamba& m, std::size_t rank, float alpha, std::uint64_t seed) {
  Random random(seed);
  std::string file;
  const auto put = [&file](auto number) {
    file.append(reinterpret_cast<const char*>(&number), sizeof number);
  };
  const auto size = [&put](std::size_t n) { put(static_cast<std::uint32_t>(n)); };
  for (const std::size_t n : {std::size_t{0x4C4F5232}, std::size_t{1}, rank}) size(n);
  put(alpha);
  for (const std::size_t n : {m.layers.size(), std::size_t{2}}) size(n);
  const auto add = [&](std::size_t layer, std::size_t target, const Ternary& matrix,
                       BitMambaAdapter& adapter) {
    adapter.rank = rank;
    adapter.scale = static_cast<double>(alpha) / static_cast<double>(rank);
    adapter.A = random_floats(random, rank * matrix.cols, 0.0, 0.1);
    adapter.B = random_floats(random, matrix.rows * rank, 0.0, 0.1);
    for (const std::size_t n : {layer, target, matrix.rows, matrix.cols, rank}) size(n);
    for (const auto* values : {&adapter.A, &adapter.B}) {
      for (const double v : *values) put(static_cast<float>(v));
    }
  };
  for (std::size_t i = 0; i < m.layers.size(); ++i) {
    add(i, 0, m.layers[i].in_proj, m.layers[i].in_adapter);
    add(i, 1, m.layers[i].out_proj, m.layers[i].out_adapter);
  }
  return file;
}

/// The bytes of a file, and where its tensors begin.
class BitMambaWriter {
 public:
  explicit BitMambaWriter(const BitMamba& m) {
    const auto size = [this](std::size_t n) { put(static_cast<std::int32_t>(n)); };
    put(std::int32_t{0x42495432});
    for (const std::size_t n : {m.vocab_size, m.d_model, m.layers.size(), m.nheads}) size(n);
    values({m.vocab_size, m.d_model}, m.embedding);
    for (const BitMambaLayer& w : m.layers) {
      values({m.d_model}, w.in_norm);
      codes(w.in_proj);
      values({2 * m.d_model, 1, 4}, w.conv_weight);
      for (const auto& vector : {w.conv_bias, w.dt_bias, w.A_log, w.D, w.out_norm}) {
        values({vector.size()}, vector);
      }
      codes(w.out_proj);
    }
    values({m.d_model}, m.norm_f);
    values({m.d_model}, m.head_norm);
    codes(m.head);
  }

  std::string bytes;
  std::vector<std::size_t> starts;

 private:
  template <class Number>
  void put(Number number) {
    bytes.append(reinterpret_cast<const char*>(&number), sizeof number);
  }
  void values(const std::vector<std::size_t>& shape, const std::vector<double>& all) {
    starts.push_back(bytes.size());
    put(std::int32_t{0});
    put(static_cast<std::int32_t>(shape.size()));
    for (const std::size_t n : shape) put(static_cast<std::int32_t>(n));
    for (const double v : all) put(static_cast<float>(v));
  }
  void codes(const Ternary& m) {
    starts.push_back(bytes.size());
    put(std::int32_t{2});
    put(static_cast<std::int32_t>(m.rows));
    put(static_cast<std::int32_t>(m.cols));
    put(m.scale);
    for (std::size_t i = 0; i < m.codes.size(); i += 4) {
      int four = 0;
      for (std::size_t k = 0; k < 4; ++k) four |= (m.codes[i + k] + 1) << (2 * k);
      bytes.push_back(static_cast<char>(four));
    }
  }
};

}  // namespace reference
