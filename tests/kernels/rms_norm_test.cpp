// SPDX-License-Identifier: Apache-2.0
#include "mamba2/kernels/rms_norm.hpp"

#include <doctest/doctest.h>

#include "tests/reference/compare.hpp"
#include "tests/reference/random_weights.hpp"

using mamba2::ConstRows;
using mamba2::MutableRows;
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
    const std::size_t tokens = 3;
    const auto x = to_float(random.normals(tokens * n, 0.5, 1.0));
    const auto weight = to_float(random.normals(n, 1.0, 0.3));
    std::vector<float> out(x.size());
    mamba2::kernels::rms_norm(ConstRows(x.data(), tokens, n), weight.data(), kEps,
                              MutableRows(out.data(), tokens, n));
    const auto expected =
        reference::rms_norm(to_double(x), to_double(weight), n, static_cast<double>(kEps));
    CHECK(max_abs_difference(out, expected) < kBound);
  }
}

TEST_CASE("rms_norm of zeros is zeros, and epsilon stands inside the square root") {
  const std::vector<float> zeros(5);
  const std::vector<float> weight(5, 2.0F);
  std::vector<float> out(5, 1.0F);
  mamba2::kernels::rms_norm(ConstRows(zeros.data(), 1, 5), weight.data(), kEps,
                            MutableRows(out.data(), 1, 5));
  CHECK(out == zeros);
  const float tiny = 1e-3F;
  CHECK(mamba2::kernels::inverse_rms(&tiny, 1, 1e-6F) == doctest::Approx(1.0 / std::sqrt(2e-6)));
}

TEST_CASE("gated_rms_norm agrees with the oracle: groups, order of gate and norm, in place") {
  for (const std::size_t group : kSizes) {
    for (const std::size_t ngroups : std::vector<std::size_t>{1, 2, 3}) {
      for (const bool norm_before_gate : {false, true}) {
        CAPTURE(group);
        CAPTURE(ngroups);
        CAPTURE(norm_before_gate);
        const std::size_t n = group * ngroups;
        const std::size_t tokens = 2;
        reference::Random random(n);
        const auto y = to_float(random.normals(tokens * n, 0.0, 1.0));
        const auto z = to_float(random.normals(tokens * n, 0.0, 2.0));
        const auto weight = to_float(random.normals(n, 1.0, 0.3));
        std::vector<float> out = y;
        const MutableRows rows(out.data(), tokens, n);
        mamba2::kernels::gated_rms_norm({weight.data(), ngroups, kEps, norm_before_gate}, rows,
                                        ConstRows(z.data(), tokens, n), rows);
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
  mamba2::kernels::gate(ConstRows(y.data(), 1, 3), ConstRows(z.data(), 1, 3),
                        MutableRows(out.data(), 1, 3));
  CHECK(out[0] == doctest::Approx(0.5 / (1.0 + std::exp(-0.5))));
  CHECK(std::abs(out[1]) < 1e-30);
  CHECK(out[2] == doctest::Approx(300.0));
}
