// SPDX-License-Identifier: Apache-2.0
#include "mamba2/kernels/hadamard.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>

#include "tests/reference/compare.hpp"
#include "tests/reference/random_weights.hpp"

TEST_CASE("hadamard is the product with the matrix, block by block, and its own inverse") {
  struct Size {
    std::size_t n, widest, width;
  };
  for (const Size s :
       {Size{1, 256, 1}, Size{7, 256, 1}, Size{6, 256, 2}, Size{24, 256, 8}, Size{24, 4, 4},
        Size{48, 256, 16}, Size{96, 256, 32}, Size{1536, 256, 256}, Size{512, 128, 128}}) {
    CAPTURE(s.n);
    CAPTURE(s.widest);
    reference::Random random(s.n);
    const auto x = reference::to_float(random.normals(s.n, 0.0, 1.0));
    std::vector<double> expected(s.n);
    for (std::size_t i = 0; i < s.n; ++i) {
      const std::size_t block = i / s.width * s.width;
      for (std::size_t j = 0; j < s.width; ++j) {
        const double sign = std::popcount((i - block) & j) % 2 == 0 ? 1.0 : -1.0;
        expected[i] += sign * static_cast<double>(x[block + j]);
      }
      expected[i] /= std::sqrt(static_cast<double>(s.width));
    }
    auto weights = x;
    mamba2::kernels::hadamard_of_weights(weights.data(), s.n, s.widest);
    CHECK(reference::max_abs_difference(weights, expected) < 2e-6);
    auto rotated = x;
    mamba2::kernels::hadamard(rotated.data(), s.n, s.widest);
    CHECK(reference::max_abs_difference(rotated, expected) < 2e-6);
    mamba2::kernels::hadamard(rotated.data(), s.n, s.widest);
    CHECK(reference::max_abs_difference(rotated, reference::to_double(x)) < 2e-6);
  }
}
