// SPDX-License-Identifier: Apache-2.0
#include "mamba2/core/fixed_exp.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

using mamba2::detail::fixed_exp;
using mamba2::detail::kFixedOne;

TEST_CASE("fixed_exp is exp(-x) within two units of 2^-32") {
  double worst = 0.0;
  for (double x = 0.0; x < 23.0; x += 1.0 / 1024.0) {
    const double expected = std::exp(-x) * static_cast<double>(kFixedOne);
    worst = std::max(worst, std::abs(static_cast<double>(fixed_exp(x)) - expected));
  }
  CHECK(worst < 2.0);
  CHECK(fixed_exp(0.0) == kFixedOne);
}

TEST_CASE("fixed_exp of what has no probability is zero") {
  CHECK(fixed_exp(23.0) == 0);
  CHECK(fixed_exp(std::numeric_limits<double>::infinity()) == 0);
  CHECK(fixed_exp(std::numeric_limits<double>::quiet_NaN()) == 0);
  CHECK(fixed_exp(1e300) == 0);
}

TEST_CASE("fixed_exp gives these integers on every machine") {
  CHECK(fixed_exp(0.5) == 2605029347U);
  CHECK(fixed_exp(1.0) == 1580030169U);
  CHECK(fixed_exp(10.0) == 194991U);
}
