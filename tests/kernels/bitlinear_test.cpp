// SPDX-License-Identifier: Apache-2.0
#include "mamba2/kernels/bitlinear.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "tests/reference/random_weights.hpp"

TEST_CASE("round_as_bitlinear: codes of halves away from 0, in steps of the largest") {
  for (const std::size_t n : std::vector<std::size_t>{1, 3, 15, 16, 17, 64, 100, 1000}) {
    CAPTURE(n);
    const auto x = reference::to_float(reference::Random(n).normals(n, 0.1, 2.0));
    auto rounded = x;
    mamba2::kernels::round_as_bitlinear(rounded.data(), n);
    float largest = 0.0F;
    for (const float v : x) largest = std::max(largest, std::abs(v));
    const float scale = 127.0F / (largest + 1e-5F);
    for (std::size_t i = 0; i < n; ++i) {
      CHECK(rounded[i] == std::round(x[i] * scale) * (1.0F / scale));
    }
  }
}

TEST_CASE("round_as_bitlinear at what lies between two codes, and at what is no number") {
  // 127 / (63.5 + 1e-5) is 2 less a little, which floats cannot see below.
  const float scale = 127.0F / (63.5F + 1e-5F);
  for (const float at : {0.5F, 1.5F, 2.5F, 100.5F}) {
    for (const float near : {std::nextafter(at, 0.0F), at, std::nextafter(at, 200.0F)}) {
      for (const float sign : {1.0F, -1.0F}) {
        std::vector<float> x(21, sign * near / scale);
        x[20] = 63.5F;
        const float expected = std::round(x[0] * scale) * (1.0F / scale);
        mamba2::kernels::round_as_bitlinear(x.data(), x.size());
        CHECK(x[0] == expected);
        CHECK(x[16] == expected);
      }
    }
  }
  std::vector<float> zeros(5, 0.0F);
  mamba2::kernels::round_as_bitlinear(zeros.data(), zeros.size());
  CHECK(zeros == std::vector<float>(5, 0.0F));
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (std::size_t at = 0; at < 40; at += 13) {
      std::vector<float> x(40, 1.0F);
      x[at] = bad;
      mamba2::kernels::round_as_bitlinear(x.data(), x.size());
      CHECK(std::isnan(x[at]));
    }
  }
}
