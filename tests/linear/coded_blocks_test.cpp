// SPDX-License-Identifier: Apache-2.0
#include "mamba2/linear/coded_blocks.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/linear/packed.hpp"
#include "tests/linear/random_blocks.hpp"

using mamba2::BasicCodedBlocks;
using mamba2::DType;
using mamba2::kernels::GroupLayout;
using tests::normals;
using tests::Policy;
using tests::Product;
using tests::StoredMatrix;
using tests::Variant;

namespace {

template <DType kType>
Variant blocks_variant(std::size_t cols) {
  Variant all;
  tests::for_each_kernel([&]<class Kernels>() {
    using Kernel = tests::BlockKernel<kType, Kernels>;
    all.push_back(tests::policy<BasicCodedBlocks<Kernel, kType>, Kernel, &GroupLayout::input_group>(
        "blocks", cols));
  });
  return all;
}

Variant blocks_of(DType type, std::size_t cols) {
  switch (type) {
    case DType::Q4_1:
      return blocks_variant<DType::Q4_1>(cols);
    case DType::Q5_0:
      return blocks_variant<DType::Q5_0>(cols);
    case DType::Q5_1:
      return blocks_variant<DType::Q5_1>(cols);
    default:
      return blocks_variant<DType::IQ4_NL>(cols);
  }
}

constexpr DType kBlockTypes[] = {DType::Q4_1, DType::Q5_0, DType::Q5_1, DType::IQ4_NL};

}  // namespace

TEST_CASE("blocks of codes use the kernels of the instruction set") {
  CHECK(std::string(mamba2::kernels::Q4_1Native::name) == tests::native_kernel());
  CHECK(std::string(mamba2::kernels::Q5_0Native::name) == tests::native_kernel());
  CHECK(std::string(mamba2::kernels::Q5_1Native::name) == tests::native_kernel());
  CHECK(std::string(mamba2::kernels::IQ4_NLNative::name) == tests::native_kernel());
}

TEST_CASE("blocks of codes are as large as in files") {
  CHECK(mamba2::Q4_1::band_bytes(64) == 2 * 20 * mamba2::Q4_1::kBandRows);
  CHECK(mamba2::Q5_0::band_bytes(64) == 2 * 22 * mamba2::Q5_0::kBandRows);
  CHECK(mamba2::Q5_1::band_bytes(64) == 2 * 24 * mamba2::Q5_1::kBandRows);
  CHECK(mamba2::IQ4_NL::band_bytes(64) == 2 * 18 * mamba2::IQ4_NL::kBandRows);
}

TEST_CASE("codes of 5 bits come out as they went in, each in a place of its own") {
  std::vector<std::uint8_t> codes(32);
  for (std::size_t k = 0; k < codes.size(); ++k) {
    for (int bit = 0; bit < 5; ++bit) {
      std::fill(codes.begin(), codes.end(), std::uint8_t{0});
      codes[k] = static_cast<std::uint8_t>(1 << bit);
      std::vector<std::array<std::byte, 4>> quads;
      int bits = 0;
      for (std::size_t i = 0; i < 5; ++i) {
        quads.push_back(mamba2::kernels::packed_quad<5>(codes.data(), i));
        for (const std::byte byte : quads[i])
          bits += __builtin_popcount(static_cast<unsigned>(byte));
      }
      CHECK(bits == 1);
      for (std::size_t j = 0; j < codes.size(); ++j) {
        const int code = mamba2::kernels::packed_code<5>(
            j, [&](std::size_t i) { return static_cast<int>(quads[i][j % 4]); });
        CHECK(code == codes[j]);
      }
    }
  }
}

