// SPDX-License-Identifier: Apache-2.0
#include "mamba2/kernels/activations.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

#include "mamba2/kernels/rms_norm.hpp"
#include "tests/constants.hpp"
#include "tests/reference/compare.hpp"
#include "tests/reference/mamba2_reference.hpp"
#include "tests/reference/random_weights.hpp"

using mamba2::kernels::Floats;
using mamba2::kernels::kLanes;

namespace {

/// In units of the last place of the float nearest to the expected value.
double ulps(float found, double expected) {
  const int exponent = std::max(std::ilogb(static_cast<float>(expected)), -126);
  return std::abs(static_cast<double>(found) - expected) / std::ldexp(1.0, exponent - 23);
}

float at(Floats (*function)(const Floats&), float v) {
  return mamba2::kernels::first_lane(function(Floats(v)));
}

/// The largest error over an even sweep of [from, to].
double worst(Floats (*function)(const Floats&), double (*exact)(double), double from, double to) {
  constexpr int kSteps = 1 << 15;
  double largest = 0.0;
  for (int i = 0; i < kSteps; ++i) {
    std::array<float, kLanes> v;
    for (std::size_t j = 0; j < kLanes; ++j) {
      const double part = (i + static_cast<double>(j) / kLanes) / kSteps;
      v[j] = static_cast<float>(from + (to - from) * part);
    }
    std::array<float, kLanes> found;
    mamba2::kernels::store(function(mamba2::kernels::load(v.data())), found.data());
    for (std::size_t j = 0; j < kLanes; ++j) {
      largest = reference::worse(largest, ulps(found[j], exact(static_cast<double>(v[j]))));
    }
  }
  return largest;
}

double exact_exp(double v) { return std::exp(v); }
double exact_gelu(double v) { return 0.5 * v * std::erfc(-v / std::sqrt(2.0)); }
double exact_silu(double v) { return v / (1.0 + std::exp(-v)); }
double exact_softplus(double v) { return std::max(v, 0.0) + std::log1p(std::exp(-std::abs(v))); }

}  // namespace

TEST_CASE("exp, silu and softplus keep the bounds that they state") {
  const auto check = [](const std::string& name, auto function, auto exact, double bound) {
    for (const double range : {1.0, 10.0, 87.0}) {
      const double error = worst(function, exact, -range, range);
      MESSAGE(name << " in +-" << range << ": " << error << " ulp");
      CHECK(error <= bound);
    }
  };
  check("exp", mamba2::kernels::exp, exact_exp, 1.01);
  check("silu", mamba2::kernels::silu, exact_silu, 4.0);
  check("softplus", mamba2::kernels::softplus, exact_softplus, 4.0);
}

TEST_CASE("gelu keeps the bounds that it states") {
  using mamba2::kernels::gelu;
  const double bounds[][3] = {{-1.0, 30.0, 8.0}, {-4.0, -1.0, 12.0}, {-13.0, -4.0, 90.0}};
  for (const auto& [from, to, bound] : bounds) {
    const double error = worst(gelu, exact_gelu, from, to);
    MESSAGE("gelu in " << from << ".." << to << ": " << error << " ulp");
    CHECK(error <= bound);
  }
  // The approximation by tanh is off by 4.7e-4.
  for (const float v : {-2.3F, -0.7F, 0.9F, 2.3F}) {
    CHECK(std::abs(at(gelu, v) - exact_gelu(static_cast<double>(v))) < 1e-6);
  }
  CHECK(at(gelu, 0.0F) == 0.0F);
  CHECK(at(gelu, 1e30F) == 1e30F);
  CHECK(std::abs(at(gelu, -40.0F)) == 0.0F);
  CHECK(std::abs(at(gelu, -1e30F)) == 0.0F);
  CHECK(std::isnan(at(gelu, std::numeric_limits<float>::quiet_NaN())));
}

TEST_CASE("the square of ReLU is rounded once") {
  using mamba2::kernels::relu2;
  reference::Random random(5);
  for (std::size_t n = 0; n < 40; ++n) {
    std::vector<float> x(n + 1);
    for (float& value : x) value = static_cast<float>(random.uniform(-9.0, 9.0));
    std::vector<float> out(n + 1, 77.0F);
    relu2(x.data(), n, out.data());
    for (std::size_t i = 0; i < n; ++i) CHECK(out[i] == (x[i] > 0.0F ? x[i] * x[i] : 0.0F));
    CHECK(out[n] == 77.0F);
    relu2(x.data(), n, x.data());
    CHECK(std::equal(out.begin(), out.end() - 1, x.begin()));
  }
  CHECK(at(relu2, -tests::kInfinity) == 0.0F);
  CHECK(at(relu2, tests::kInfinity) == tests::kInfinity);
  CHECK(at(relu2, 3e19F) == tests::kInfinity);
  CHECK(std::isnan(at(relu2, std::numeric_limits<float>::quiet_NaN())));
}

TEST_CASE("the ends of the range") {
  using mamba2::kernels::exp;
  using mamba2::kernels::silu;
  using mamba2::kernels::softplus;
  CHECK(at(exp, 0.0F) == 1.0F);
  CHECK(at(exp, -88.0F) == 0.0F);
  CHECK(at(exp, -tests::kInfinity) == 0.0F);
  CHECK(at(exp, 1000.0F) == at(exp, 88.0F));
  CHECK(std::isnan(at(exp, tests::kNan)));

  CHECK(at(silu, 0.0F) == 0.0F);
  CHECK(at(silu, 200.0F) == 200.0F);
  CHECK(std::abs(at(silu, -200.0F)) == 0.0F);
  CHECK(std::isnan(at(silu, tests::kNan)));

  CHECK(at(softplus, 100.0F) == 100.0F);
  CHECK(at(softplus, -80.0F) > 0.0F);
  CHECK(at(softplus, -200.0F) == 0.0F);
}
