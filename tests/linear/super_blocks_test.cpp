// SPDX-License-Identifier: Apache-2.0
#include "mamba2/linear/super_blocks.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "tests/linear/packed.hpp"
#include "tests/linear/random_blocks.hpp"

using mamba2::BasicSuperBlocks;
using mamba2::DType;
using mamba2::kernels::KLayout;
using tests::normals;
using tests::Policy;
using tests::Product;
using tests::StoredMatrix;
using tests::Variant;

namespace {

template <DType kType>
Variant super_block_variant(std::size_t cols) {
  Variant all;
  tests::for_each_kernel([&]<class Kernels>() {
    using Kernel = tests::SuperBlockKernel<kType, Kernels>;
    all.push_back(tests::policy<BasicSuperBlocks<Kernel, tests::kSuperBlockBits<kType>,
                                                 kType != DType::Q6_K && kType != DType::IQ4_XS>,
                                Kernel, &KLayout::input_group>("super-blocks", cols));
  });
  return all;
}

Variant super_blocks_of(DType type, std::size_t cols) {
  switch (type) {
    case DType::Q4_K:
      return super_block_variant<DType::Q4_K>(cols);
    case DType::Q5_K:
      return super_block_variant<DType::Q5_K>(cols);
    case DType::IQ4_XS:
      return super_block_variant<DType::IQ4_XS>(cols);
    default:
      return super_block_variant<DType::Q6_K>(cols);
  }
}

constexpr DType kSuperBlockTypes[] = {DType::Q4_K, DType::Q5_K, DType::Q6_K, DType::Q3_K,
                                      DType::IQ4_XS};

}  // namespace

TEST_CASE("super-blocks use the kernels of the instruction set") {
  CHECK(std::string(mamba2::kernels::Q4_KNative::name) == tests::native_kernel());
  CHECK(std::string(mamba2::kernels::Q5_KNative::name) == tests::native_kernel());
  CHECK(std::string(mamba2::kernels::IQ4_XSNative::name) == tests::native_kernel());
  CHECK(std::string(mamba2::kernels::Q6_KNative::name) == tests::native_kernel());
}

TEST_CASE("super-blocks are about as large as in files") {
  using mamba2::Q4_K;
  using mamba2::Q5_K;
  using mamba2::Q6_K;
  CHECK(Q4_K::band_bytes(256) * 8 == static_cast<std::size_t>(4.625 * 256) * Q4_K::kBandRows);
  CHECK(mamba2::IQ4_XS::band_bytes(256) == Q4_K::band_bytes(256));
  CHECK(Q5_K::band_bytes(256) * 8 == static_cast<std::size_t>(5.625 * 256) * Q5_K::kBandRows);
  CHECK(Q6_K::band_bytes(256) * 8 == static_cast<std::size_t>(6.625 * 256) * Q6_K::kBandRows);
}

