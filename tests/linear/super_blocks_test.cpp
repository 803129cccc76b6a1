// SPDX-License-Identifier: Apache-2.0
#include "mamba2/linear/super_blocks.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "tests/linear/block_checks.hpp"
#include "tests/linear/packed.hpp"
#include "tests/linear/random_blocks.hpp"

using mamba2::BasicSuperBlocks;
using mamba2::DType;
using mamba2::kernels::KLayout;
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
  for (const DType type : kSuperBlockTypes) {
    CAPTURE(mamba2::dtype_name(type));
    tests::check_kept(super_blocks_of(type, 512), type, 512);
  }
}

TEST_CASE("super-block products agree with the oracle at any size") {
  std::size_t sizes = 0;
  for (const DType type : kSuperBlockTypes) {
    CAPTURE(mamba2::dtype_name(type));
    for (const std::size_t cols : std::vector<std::size_t>{256, 768}) {
      tests::check_sizes(super_blocks_of(type, cols), type, cols, sizes);
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
  for (const DType type : kSuperBlockTypes) {
    CAPTURE(mamba2::dtype_name(type));
    for (const int fill : {0x00, 0xFF}) {
      // Scales of -1 (of 6 bits: 1) times codes; the largest there are.
      const auto with_scales = [&](std::byte* block, std::size_t row) {
        if (type == DType::Q6_K) {
          std::fill_n(block + 192, 16, static_cast<std::byte>(row % 2 == 0 ? 0x80 : 0x01));
        }
        if ((type == DType::Q4_K || type == DType::Q5_K) && fill == 0) {
          std::fill_n(block + 4, 12, static_cast<std::byte>(0xFF));
        }
      };
      const auto w = tests::blocks_of_bytes(type, 17, cols, fill, with_scales);
      tests::check_exact(super_blocks_of(type, cols), w, cols);
    }
  }
}

TEST_CASE("super-block products of zeros, and of huge and tiny numbers") {
  for (const DType type : kSuperBlockTypes) {
    CAPTURE(mamba2::dtype_name(type));
    tests::check_extremes(super_blocks_of(type, 256), type, 256);
  }
}
