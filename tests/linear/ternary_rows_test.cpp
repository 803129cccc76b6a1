// SPDX-License-Identifier: Apache-2.0
#include "mamba2/linear/ternary_rows.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "tests/linear/packed.hpp"

using mamba2::BasicTernaryRows;
using mamba2::kernels::Int8Layout;
using tests::normals;
using tests::Policy;
using tests::Product;
using tests::Variant;

namespace {

Variant ternary(std::size_t cols) {
  Variant all;
  tests::for_each_kernel([&]<class Kernels>() {
    using Kernel = typename Kernels::Ternary;
    all.push_back(
        tests::policy<BasicTernaryRows<Kernel>, Kernel, &Int8Layout::group>("rows", cols));
  });
  return all;
}

/// Rows of -s, 0 and s, each with an s of its own.
std::vector<float> ternary_rows(std::size_t rows, std::size_t cols, std::uint64_t seed) {
  reference::Random random(seed);
  std::vector<float> w(rows * cols);
  for (std::size_t r = 0; r < rows; ++r) {
    const auto scale = static_cast<float>(random.uniform(0.01, 0.1));
    for (std::size_t k = 0; k < cols; ++k) {
      w[r * cols + k] = scale * (static_cast<float>(random.next() % 3) - 1.0F);
    }
    w[r * cols + r % cols] = scale;  // else the row might be all zeros
  }
  return w;
}

}  // namespace

TEST_CASE("Ternary uses the kernels of the instruction set") {
  const std::string kernel(mamba2::kernels::TernaryNative::name);
  MESSAGE("the native ternary kernel is " << kernel);
  CHECK(kernel == tests::native_kernel());
}

TEST_CASE("Ternary products agree with the oracle at any size") {
  const std::vector<std::size_t> row_counts = {1, 3, 16, 17, 33};
  std::size_t sizes = 0;
  for (const std::size_t cols :
       std::vector<std::size_t>{1, 3, 15, 16, 17, 32, 33, 64, 100, 129, 160, 288, 600}) {
    for (const std::size_t tokens : tests::kTokenCounts) {
      const std::size_t rows = row_counts[++sizes % row_counts.size()];
      CAPTURE(rows);
      CAPTURE(cols);
      CAPTURE(tokens);
      tests::check_products(ternary(cols), ternary_rows(rows, cols, sizes),
                            normals(tokens * cols, sizes + 1000), cols);
    }
  }
}

TEST_CASE("Ternary products of a part are the same bits as those of the whole") {
  const std::size_t cols = 160;
  tests::check_parts(ternary(cols), tests::StoredMatrix{ternary_rows(33, cols, 1)}, cols);
}

TEST_CASE("Ternary weights are those of the checkpoint, to the bit; others the nearest") {
  const std::size_t cols = 77;
  const std::size_t rows = 19;
  std::vector<float> w = ternary_rows(rows, cols, 5);
  std::fill_n(w.begin() + 2 * cols, cols, 0.0F);
  for (const Policy& policy : ternary(cols)) {
    INFO(policy.name);
    const Product product(policy, w, {}, cols);
    for (std::size_t r = 0; r < rows; ++r) {
      const std::vector<float> row = product.row(r);
      CHECK(std::equal(row.begin(), row.end(), &w[r * cols]));
    }
    CHECK(Product(policy, std::vector<float>{0.9F, -2.0F, -1.1F, 0.3F}, {}, 4).row(0) ==
          std::vector<float>{0.0F, -2.0F, -2.0F, 0.0F});
  }
}

TEST_CASE("Ternary products are exact where all codes are the largest") {
  const std::size_t cols = 8192;
  const std::size_t rows = 17;
  const std::size_t tokens = 13;
  std::vector<float> w(rows * cols);
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = i / cols % 2 == 0 || i % 2 == 0 ? 1.0F : -1.0F;
  std::vector<float> x(tokens * cols);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = i / cols % 3 != i % 2 ? 127.0F : -127.0F;
  for (const Policy& policy : ternary(cols)) {
    INFO(policy.name);
    Product product(policy, w, x, cols);
    const Product::Expected expected = product.expected();
    std::vector<double> bounds(expected.y.size());
    for (std::size_t i = 0; i < bounds.size(); ++i) bounds[i] = 2e-7 * std::abs(expected.y[i]);
    CHECK(tests::worst_error(product.multiply(), expected.y, bounds) <= 1.0);
  }
}

TEST_CASE("Ternary inputs are rounded as BitLinear does it: halves away from zero") {
  using W = mamba2::TernaryRows;
  std::vector<float> x(33, 0.0F);
  // The scale is 1: 127 / (126.99999 + 1e-5).
  x[0] = -126.99999F;
  const float almost = std::nextafter(0.5F, 0.0F);
  const std::vector<float> some = {0.5F,  1.5F,   2.5F,    -0.5F,     -1.5F,
                                   -2.5F, almost, -almost, 1.4999999F};
  std::copy(some.begin(), some.end(), x.begin() + 1);
  REQUIRE(mamba2::kernels::bitlinear_scale(x.data(), x.size()) == 1.0F);
  alignas(64) std::byte input[W::input_bytes(33)];
  W::prepare(x.data(), x.size(), input);
  const std::int8_t* codes = Int8Layout::codes(input);
  const std::vector<int> expected = {-127, 1, 2, 3, -1, -2, -3, 0, 0, 1};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CAPTURE(i);
    CHECK(int{codes[i]} == expected[i]);
  }
  const Int8Layout layout = W::layout(33);
  CHECK(*layout.scales(input) == 1.0F);
  CHECK(*layout.sums(input) == -126);
  // Nothing but zeros, and what is no number.
  std::fill(x.begin(), x.end(), 0.0F);
  W::prepare(x.data(), x.size(), input);
  CHECK(*layout.sums(input) == 0);
  CHECK(std::isfinite(*layout.scales(input)));
  for (const float bad :
       {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    x[3] = bad;
    W::prepare(x.data(), x.size(), input);
    CHECK(std::isnan(*layout.scales(input)));
  }
}
