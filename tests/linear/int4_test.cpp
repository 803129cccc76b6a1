// SPDX-License-Identifier: Apache-2.0
#include "mamba2/linear/int4.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/linear/packed.hpp"

using mamba2::BasicInt4;
using mamba2::kernels::GroupLayout;
using tests::normals;
using tests::Policy;
using tests::Product;
using tests::Variant;

namespace {

template <std::size_t kGroup, bool kGroupedInputs>
Variant variant(std::size_t cols) {
  Variant all;
  tests::for_each_kernel([&]<class Kernels>() {
    using Int4 = typename Kernels::Int4;
    using W = BasicInt4<Int4, kGroup, kGroupedInputs, 0, mamba2::Int8>;
    all.push_back(tests::policy<W, Int4, &GroupLayout::input_group>(
        "group " + std::to_string(kGroup) + (kGroupedInputs ? " of inputs too" : ""), cols));
  });
  return all;
}

std::vector<Variant> int4_variants(std::size_t cols) {
  return {variant<32, true>(cols),  variant<64, true>(cols),  variant<128, true>(cols),
          variant<32, false>(cols), variant<64, false>(cols), variant<128, false>(cols)};
}

/// What int4_scales() finds for w[0], w[stride] ..., before it is rounded to FP16: in scalar code,
/// each operation rounded once.
[[maybe_unused]] float best_scale(const float* w, std::size_t count, std::size_t stride) {
  float extreme = 0.0F;
  for (std::size_t k = 0; k < count; ++k) {
    if (std::abs(w[k * stride]) > std::abs(extreme)) extreme = w[k * stride];
  }
  float best = 0.0F;
  float best_gain = 0.0F;
  for (const float factor : mamba2::detail::kInt4Tries) {
    const float inverse = 1.0F / (extreme * factor);
    float wq = 0.0F;
    float qq = 0.0F;
    for (std::size_t k = 0; k < count; ++k) {
      const float q = std::clamp(std::nearbyint(w[k * stride] * inverse), -8.0F, 7.0F);
      wq = std::fma(w[k * stride], q, wq);
      qq = std::fma(q, q, qq);
    }
    const float square = wq * wq;
    if (square / qq > best_gain) {
      best_gain = square / qq;
      best = wq / qq;
    }
  }
  return best;
}

}  // namespace

TEST_CASE("Int4 uses the kernels of the instruction set") {
  const std::string kernel(mamba2::kernels::Int4Native::name);
  MESSAGE("the native INT4 kernel is " << kernel);
  CHECK(kernel == tests::native_kernel());
}

TEST_CASE("Int4 products agree with the oracle at any size") {
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
      const std::vector<Variant> all = int4_variants(cols);
      // Two of the variants at each size: all in turn.
      for (std::size_t i = sizes % 3; i < all.size(); i += 3) {
        tests::check_products(all[i], w, x, cols);
      }
    }
  }
}

TEST_CASE("Int4 products of a part are the same bits as those of the whole") {
  const std::size_t cols = 160;
  for (const Variant& v : int4_variants(cols)) tests::check_parts(v, cols);
}

TEST_CASE("Int4 products are exact where all codes are the largest") {
  const std::size_t cols = 256;
  const std::size_t rows = 17;
  const std::size_t tokens = 13;
  std::vector<float> w(rows * cols);
  std::vector<float> x(tokens * cols);
  for (std::size_t i = 0; i < w.size(); ++i) {
    // Rows of +7 with one -8, by which the scale is known to be 1; of -8; of both in turn.
    const std::size_t kind = i / cols % 3;
    w[i] = kind == 1 || i % 32 == 0 || (kind == 2 && i % 2 == 0) ? -8.0F : 7.0F;
  }
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = i / cols % 3 != i % 2 ? 127.0F : -127.0F;
  for (const Variant& v : int4_variants(cols)) {
    for (const Policy& policy : v) {
      INFO(policy.name);
      Product product(policy, w, x, cols);
      for (std::size_t r = 0; r < rows; ++r) {
        CHECK(product.row(r) == std::vector<float>(&w[r * cols], &w[r * cols] + cols));
      }
      // All numbers are whole, and small enough for FP32.
      CHECK(tests::worst_error(product.multiply(), product.expected().y,
                               std::vector<double>(tokens * product.stride())) == 0.0);
    }
  }
}

TEST_CASE("Int4 products of zeros, and of huge and tiny numbers") {
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
  for (const Variant& v : int4_variants(cols)) {
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

// Without FMA, the sums of the search are rounded more often.
#if defined(__FMA__) || defined(__aarch64__)
TEST_CASE("Int4 scales are the same bits on every CPU") {
  constexpr std::size_t kGroup = 32;
  using mamba2::kernels::kLanes;
  std::size_t wrong = 0;
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    const std::vector<float> values = normals(kGroup * kLanes, seed);
    std::array<mamba2::kernels::Floats, kGroup> w;
    for (std::size_t k = 0; k < kGroup; ++k) w[k] = mamba2::kernels::load(&values[k * kLanes]);
    const auto scales = mamba2::int4_scales<kGroup>(w);
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      wrong += scales[lane] != mamba2::float_to_fp16(best_scale(&values[lane], kGroup, kLanes));
    }
  }
  CHECK(wrong == 0);
}
#endif

TEST_CASE("Int4 rows come out no worse than with the plain scale, and the same for all kernels") {
  const std::size_t cols = 100;
  const std::size_t rows = 19;
  const std::vector<float> w = normals(rows * cols, 3);
  for (const Variant& v : int4_variants(cols)) {
    const Product scalar(v[0], w, {}, cols);
    for (std::size_t r = 0; r < rows; ++r) {
      const std::vector<float> row = scalar.row(r);
      double error = 0.0;
      double largest = 0.0;
      for (std::size_t k = 0; k < cols; ++k) {
        const double value = static_cast<double>(w[r * cols + k]);
        error += std::pow(static_cast<double>(row[k]) - value, 2.0);
        largest = std::max(largest, std::abs(value));
      }
      // Steps of largest / 8, errors of half a step at most and evenly spread.
      CHECK(error < 1.1 * std::pow(largest / 8.0, 2.0) / 12.0 * static_cast<double>(cols));
    }
    for (const Policy& policy : v) {
      INFO(policy.name);
      const Product product(policy, w, {}, cols);
      for (std::size_t r = 0; r < rows; ++r) CHECK(product.row(r) == scalar.row(r));
    }
  }
}
