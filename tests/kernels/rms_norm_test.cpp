// SPDX-License-Identifier: Apache-2.0
#include "mamba2/kernels/rms_norm.hpp"

#include <doctest/doctest.h>

#include "tests/reference/compare.hpp"
#include "tests/reference/random_weights.hpp"

using reference::max_abs_difference;
using reference::to_double;
using reference::to_float;

namespace {

constexpr std::size_t kSizes[] = {1, 3, 15, 16, 17, 64, 127, 384};
constexpr float kEps = 1e-5F;
constexpr double kBound = 2e-6;  // a few roundings of values of magnitude up to 4

}  // namespace

TEST_CASE("rms_norm agrees with the oracle at any size") {
  for (const std::size_t n : kSizes) {
    CAPTURE(n);
    reference::Random random(n);
    const auto x = to_float(random.normals(n, 0.5, 1.0));
    const auto weight = to_float(random.normals(n, 1.0, 0.3));
    std::vector<float> out(x.size());
    mamba2::kernels::rms_norm(x.data(), weight.data(), n, kEps, out.data());
    const auto expected =
        reference::rms_norm(to_double(x), to_double(weight), n, static_cast<double>(kEps));
    CHECK(max_abs_difference(out, expected) < kBound);
  }
}

TEST_CASE("rms_norm of zeros is zeros, and epsilon stands inside the square root") {
  const std::vector<float> zeros(5);
  const std::vector<float> weight(5, 2.0F);
  std::vector<float> out(5, 1.0F);
  mamba2::kernels::rms_norm(zeros.data(), weight.data(), 5, kEps, out.data());
  CHECK(out == zeros);
  CHECK(mamba2::kernels::inverse_rms(1e-6F, 1, 1e-6F) == doctest::Approx(1.0 / std::sqrt(2e-6)));
}

TEST_CASE(
    "the gated norm in its two steps agrees with the oracle: groups, order of gate and norm") {
  for (const std::size_t group : kSizes) {
    for (const std::size_t ngroups : std::vector<std::size_t>{1, 2, 3}) {
      for (const bool norm_before_gate : {false, true}) {
        CAPTURE(group);
        CAPTURE(ngroups);
        CAPTURE(norm_before_gate);
        const std::size_t headdim = group % 3 == 0 ? group / 3 : group;
        const std::size_t n = group * ngroups;
        reference::Random random(n);
        const auto y = to_float(random.normals(n, 0.0, 1.0));
        const auto z = to_float(random.normals(n, 0.0, 2.0));
        const auto weight = to_float(random.normals(n, 1.0, 0.3));
        std::vector<float> out = z;
        const mamba2::kernels::GatedNorm norm = {weight.data(), n / headdim, headdim,
                                                 ngroups,       kEps,        norm_before_gate};
        std::vector<float> squares(norm.nheads);
        for (std::size_t h = 0; h < norm.nheads; ++h) {
          squares[h] = mamba2::kernels::gate_head(norm, &y[h * headdim], &out[h * headdim]);
        }
        mamba2::kernels::gated_norm(norm, squares.data(), y.data(), out.data());
        mamba2::Config config;
        config.d_ssm = n;
        config.ngroups = ngroups;
        config.norm_before_gate = norm_before_gate;
        const auto expected =
            reference::gated_rms_norm(config, to_double(weight), to_double(y), to_double(z), {});
        CHECK(max_abs_difference(out, expected) < 4 * kBound);
      }
    }
  }
}

TEST_CASE("gate is y * silu(z)") {
  const std::vector<float> y = {1.0F, -2.0F, 3.0F};
  const std::vector<float> z = {0.5F, -100.0F, 100.0F};
  std::vector<float> out(3);
  const float squares = mamba2::kernels::gate(y.data(), z.data(), 3, out.data());
  CHECK(out[0] == doctest::Approx(0.5 / (1.0 + std::exp(-0.5))));
  CHECK(std::abs(out[1]) < 1e-30);
  CHECK(out[2] == doctest::Approx(300.0));
  CHECK(squares == doctest::Approx(out[0] * out[0] + 90000.0F));
}

TEST_CASE("gate_by_gelu is y * gelu(z), of any number of values") {
  reference::Random random(9);
  for (std::size_t n = 0; n < 40; ++n) {
    std::vector<float> y(n + 1), z(n + 1), out(n + 1, 77.0F);
    for (float& value : y) value = static_cast<float>(random.uniform(-3.0, 3.0));
    for (float& value : z) value = static_cast<float>(random.uniform(-6.0, 6.0));
    mamba2::kernels::gate_by_gelu(y.data(), z.data(), n, out.data());
    for (std::size_t i = 0; i < n; ++i) {
      const auto v = static_cast<double>(z[i]);
      const double expected = static_cast<double>(y[i]) * 0.5 * v * std::erfc(-v / std::sqrt(2.0));
      CHECK(std::abs(out[i] - expected) < 3e-6);
    }
    CHECK(out[n] == 77.0F);
    mamba2::kernels::gate_by_gelu(y.data(), z.data(), n, y.data());
    CHECK(std::equal(out.begin(), out.end() - 1, y.begin()));
  }
}
