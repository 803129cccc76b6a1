// SPDX-License-Identifier: Apache-2.0
#include "mamba2/linear/groups.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "tests/linear/block_checks.hpp"
#include "tests/linear/packed.hpp"
#include "tests/linear/random_blocks.hpp"

using mamba2::BasicGroups;
using mamba2::DType;
using mamba2::kernels::GroupLayout;
using tests::normals;
using tests::Policy;
using tests::Product;
using tests::StoredMatrix;
using tests::Variant;

namespace {

template <std::size_t kBits>
Variant groups_variant(std::size_t cols) {
  Variant all;
  tests::for_each_kernel([&]<class Kernels>() {
    using Kernel = std::conditional_t<
        kBits == 8, typename Kernels::Q8_0,
        std::conditional_t<kBits == 4, typename Kernels::Int4, typename Kernels::Q2_0>>;
    using W = BasicGroups<Kernel, kBits>;
    all.push_back(tests::policy<W, Kernel, &GroupLayout::input_group>("groups", cols));
  });
  return all;
}

/// The types whose own codes Q8_0, Q4_0 and Q2_0 take.
constexpr DType kEightBits[] = {DType::Q8_0, DType::Q5_0, DType::IQ4_NL};
constexpr DType kFourBits[] = {DType::Q4_0, DType::TQ1_0, DType::TQ2_0};
constexpr DType kTwoBits[] = {DType::Q1_0, DType::Q2_0, DType::TQ1_0, DType::TQ2_0};

}  // namespace

TEST_CASE("Q8_0 uses the kernels of the instruction set") {
  const std::string kernel(mamba2::kernels::Q8_0Native::name);
  MESSAGE("the native Q8_0 kernel is " << kernel);
  CHECK(kernel == tests::native_kernel());
}

TEST_CASE("Q8_0 and Q4_0 products agree with the oracle at any size") {
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
      tests::check_products(groups_variant<8>(cols), w, x, cols);
      tests::check_products(groups_variant<4>(cols), w, x, cols);
    }
  }
}

TEST_CASE("Q2_0 products agree with the oracle at any size") {
  const std::vector<std::size_t> row_counts = {1, 3, 16, 17, 33};
  std::size_t sizes = 0;
  for (const std::size_t cols : std::vector<std::size_t>{64, 192, 256, 512}) {
    for (const std::size_t tokens : tests::kTokenCounts) {
      const std::size_t rows = row_counts[++sizes % row_counts.size()];
      CAPTURE(rows);
      CAPTURE(cols);
      CAPTURE(tokens);
      tests::check_products(groups_variant<2>(cols),
                            tests::random_blocks(DType::Q2_0, rows, cols, sizes),
                            normals(tokens * cols, sizes + 1000), cols);
    }
  }
}

TEST_CASE("products of a part are the same bits as those of the whole") {
  const std::size_t cols = 160;
  tests::check_parts(groups_variant<8>(cols), cols);
  tests::check_parts(groups_variant<4>(cols), cols);
  tests::check_parts(groups_variant<2>(192), tests::random_blocks(DType::Q2_0, 33, 192, 1), 192);
}

TEST_CASE("the blocks of a file are kept, to the bit") {
  const auto check = [&](const Variant& v, DType type, std::size_t cols) {
    CAPTURE(mamba2::dtype_name(type));
    tests::check_kept(v, type, cols);
    const StoredMatrix w = tests::random_blocks(type, 35, cols, 5);
    tests::check_products(v, w, normals(7 * cols, 6), cols);
  };
  for (const DType type : kEightBits) {
    for (const std::size_t cols : std::vector<std::size_t>{32, 96, 256}) {
      check(groups_variant<8>(cols), type, cols);
    }
  }
  for (const DType type : kFourBits) {
    for (const std::size_t cols : std::vector<std::size_t>{256, 512}) {
      check(groups_variant<4>(cols), type, cols);
    }
  }
  check(groups_variant<4>(96), DType::Q4_0, 96);
  for (const DType type : kTwoBits) check(groups_variant<2>(512), type, 512);
  check(groups_variant<2>(192), DType::Q2_0, 192);
}

