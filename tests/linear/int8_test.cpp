// SPDX-License-Identifier: Apache-2.0
#include "mamba2/linear/int8.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "tests/linear/packed.hpp"
#include "tests/reference/compare.hpp"

using mamba2::BasicInt8;
using mamba2::kernels::Int8Layout;
using tests::normals;
using tests::Policy;
using tests::Product;
using tests::Variant;

namespace {

template <std::size_t kGroup>
Variant variant(std::size_t cols) {
  Variant all;
  tests::for_each_kernel([&]<class Kernels>() {
    using Int8 = typename Kernels::Int8;
    all.push_back(tests::policy<BasicInt8<Int8, kGroup, 0>, Int8, &Int8Layout::group>(
        "group " + std::to_string(kGroup), cols));
  });
  return all;
}

std::vector<Variant> int8_variants(std::size_t cols) {
  return {variant<0>(cols), variant<32>(cols), variant<128>(cols)};
}

}  // namespace

TEST_CASE("Int8 uses the kernels of the instruction set") {
  const std::string kernel(mamba2::kernels::Int8Native::name);
  MESSAGE("the native INT8 kernel is " << kernel);
  CHECK(kernel == tests::native_kernel());
}

TEST_CASE("Int8 products agree with the oracle at any size") {
  const std::vector<std::size_t> row_counts = {1, 3, 16, 17, 33};
  std::size_t sizes = 0;
  for (const std::size_t cols : std::vector<std::size_t>{1, 3, 17, 31, 32, 33, 64, 100, 129, 256}) {
    for (const std::size_t tokens : tests::kTokenCounts) {
      const std::size_t rows = row_counts[++sizes % row_counts.size()];
      CAPTURE(rows);
      CAPTURE(cols);
      CAPTURE(tokens);
      const std::vector<float> w = normals(rows * cols, sizes);
      const std::vector<float> x = normals(tokens * cols, sizes + 1000);
      for (const Variant& v : int8_variants(cols)) tests::check_products(v, w, x, cols);
    }
  }
}

TEST_CASE("Int8 products of a part are the same bits as those of the whole") {
  const std::size_t cols = 160;
  for (const Variant& v : int8_variants(cols)) tests::check_parts(v, cols);
}

TEST_CASE("Int8 products are exact where all codes are the largest") {
  const std::size_t cols = 256;
  const std::size_t rows = 17;
  const std::size_t tokens = 13;
  std::vector<float> w(rows * cols);
  std::vector<float> x(tokens * cols);
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = i / cols % 3 != i % 2 ? 127.0F : -127.0F;
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = i / cols % 3 != i % 2 ? 127.0F : -127.0F;
  for (const Variant& v : int8_variants(cols)) {
    for (const Policy& policy : v) {
      INFO(policy.name);
      Product product(policy, w, x, cols);
      // All numbers are whole, and small enough for FP32.
      CHECK(tests::worst_error(product.multiply(), product.expected().y,
                               std::vector<double>(tokens * product.stride())) == 0.0);
    }
  }
}

TEST_CASE("Int8 products of zeros, and of huge and tiny numbers") {
  const std::size_t cols = 100;
  const std::size_t rows = 33;
  std::vector<float> w = normals(rows * cols, 1);
  std::fill_n(&w[2 * cols], cols, 0.0F);
  std::fill_n(&w[17 * cols], cols, 0.0F);
  std::vector<float> x = normals(7 * cols, 2);
  for (std::size_t k = 0; k < cols; ++k) {
    x[k] = 0.0F;
    x[1 * cols + k] *= 1e30F;
    x[2 * cols + k] *= 1e-30F;
    // Groups of different magnitudes, one of them of zeros.
    x[3 * cols + k] *= k < 32 ? 1e-20F : k < 64 ? 0.0F : 1e20F;
    // One column that counts.
    x[4 * cols + k] = k == 99 ? -1e10F : 0.0F;
    // So small that no scale has an inverse, with zeros between.
    x[5 * cols + k] = k % 3 == 0 ? 0.0F : k % 3 == 1 ? 1e-38F : -1e-44F;
  }
  for (const Variant& v : int8_variants(cols)) {
    tests::check_products(v, w, x, cols);
    for (const Policy& policy : v) {
      INFO(policy.name);
      Product product(policy, w, x, cols);
      const std::vector<float> y = product.multiply();
      CHECK(std::all_of(&y[0], &y[rows], [](float value) { return value == 0.0F; }));
      CHECK(y[product.stride() + 17] == 0.0F);
    }
  }
}

TEST_CASE("Int8 rows come out within half a step of what went in") {
  const std::size_t cols = 100;
  const std::size_t rows = 19;
  std::vector<float> w = normals(rows * cols, 3);
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t k = 0; k < cols; ++k) {
      w[r * cols + k] *= static_cast<float>(std::pow(10.0, static_cast<double>(r) - 9.0));
    }
  }
  for (const Policy& policy : variant<0>(cols)) {
    INFO(policy.name);
    const Product product(policy, w, {}, cols);
    for (std::size_t r = 0; r < rows; ++r) {
      const std::vector<float> row = product.row(r);
      float largest = 0.0F;
      double worst = 0.0;
      for (std::size_t k = 0; k < cols; ++k) {
        largest = std::max(largest, std::abs(w[r * cols + k]));
        worst = reference::worse(worst, std::abs(static_cast<double>(row[k] - w[r * cols + k])));
      }
      CHECK(worst <= static_cast<double>(largest) / 127.0 * 0.5001);
    }
  }
}
