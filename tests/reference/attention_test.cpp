// SPDX-License-Identifier: Apache-2.0
// Parts of the oracle of hybrid models against numbers worked out by hand.
#include "tests/reference/attention.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <vector>

#include "tests/reference/causal_conv.hpp"
#include "tests/reference/compare.hpp"
#include "tests/reference/mlp.hpp"
#include "tests/reference/random_weights.hpp"
#include "tests/reference/rope.hpp"

namespace {

using namespace reference;
using Doubles = std::vector<double>;

TEST_CASE("rope: halves turn, the rest stays") {
  Doubles head = {1.0, 2.0, 3.0, 4.0, 5.0};
  rotate({.width = 4, .base = 100.0}, 3, head.data());  // by 3 and by 3 / 10
  CHECK(max_abs_difference(head, Doubles{std::cos(3.0) - 3.0 * std::sin(3.0),
                                         2.0 * std::cos(0.3) - 4.0 * std::sin(0.3),
                                         3.0 * std::cos(3.0) + std::sin(3.0),
                                         4.0 * std::cos(0.3) + 2.0 * std::sin(0.3), 5.0}) < 1e-15);
  Doubles first = {1.0, 2.0};
  rotate({.width = 2}, 0, first.data());
  CHECK(first == Doubles{1.0, 2.0});
  rotate({.width = 0}, 5, first.data());
  CHECK(first == Doubles{1.0, 2.0});
}

TEST_CASE("causal_conv: the last tap meets the newest token") {
  Doubles window = {1.0, 10.0, 2.0, 20.0};  // two tokens of two channels
  const Doubles y =
      causal_conv({0.5, 1.0, 2.0, 1.0, 0.0, -1.0}, {0.25, 0.0}, 3, {3.0, 30.0, 4.0, 40.0}, window);
  CHECK(y == Doubles{0.5 + 2.0 + 6.0 + 0.25, 10.0 - 30.0, 1.0 + 3.0 + 8.0 + 0.25, 20.0 - 40.0});
  CHECK(window == Doubles{3.0, 30.0, 4.0, 40.0});
}

TEST_CASE("mlp: both kinds") {
  Mlp m;
  m.d_model = m.width = 1;
  m.gate = {2.0};
  m.up = {3.0};
  m.up_bias = {0.5};
  m.down = {4.0};
  m.down_bias = {-1.0};
  const double gate = 2.0 / (1.0 + std::exp(-2.0));
  const double other = -2.0 / (1.0 + std::exp(2.0));
  CHECK(max_abs_difference(mlp(m, Doubles{1.0, -1.0}),
                           Doubles{4.0 * gate * 3.5 - 1.0, 4.0 * other * -2.5 - 1.0}) < 1e-15);
  m.kind = Mlp::Kind::relu2;
  CHECK(mlp(m, Doubles{1.0, -1.0}) == Doubles{4.0 * 12.25 - 1.0, -1.0});
}

TEST_CASE("attention: two heads of one key head, by hand") {
  Attention a;
  a.d_model = 1;
  a.heads = 2;
  a.kv_heads = a.head_dim = 1;
  a.scale = 0.5;
  a.q = {1.0, -2.0};
  a.k = {1.0};
  a.v = {3.0};
  a.o = {1.0, 10.0};
  a.o_bias = {7.0};
  AttentionState state(a);
  const Doubles y = attention(a, Doubles{1.0, 2.0}, state);
  // The second token: scores 0.5 * 2 * (1, 2) and 0.5 * -4 * (1, 2) over values 3 and 6.
  const double head0 =
      (3.0 * std::exp(1.0) + 6.0 * std::exp(2.0)) / (std::exp(1.0) + std::exp(2.0));
  const double head1 =
      (3.0 * std::exp(-2.0) + 6.0 * std::exp(-4.0)) / (std::exp(-2.0) + std::exp(-4.0));
  CHECK(max_abs_difference(y, Doubles{3.0 + 30.0 + 7.0, head0 + 10.0 * head1 + 7.0}) < 1e-14);
  CHECK(state.keys == Doubles{1.0, 2.0});
  CHECK(state.values == Doubles{3.0, 6.0});
}

TEST_CASE("attention: norms of queries and keys come before RoPE, one for all heads") {
  Random random(1);
  Attention a;
  a.d_model = 6;
  a.heads = 4;
  a.kv_heads = 2;
  a.head_dim = 4;
  a.scale = 1.0;
  a.rope.width = 4;
  a.qk_norm = true;
  a.qk_norm_eps = 0.0;
  a.q = random.normals(16 * 6, 0.0, 0.5);
  a.k = random.normals(8 * 6, 0.0, 0.5);
  a.v = random.normals(8 * 6, 0.0, 0.5);
  a.o = random.normals(6 * 16, 0.0, 0.5);
  a.q_norm = a.k_norm = {0.5, 1.0, 2.0, 0.25};
  const Doubles u = random.normals(5 * 6, 0.0, 1.0);
  AttentionState state(a);
  const Doubles y = attention(a, u, state);

  // The first key: nothing has turned it.
  const Doubles k = linear(a.k, {}, u, 6);
  for (const std::size_t head : {0U, 4U}) {
    const double rms = std::sqrt(dot(&k[head], &k[head], 4) / 4.0);
    for (std::size_t i = 0; i < 4; ++i) {
      CHECK(state.keys[head + i] == doctest::Approx(k[head + i] / rms * a.k_norm[i]));
    }
  }
  // The length of what is normed does not matter, the weights do.
  Attention longer = a;
  for (double& value : longer.q) value *= 8.0;
  AttentionState other(a);
  CHECK(max_abs_difference(attention(longer, u, other), y) < 1e-14);
  longer.q_norm[2] = 1.0;
  AttentionState third(a);
  CHECK(max_abs_difference(attention(longer, u, third), y) > 1e-3);
}

}  // namespace