TEST_CASE("Q2_0 products are exact where all codes are the largest, 2 among them") {
  const std::size_t cols = 512;
  const std::size_t rows = 17;
  const std::size_t tokens = 13;
  std::vector<float> x(tokens * cols);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = i / cols % 3 != i % 2 ? 127.0F : -127.0F;
  StoredMatrix w = tests::random_blocks(DType::Q2_0, rows, cols, 1);
  for (std::size_t i = 0; i < w.data.size(); ++i) {
    const std::size_t row = i / (w.data.size() / rows);
    const int codes = row % 3 == 0 ? 0xFF : row % 3 == 1 ? 0x33 : 0xCC;
    const std::size_t at = i % mamba2::dtype_size(w.type);
    w.data[i] = static_cast<std::byte>(at == 0 ? 0x00 : at == 1 ? 0x3C : codes);  // a scale of 1
  }
  const mamba2::TensorView view{"w", w.type, {rows, cols}, w.data, "test"};
  mamba2::read_floats(view, 0, w.values);
  for (const Policy& policy : groups_variant<2>(cols)) {
    INFO(policy.name);
    Product product(policy, w, x, cols);
    CHECK(tests::worst_error(product.multiply(), product.expected().y,
                             std::vector<double>(tokens * product.stride())) == 0.0);
  }
}

TEST_CASE("Q8_0 products are exact where all codes are the largest, -128 among them") {
  const std::size_t cols = 256;
  const std::size_t rows = 17;
  const std::size_t tokens = 13;
  StoredMatrix w = tests::random_blocks(DType::Q8_0, rows, cols, 1);
  constexpr std::size_t kBlock = 34;
  for (std::size_t i = 0; i < w.data.size(); ++i) {
    const std::size_t at = i % kBlock;
    const int row_kind = static_cast<int>(i / kBlock / (cols / 32) % 3);
    const int code = row_kind == 1 || (row_kind == 2 && at % 2 == 0) ? -128 : 127;
    // A scale of 1.
    w.data[i] = static_cast<std::byte>(at == 0 ? 0x00 : at == 1 ? 0x3C : code & 255);
  }
  const mamba2::TensorView view{"w", w.type, {rows, cols}, w.data, "test"};
  mamba2::read_floats(view, 0, w.values);
  std::vector<float> x(tokens * cols);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = i / cols % 3 != i % 2 ? 127.0F : -127.0F;
  for (const Policy& policy : groups_variant<8>(cols)) {
    INFO(policy.name);
    Product product(policy, w, x, cols);
    // All numbers are whole, and small enough for FP32.
    CHECK(tests::worst_error(product.multiply(), product.expected().y,
                             std::vector<double>(tokens * product.stride())) == 0.0);
  }
}

TEST_CASE("Q8_0 weights of other types come out within half a step of what went in") {
  const std::size_t cols = 128;
  const std::size_t rows = 19;
  for (const DType type : {DType::Q4_1, DType::Q5_1}) {
    StoredMatrix w = tests::random_blocks(type, rows, cols, 3);
    for (const Policy& policy : groups_variant<8>(cols)) {
      INFO(policy.name);
      const Product product(policy, w, {}, cols);
      for (std::size_t r = 0; r < rows; ++r) {
        const std::vector<float> row = product.row(r);
        for (std::size_t first = 0; first < cols; first += 32) {
          double largest = 0.0;
          double worst = 0.0;
          for (std::size_t k = first; k < first + 32; ++k) {
            const auto value = static_cast<double>(w.values[r * cols + k]);
            largest = std::max(largest, std::abs(value));
            worst = std::max(worst, std::abs(static_cast<double>(row[k]) - value));
          }
          // A step, rounded to FP16, and code 127 for what is then a little more.
          CHECK(worst <= largest * (0.5 / 127.0 + 0x1p-10));
        }
      }
    }
  }
}

TEST_CASE("Q8_0 weights of zeros and of what is too large for FP16 are finite") {
  std::vector<float> w(64, 0.0F);
  std::fill_n(w.begin() + 32, 32, 3e38F);
  for (const Policy& policy : groups_variant<8>(64)) {
    INFO(policy.name);
    const std::vector<float> row = Product(policy, w, {}, 64).row(0);
    CHECK(row[0] == 0.0F);
    CHECK(row[32] == 65504.0F * 127.0F);
  }
}
