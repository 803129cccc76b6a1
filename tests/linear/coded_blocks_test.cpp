// SPDX-License-Identifier: Apache-2.0
#include "mamba2/linear/coded_blocks.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/linear/block_checks.hpp"
#include "tests/linear/packed.hpp"
#include "tests/linear/random_blocks.hpp"

using mamba2::BasicCodedBlocks;
using mamba2::DType;
using mamba2::kernels::GroupLayout;
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
  for (const DType type : kBlockTypes) {
    CAPTURE(mamba2::dtype_name(type));
    for (const std::size_t cols : std::vector<std::size_t>{32, 64, 96, 256}) {
      tests::check_kept(blocks_of(type, cols), type, cols);
    }
  }
}

TEST_CASE("products with blocks of codes agree with the oracle at any size") {
  std::size_t sizes = 0;
  for (const DType type : kBlockTypes) {
    CAPTURE(mamba2::dtype_name(type));
    for (const std::size_t cols : std::vector<std::size_t>{32, 64, 160}) {
      tests::check_sizes(blocks_of(type, cols), type, cols, sizes);
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
  for (const DType type : kBlockTypes) {
    CAPTURE(mamba2::dtype_name(type));
    for (const int fill : {0x00, 0xFF, 0x0F}) {
      const auto w = tests::blocks_of_bytes(type, 17, cols, fill, [](std::byte*, std::size_t) {});
      tests::check_exact(blocks_of(type, cols), w, cols);
    }
  }
}

TEST_CASE("products with blocks of codes of zeros, and of huge and tiny numbers") {
  for (const DType type : kBlockTypes) {
    CAPTURE(mamba2::dtype_name(type));
    tests::check_extremes(blocks_of(type, 96), type, 96);
  }
}
