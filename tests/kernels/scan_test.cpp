// SPDX-License-Identifier: Apache-2.0
#include "mamba2/kernels/scan.hpp"

#include <doctest/doctest.h>

#include <limits>

#include "tests/reference/compare.hpp"
#include "tests/reference/random_weights.hpp"

using mamba2::ConstRows;
using mamba2::MutableRows;
using reference::max_abs_difference;
using reference::to_double;
using reference::to_float;

namespace {

struct Shape {
  std::size_t nheads, headdim, d_state, ngroups, tokens;
};

constexpr float kInfinity = std::numeric_limits<float>::infinity();

}  // namespace

TEST_CASE("selective_scan agrees with the oracle at any size, from any state") {
  for (const Shape s : {Shape{1, 1, 1, 1, 1}, Shape{2, 3, 17, 1, 5}, Shape{6, 5, 16, 3, 4},
                        Shape{4, 7, 33, 2, 3}, Shape{3, 64, 128, 1, 40}}) {
    CAPTURE(s.d_state);
    CAPTURE(s.nheads);
    const std::size_t channels = s.nheads * s.headdim;
    reference::Random random(channels);
    mamba2::Config config;
    config.d_inner = config.d_ssm = channels;
    config.headdim = s.headdim;
    config.d_state = s.d_state;
    config.ngroups = s.ngroups;
    config.D_has_hdim = true;

    const auto x = to_float(random.normals(s.tokens * channels, 0.0, 1.0));
    const auto B = to_float(random.normals(s.tokens * s.ngroups * s.d_state, 0.0, 1.0));
    const auto C = to_float(random.normals(s.tokens * s.ngroups * s.d_state, 0.0, 1.0));
    const auto delta = to_float(random.uniforms(s.tokens * s.nheads, 1e-3, 0.5));
    const auto A_log = random.uniforms(s.nheads, 0.0, 2.77);
    const auto D = to_float(random.normals(channels, 1.0, 0.5));
    auto state = to_float(random.normals(channels * s.d_state, 0.0, 1.0));
    std::vector<float> A;
    for (const double a : A_log) A.push_back(static_cast<float>(-std::exp(a)));

    auto expected_state = to_double(state);
    const auto expected = reference::selective_scan(
        config, A_log, to_double(D), {to_double(x), to_double(B), to_double(C), to_double(delta)},
        expected_state);

    const mamba2::kernels::Ssm ssm = {s.nheads, s.headdim, s.d_state, s.ngroups, A.data(),
                                      D.data(), nullptr,   0.0F,      kInfinity};
    std::vector<float> y(x.size());
    const std::size_t bc = s.ngroups * s.d_state;
    mamba2::kernels::selective_scan(
        ssm, ConstRows(x.data(), s.tokens, channels), ConstRows(B.data(), s.tokens, bc),
        ConstRows(C.data(), s.tokens, bc), ConstRows(delta.data(), s.tokens, s.nheads),
        state.data(), MutableRows(y.data(), s.tokens, channels));
    // y sums d_state products of magnitude up to ~10; the bound is relative to the largest.
    CHECK(max_abs_difference(y, expected) < 2e-6 * (1.0 + reference::max_abs(expected)));
    CHECK(max_abs_difference(state, expected_state) < 2e-6 * reference::max_abs(expected_state));
  }
}

TEST_CASE("step_sizes: softplus with its threshold and its tail, then the bounds") {
  const std::vector<float> dt = {-30.0F, -20.0F, -1.0F, 0.0F, 19.9F, 20.1F, 100.0F};
  const std::vector<float> dt_bias(dt.size(), 0.25F);
  std::vector<float> delta(dt.size());
  const auto run = [&](float low, float high) {
    const mamba2::kernels::Ssm ssm = {dt.size(),      1,   1,   1, nullptr, nullptr,
                                      dt_bias.data(), low, high};
    mamba2::kernels::step_sizes(ssm, ConstRows(dt.data(), 1, dt.size()),
                                MutableRows(delta.data(), 1, dt.size()));
  };
  run(0.0F, kInfinity);
  for (std::size_t i = 0; i < dt.size(); ++i) {
    const double expected = reference::softplus(static_cast<double>(dt[i]) + 0.25);
    CHECK(static_cast<double>(delta[i]) == doctest::Approx(expected).epsilon(1e-6));
  }
  CHECK(delta[0] > 0.0F);
  run(0.01F, 0.1F);
  CHECK(delta.front() == 0.01F);
  CHECK(delta.back() == 0.1F);
}

TEST_CASE("silu at the ends of the range") {
  CHECK(mamba2::kernels::silu(0.0F) == 0.0F);
  CHECK(mamba2::kernels::silu(200.0F) == 200.0F);
  CHECK(std::abs(mamba2::kernels::silu(-200.0F)) == 0.0F);
}