TEST_CASE("super-blocks keep the blocks of a file, to the bit") {
  const std::size_t rows = 35;
  const std::size_t cols = 512;
  for (const DType type : kSuperBlockTypes) {
    CAPTURE(mamba2::dtype_name(type));
    const StoredMatrix w = tests::random_blocks(type, rows, cols, 5);
    for (const Policy& policy : super_blocks_of(type, cols)) {
      INFO(policy.name);
      const Product product(policy, w, {}, cols);
      std::size_t wrong = 0;
      for (std::size_t r = 0; r < rows; ++r) {
        const std::vector<float> row = product.row(r);
        if (!std::equal(row.begin(), row.end(), &w.values[r * cols])) ++wrong;
      }
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("super-block products agree with the oracle at any size") {
  const std::vector<std::size_t> row_counts = {1, 3, 16, 17, 33};
  std::size_t sizes = 0;
  for (const DType type : kSuperBlockTypes) {
    for (const std::size_t cols : std::vector<std::size_t>{256, 768}) {
      for (const std::size_t tokens : std::vector<std::size_t>{1, 2, 3, 4, 5, 8, 11, 12, 13, 25}) {
        const std::size_t rows = row_counts[++sizes % row_counts.size()];
        CAPTURE(mamba2::dtype_name(type));
        CAPTURE(rows);
        CAPTURE(cols);
        CAPTURE(tokens);
        tests::check_products(super_blocks_of(type, cols),
                              tests::random_blocks(type, rows, cols, sizes),
                              normals(tokens * cols, sizes + 1000), cols);
      }
    }
  }
}

TEST_CASE("super-block products of a part are the same bits as those of the whole") {
  const std::size_t cols = 256;
  for (const DType type : kSuperBlockTypes) {
    tests::check_parts(super_blocks_of(type, cols), tests::random_blocks(type, 33, cols, 1), cols);
  }
}

TEST_CASE("super-block products are exact where all codes are the largest") {
  const std::size_t cols = 256;
  const std::size_t rows = 17;
  const std::size_t tokens = 13;
  for (const DType type : kSuperBlockTypes) {
    CAPTURE(mamba2::dtype_name(type));
    for (const int fill : {0x00, 0xFF}) {
      StoredMatrix w = tests::random_blocks(type, rows, cols, 1);
      std::fill(w.data.begin(), w.data.end(), static_cast<std::byte>(fill));
      for (std::size_t i = 0; i < rows; ++i) {
        std::byte* block = &w.data[i * mamba2::dtype_size(type)];
        for (const std::size_t at : tests::halves_of(type)) {  // 1
          block[at] = std::byte{0};
          block[at + 1] = std::byte{0x3C};
        }
        // Scales of -1 (of 6 bits: 1) times codes; the largest there are.
        if (type == DType::Q6_K) {
          std::fill_n(block + 192, 16, static_cast<std::byte>(i % 2 == 0 ? 0x80 : 0x01));
        }
        if ((type == DType::Q4_K || type == DType::Q5_K) && fill == 0) {
          std::fill_n(block + 4, 12, static_cast<std::byte>(0xFF));
        }
      }
      const mamba2::TensorView view{"w", type, {rows, cols}, w.data, "test"};
      mamba2::read_floats(view, 0, w.values);
      std::vector<float> x(tokens * cols);
      for (std::size_t i = 0; i < x.size(); ++i) x[i] = i / cols % 3 != i % 2 ? 127.0F : -127.0F;
      for (std::size_t k = 0; k < cols; ++k) x[k] = 127.0F;
      for (const Policy& policy : super_blocks_of(type, cols)) {
        INFO(policy.name);
        Product product(policy, w, x, cols);
        // All numbers are whole, and none needs more than 24 bits but sums of a common factor.
        CHECK(tests::worst_error(product.multiply(), product.expected().y,
                                 std::vector<double>(tokens * product.stride())) == 0.0);
      }
    }
  }
}

TEST_CASE("super-block products of zeros, and of huge and tiny numbers") {
  const std::size_t cols = 256;
  const std::size_t rows = 33;
  std::vector<float> x = normals(6 * cols, 2);
  for (std::size_t k = 0; k < cols; ++k) {
    x[k] = 0.0F;
    x[1 * cols + k] *= 1e25F;
    x[2 * cols + k] *= 1e-25F;
    // Groups of different magnitudes, one of them of zeros.
    x[3 * cols + k] *= k < 32 ? 1e-20F : k < 64 ? 0.0F : 1e20F;
    // One column that counts.
    x[4 * cols + k] = k == 99 ? -1e10F : 0.0F;
    // So small that no scale has an inverse, with zeros between.
    x[5 * cols + k] = k % 3 == 0 ? 0.0F : k % 3 == 1 ? 1e-38F : -1e-44F;
  }
  for (const DType type : kSuperBlockTypes) {
    const StoredMatrix w = tests::random_blocks(type, rows, cols, 7);
    tests::check_products(super_blocks_of(type, cols), w, x, cols);
    for (const Policy& policy : super_blocks_of(type, cols)) {
      INFO(policy.name);
      const std::vector<float> y = Product(policy, w, x, cols).multiply();
      CHECK(std::all_of(&y[0], &y[rows], [](float value) { return value == 0.0F; }));
    }
  }
}
