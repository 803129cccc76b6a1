// SPDX-License-Identifier: Apache-2.0
// Oracle: mixtures of experts, in double precision, written from the formulas.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

#include "tests/reference/mamba2_reference.hpp"
#include "tests/reference/mlp.hpp"

namespace reference {

/// The shape and the tensors of a mixture of experts, row-major; what a model does not have is
/// empty.
struct Moe {
  std::size_t d_model = 0;
  std::size_t chosen = 0;  ///< of the experts, for a token
  std::size_t latent = 0;  ///< width of what experts read and write; 0: d_model
  std::size_t groups = 1;
  std::size_t groups_left = 1;
  bool has_bias = false;    ///< of the router, for the choice alone
  bool sigmoid = false;     ///< else the softmax over the scores of those that are chosen
  bool normalized = false;  ///< divided by their sum + eps
  double eps = 0.0;
  double factor = 1.0;

  std::vector<double> router;       ///< (experts, d_model)
  std::vector<double> router_bias;  ///< (experts)
  std::vector<double> latent_in;    ///< (latent, d_model)
  std::vector<double> latent_out;   ///< (d_model, latent)
  std::vector<Mlp> experts;
  Mlp shared;  ///< of width 0: none
};

namespace detail {

/// The positions of the `count` largest values; of equal ones the first counts.
inline std::vector<std::size_t> largest(const std::vector<double>& values, std::size_t count) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return values[a] > values[b]; });
  order.resize(count);
  return order;
}

}  // namespace detail

/// What each expert counts for a token u (d_model).
inline std::vector<double> expert_weights(const Moe& m, std::span<const double> u) {
  const std::size_t count = m.experts.size();
  std::vector<double> scores = linear(m.router, {}, u, m.d_model);
  if (m.sigmoid) {
    for (double& score : scores) score = 1.0 / (1.0 + std::exp(-score));
  }
  std::vector<double> choice = scores;
  for (std::size_t e = 0; e < m.router_bias.size(); ++e) choice[e] += m.router_bias[e];
  if (m.groups > 1) {
    const std::size_t size = count / m.groups;
    std::vector<double> sums;
    for (std::size_t g = 0; g < m.groups; ++g) {
      std::vector<double> group(choice.begin() + static_cast<long>(g * size),
                                choice.begin() + static_cast<long>((g + 1) * size));
      std::sort(group.rbegin(), group.rend());
      sums.push_back(group[0] + group[1]);
    }
    const std::vector<std::size_t> best = detail::largest(sums, m.groups_left);
    for (std::size_t e = 0; e < count; ++e) {
      if (std::find(best.begin(), best.end(), e / size) != best.end()) continue;
      choice[e] = -std::numeric_limits<double>::infinity();
    }
  }
  const std::vector<std::size_t> chosen = detail::largest(choice, m.chosen);
  std::vector<double> weights(count, 0.0);
  double total = m.eps;
  for (const std::size_t e : chosen) {
    weights[e] = m.sigmoid ? scores[e] : std::exp(scores[e] - scores[chosen[0]]);
    total += weights[e];
  }
  for (double& weight : weights) {
    weight *= m.factor / (m.normalized || !m.sigmoid ? total : 1.0);
  }
  return weights;
}

/// The mixture on its normed input u (T, d_model). Returns (T, d_model).
inline std::vector<double> moe(const Moe& m, std::span<const double> u) {
  std::vector<double> out;
  for (std::size_t t = 0; t < u.size() / m.d_model; ++t) {
    const auto x = u.subspan(t * m.d_model, m.d_model);
    const std::vector<double> weights = expert_weights(m, x);
    const std::vector<double> inner = m.latent > 0 ? linear(m.latent_in, {}, x, m.d_model)
                                                   : std::vector<double>(x.begin(), x.end());
    std::vector<double> sum(inner.size(), 0.0);
    for (std::size_t e = 0; e < m.experts.size(); ++e) {
      if (weights[e] == 0.0) continue;
      const std::vector<double> y = mlp(m.experts[e], inner);
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += weights[e] * y[i];
    }
    if (m.latent > 0) sum = linear(m.latent_out, {}, sum, m.latent);
    if (m.shared.width > 0) {
      const std::vector<double> y = mlp(m.shared, x);
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += y[i];
    }
    out.insert(out.end(), sum.begin(), sum.end());
  }
  return out;
}

}  // namespace reference