TEST_CASE("blocks of codes are kept, to the bit") {
  const std::size_t rows = 35;
  for (const DType type : kBlockTypes) {
    CAPTURE(mamba2::dtype_name(type));
    for (const std::size_t cols : std::vector<std::size_t>{32, 64, 96, 256}) {
      const StoredMatrix w = tests::random_blocks(type, rows, cols, 5);
      for (const Policy& policy : blocks_of(type, cols)) {
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
}

TEST_CASE("products with blocks of codes agree with the oracle at any size") {
  const std::vector<std::size_t> row_counts = {1, 3, 16, 17, 33};
  std::size_t sizes = 0;
  for (const DType type : kBlockTypes) {
    for (const std::size_t cols : std::vector<std::size_t>{32, 64, 160}) {
      for (const std::size_t tokens : std::vector<std::size_t>{1, 2, 3, 4, 5, 8, 11, 12, 13, 25}) {
        const std::size_t rows = row_counts[++sizes % row_counts.size()];
        CAPTURE(mamba2::dtype_name(type));
        CAPTURE(rows);
        CAPTURE(cols);
        CAPTURE(tokens);
        tests::check_products(blocks_of(type, cols), tests::random_blocks(type, rows, cols, sizes),
                              normals(tokens * cols, sizes + 1000), cols);
      }
    }
  }
}

TEST_CASE("products of a part with blocks of codes are the same bits as those of the whole") {
  const std::size_t cols = 160;
  for (const DType type : kBlockTypes) {
    tests::check_parts(blocks_of(type, cols), tests::random_blocks(type, 33, cols, 1), cols);
  }
}

TEST_CASE("products with blocks of codes are exact where all codes are the largest") {
  const std::size_t cols = 256;
  const std::size_t rows = 17;
  const std::size_t tokens = 13;
  for (const DType type : kBlockTypes) {
    CAPTURE(mamba2::dtype_name(type));
    for (const int fill : {0x00, 0xFF, 0x0F}) {
      StoredMatrix w = tests::random_blocks(type, rows, cols, 1);
      std::fill(w.data.begin(), w.data.end(), static_cast<std::byte>(fill));
      for (std::size_t i = 0; i < rows * cols / 32; ++i) {
        std::byte* block = &w.data[i * mamba2::dtype_size(type)];
        for (const std::size_t at : tests::halves_of(type)) {  // 1
          block[at] = std::byte{0};
          block[at + 1] = std::byte{0x3C};
        }
      }
      const mamba2::TensorView view{"w", type, {rows, cols}, w.data, "test"};
      mamba2::read_floats(view, 0, w.values);
      std::vector<float> x(tokens * cols);
      for (std::size_t i = 0; i < x.size(); ++i) x[i] = i / cols % 3 != i % 2 ? 127.0F : -127.0F;
      for (std::size_t k = 0; k < cols; ++k) x[k] = 127.0F;
      for (const Policy& policy : blocks_of(type, cols)) {
        INFO(policy.name);
        Product product(policy, w, x, cols);
        // All numbers are whole, and small enough for FP32.
        CHECK(tests::worst_error(product.multiply(), product.expected().y,
                                 std::vector<double>(tokens * product.stride())) == 0.0);
      }
    }
  }
}

TEST_CASE("products with blocks of codes of zeros, and of huge and tiny numbers") {
  const std::size_t cols = 96;
  const std::size_t rows = 33;
  std::vector<float> x = normals(5 * cols, 2);
  for (std::size_t k = 0; k < cols; ++k) {
    x[k] = 0.0F;
    x[1 * cols + k] *= 1e25F;
    x[2 * cols + k] *= 1e-25F;
    // Groups of different magnitudes, one of them of zeros.
    x[3 * cols + k] *= k < 32 ? 1e-20F : k < 64 ? 0.0F : 1e20F;
    // One column that counts.
    x[4 * cols + k] = k == 59 ? -1e10F : 0.0F;
  }
  for (const DType type : kBlockTypes) {
    CAPTURE(mamba2::dtype_name(type));
    const StoredMatrix w = tests::random_blocks(type, rows, cols, 7);
    tests::check_products(blocks_of(type, cols), w, x, cols);
    for (const Policy& policy : blocks_of(type, cols)) {
      INFO(policy.name);
      const std::vector<float> y = Product(policy, w, x, cols).multiply();
      CHECK(std::all_of(&y[0], &y[rows], [](float value) { return value == 0.0F; }));
    }
  }
}
