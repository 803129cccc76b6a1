// SPDX-License-Identifier: Apache-2.0
// Matrices in the quantized types of GGUF.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "mamba2/core/half.hpp"
#include "mamba2/io/tensor_view.hpp"
#include "tests/linear/packed.hpp"
#include "tests/reference/random_weights.hpp"

namespace tests {

/// Where the FP16 numbers of a block are, all else of which may be any bits.
inline std::vector<std::size_t> halves_of(mamba2::DType type) {
  using mamba2::DType;
  switch (type) {
    case DType::Q4_1:
    case DType::Q5_1:
    case DType::Q4_K:
    case DType::Q5_K:
      return {0, 2};
    case DType::Q2_K:
      return {80, 82};
    case DType::Q3_K:
      return {108};
    case DType::Q6_K:
      return {208};
    case DType::TQ1_0:
      return {52};
    case DType::TQ2_0:
      return {64};
    default:
      return {0};
  }
}

/// The quantized types of GGUF that have FP16 scales.
inline constexpr mamba2::DType kQuantizedTypes[] = {
    mamba2::DType::Q4_0,  mamba2::DType::Q4_1,   mamba2::DType::Q5_0,   mamba2::DType::Q5_1,
    mamba2::DType::Q8_0,  mamba2::DType::IQ4_NL, mamba2::DType::IQ4_XS, mamba2::DType::Q2_K,
    mamba2::DType::Q3_K,  mamba2::DType::Q4_K,   mamba2::DType::Q5_K,   mamba2::DType::Q6_K,
    mamba2::DType::TQ1_0, mamba2::DType::TQ2_0,  mamba2::DType::Q1_0,   mamba2::DType::Q2_0};

/// A matrix (rows, cols) of random blocks, with scales about `scale`; cols in whole blocks.
inline StoredMatrix random_blocks(mamba2::DType type, std::size_t rows, std::size_t cols,
                                  std::uint64_t seed, double scale = 0.01) {
  const std::size_t blocks = rows * cols / mamba2::dtype_block(type);
  const std::size_t size = mamba2::dtype_size(type);
  reference::Random random(seed);
  StoredMatrix m{std::vector<float>(rows * cols), type, std::vector<std::byte>(blocks * size)};
  for (std::byte& byte : m.data) byte = static_cast<std::byte>(random.next() & 255U);
  for (std::size_t i = 0; i < blocks; ++i) {
    for (const std::size_t at : halves_of(type)) {
      const double value = scale * random.uniform(0.5, 1.5) * (random.next() % 2 == 0 ? 1.0 : -1.0);
      const std::uint16_t half = mamba2::float_to_fp16(static_cast<float>(value));
      std::memcpy(&m.data[i * size + at], &half, sizeof half);
    }
  }
  const mamba2::TensorView view{"w", type, {rows, cols}, m.data, "test"};
  mamba2::read_floats(view, 0, m.values);
  return m;
}

}  // namespace tests
