// SPDX-License-Identifier: Apache-2.0
#include "mamba2/kernels/hadamard.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <string>
#include <vector>

#include "tests/reference/compare.hpp"
#include "tests/reference/random_weights.hpp"

namespace kernels = mamba2::kernels;

namespace {

/// The element of the matrix, not yet orthonormal, of so wide a block.
double element(std::size_t width, std::size_t i, std::size_t j) {
  const std::size_t base = kernels::hadamard_base(width);
  const std::size_t power = width / base;
  const double sign = std::popcount(i % power & j % power) % 2 == 0 ? 1.0 : -1.0;
  if (base == 12) return sign * static_cast<double>(kernels::kBase12[i / power][j / power]);
  if (base == 40) return sign * static_cast<double>(kernels::kBase40[i / power][j / power]);
  return sign;
}

/// The product with it, block by block, orthonormal.
std::vector<double> product(const std::vector<float>& x, std::size_t width) {
  std::vector<double> y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t block = i / width * width;
    for (std::size_t j = 0; j < width; ++j) {
      y[i] += element(width, i - block, j) * static_cast<double>(x[block + j]);
    }
    y[i] /= std::sqrt(static_cast<double>(width));
  }
  return y;
}

template <std::size_t kOrder>
void check_orthogonal(const kernels::BaseMatrix<kOrder>& H) {
  for (std::size_t a = 0; a < kOrder; ++a) {
    for (std::size_t b = 0; b < kOrder; ++b) {
      double sum = 0.0;
      for (std::size_t i = 0; i < kOrder; ++i) {
        CHECK(std::fabs(H[a][i]) == 1.0F);
        sum += static_cast<double>(H[a][i]) * static_cast<double>(H[b][i]);
      }
      CHECK(sum == (a == b ? static_cast<double>(kOrder) : 0.0));
    }
  }
}

/// Signs as text, a row.
template <std::size_t kOrder>
std::string signs(const kernels::BaseMatrix<kOrder>& H, std::size_t row) {
  std::string text;
  for (const float x : H[row]) text += x > 0.0F ? '+' : '-';
  return text;
}

}  // namespace

TEST_CASE("hadamard is the product with the matrix, block by block, and can be undone") {
  struct Size {
    std::size_t n, width;
  };
  for (const Size s :
       {Size{1, 1},  {7, 1},       {6, 2},       {24, 8},   {24, 4},    {48, 16},    {96, 32},
        {1536, 256}, {512, 128},   {4096, 4096}, {12, 12},  {36, 12},   {48, 24},    {192, 192},
        {768, 768},  {3072, 1536}, {40, 40},     {240, 80}, {640, 640}, {5120, 5120}}) {
    CAPTURE(s.n);
    CAPTURE(s.width);
    reference::Random random(s.n);
    const auto x = reference::to_float(random.normals(s.n, 0.0, 1.0));
    const std::vector<double> expected = product(x, s.width);
    auto weights = x;
    kernels::hadamard_of_weights(weights.data(), s.n, s.width);
    CHECK(reference::max_abs_difference(weights, expected) < 4e-6);
    auto rotated = x;
    kernels::hadamard(rotated.data(), s.n, s.width);
    CHECK(reference::max_abs_difference(rotated, expected) < 4e-6);
    kernels::hadamard_of_weights<true>(weights.data(), s.n, s.width);
    CHECK(reference::max_abs_difference(weights, reference::to_double(x)) < 4e-6);
    if (std::has_single_bit(s.width)) {
      kernels::hadamard(rotated.data(), s.n, s.width);
      CHECK(reference::max_abs_difference(rotated, reference::to_double(x)) < 4e-6);
    }
  }
}

TEST_CASE("the matrices of orders 12 and 40 are those that Quamba2 rotates by") {
  check_orthogonal(kernels::kBase12);
  check_orthogonal(kernels::kBase40);
  // The first rows, and one inside; tests/quamba2_test.py has the rest, by the logits of a model.
  CHECK(signs(kernels::kBase12, 0) == "+-++++++++++");
  CHECK(signs(kernels::kBase12, 1) == "--+-+-+-+-+-");
  CHECK(signs(kernels::kBase40, 0) == "+-------------------+-------------------");
  CHECK(signs(kernels::kBase40, 19).substr(0, 20) == "+-++----+-+-++++--++");
}

TEST_CASE("the widths that there are, and the widest that divides") {
  CHECK(kernels::hadamard_base(1) == 1);
  CHECK(kernels::hadamard_base(256) == 1);
  CHECK(kernels::hadamard_base(12) == 12);
  CHECK(kernels::hadamard_base(1536) == 12);
  CHECK(kernels::hadamard_base(5120) == 40);
  for (const std::size_t none : std::vector<std::size_t>{0, 3, 6, 20, 36, 120, 7168}) {
    CHECK(kernels::hadamard_base(none) == 0);
  }
  struct Widest {
    std::size_t n, width;
  };
  for (const Widest w : {Widest{1536, 1536},
                         {3072, 3072},
                         {4096, 4096},
                         {5120, 5120},
                         {768, 768},
                         {7168, 1024},
                         {6, 2},
                         {20, 4},
                         {40, 40},
                         {15, 1},
                         {3360, 160}}) {
    CAPTURE(w.n);
    CHECK(kernels::widest_hadamard(w.n) == w.width);
  }
}
