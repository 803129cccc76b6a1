// SPDX-License-Identifier: Apache-2.0
#include "mamba2/kernels/router.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "mamba2/kernels/rms_norm.hpp"
#include "tests/constants.hpp"
#include "tests/reference/compare.hpp"
#include "tests/reference/moe.hpp"
#include "tests/reference/random_weights.hpp"

using mamba2::kernels::Router;
using tests::kInfinity;
using tests::kNan;

namespace {

struct Choice {
  std::vector<std::uint32_t> experts;
  std::vector<float> weights;
};

Choice choose(const Router& router, std::vector<float> scores) {
  std::vector<float> room(mamba2::kernels::router_room(router));
  Choice choice{std::vector<std::uint32_t>(router.chosen), std::vector<float>(router.chosen)};
  mamba2::kernels::choose(router, scores.data(), room.data(), choice.experts.data(),
                          choice.weights.data());
  return choice;
}

Router softmax_router(std::size_t experts, std::size_t chosen) {
  return {experts, chosen, 1, 1, false, false, 0.0F, 1.0F, nullptr};
}

using Experts = std::vector<std::uint32_t>;

}  // namespace

TEST_CASE("router: sums of products of any length, to the bound of their rounding") {
  reference::Random random(3);
  for (const std::size_t n : {1U, 3U, 15U, 16U, 17U, 63U, 64U, 65U, 100U, 1000U, 1536U}) {
    CAPTURE(n);
    const auto a = random.normals(n, 0.0, 1.0);
    const auto b = random.normals(n, 0.0, 1.0);
    const std::vector<float> x(a.begin(), a.end()), y(b.begin(), b.end());
    double exact = 0.0;
    double magnitude = 0.0;
    for (std::size_t i = 0; i < n; ++i) {
      const double product = static_cast<double>(x[i]) * static_cast<double>(y[i]);
      exact += product;
      magnitude += std::abs(product);
    }
    const double found = mamba2::kernels::sum_of_products(x.data(), y.data(), n);
    CHECK(std::abs(found - exact) <= magnitude * 0x1p-24 * (8.0 + static_cast<double>(n) / 4.0));
  }
}

TEST_CASE("router: the same experts and weights as the oracle, of every kind") {
  reference::Random random(5);
  for (std::size_t i = 0; i < 4000; ++i) {
    const std::size_t groups = i % 3 == 0 ? 1 + i / 3 % 4 : 1;
    const std::size_t experts = groups * (2 + i % 9);
    reference::Moe oracle;
    oracle.groups = groups;
    oracle.groups_left = 1 + i % groups;
    oracle.chosen = 1 + i % (experts / groups * oracle.groups_left);
    oracle.sigmoid = groups > 1 || i % 2 == 0;
    oracle.normalized = oracle.sigmoid && i % 4 < 2;
    oracle.eps = i % 8 < 4 ? 1e-20 : 1e-6;
    oracle.factor = i % 5 == 0 ? 2.5 : 1.0;
    oracle.d_model = 1;
    oracle.experts.resize(experts);
    // Sigmoids of large scores are the same in FP32, and then the first counts.
    oracle.router = random.normals(experts, 0.0, i % 7 == 0 && !oracle.sigmoid ? 20.0 : 1.0);
    if (oracle.sigmoid && i % 3 > 0) oracle.router_bias = random.normals(experts, 0.0, 0.3);
    for (std::vector<double>* values : {&oracle.router, &oracle.router_bias}) {
      for (double& value : *values) value = static_cast<double>(static_cast<float>(value));
    }
    const std::vector<float> scores(oracle.router.begin(), oracle.router.end());
    const std::vector<float> bias(oracle.router_bias.begin(), oracle.router_bias.end());
    const Router router = {experts,
                           oracle.chosen,
                           groups,
                           oracle.groups_left,
                           oracle.sigmoid,
                           oracle.normalized,
                           static_cast<float>(oracle.eps),
                           static_cast<float>(oracle.factor),
                           bias.empty() ? nullptr : bias.data()};
    const double one = 1.0;
    const std::vector<double> expected = reference::expert_weights(oracle, {&one, 1});
    const Choice found = choose(router, scores);
    CAPTURE(i);
    CHECK(std::is_sorted(found.experts.begin(), found.experts.end()));
    double largest = 0.0;
    for (const double weight : expected) largest = std::max(largest, weight);
    for (std::size_t j = 0; j < oracle.chosen; ++j) {
      const double weight = expected[found.experts[j]];
      CHECK(weight > 0.0);
      CHECK(std::abs(static_cast<double>(found.weights[j]) - weight) <= 2e-6 * largest);
    }
  }
}

TEST_CASE("router: of equal scores the first counts") {
  CHECK(choose(softmax_router(5, 2), {1, 2, 2, 2, 1}).experts == Experts{1, 2});
  CHECK(choose(softmax_router(5, 3), {0, 0, 0, 0, 0}).experts == Experts{0, 1, 2});
  CHECK(choose(softmax_router(4, 4), {3, 1, 2, 0}).experts == Experts{0, 1, 2, 3});
  const Choice equal = choose(softmax_router(3, 2), {7, 7, 7});
  CHECK(equal.weights == std::vector<float>{0.5F, 0.5F});
  // Groups, too.
  const Router grouped = {6, 2, 3, 1, true, false, 0.0F, 1.0F, nullptr};
  CHECK(choose(grouped, {0, 1, 0, 1, 1, 0}).experts == Experts{0, 1});
  CHECK(choose(grouped, {0, 3, 1, 1, 3, 0.5F}).experts == Experts{4, 5});
}

TEST_CASE("router: whatever the scores, there are as many experts, all different") {
  for (const std::vector<float>& scores :
       std::vector<std::vector<float>>{{kNan, kNan, kNan, kNan},
                                       {kNan, 1, kNan, kNan},
                                       {kInfinity, -kInfinity, kInfinity, 0},
                                       {-kInfinity, -kInfinity, -kInfinity, -kInfinity},
                                       {1e38F, -1e38F, 3e38F, kNan}}) {
    for (const bool sigmoid : {false, true}) {
      for (std::size_t chosen = 1; chosen <= 4; ++chosen) {
        for (const std::size_t groups : {1U, 2U}) {
          if (groups == 2 && chosen > 2) continue;
          const Router router = {4, chosen, groups, 1, sigmoid, true, 1e-20F, 1.0F, nullptr};
          Experts experts = choose(router, scores).experts;
          REQUIRE(experts.size() == chosen);
          CHECK(std::adjacent_find(experts.begin(), experts.end()) == experts.end());
          CHECK(std::is_sorted(experts.begin(), experts.end()));
          CHECK(experts.back() < 4);
        }
      }
    }
  }
}
