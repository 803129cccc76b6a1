// SPDX-License-Identifier: Apache-2.0
// What holds of every policy that keeps the blocks of a file. policies: those of all kernels, for a
// number of columns.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "mamba2/io/tensor_view.hpp"
#include "tests/linear/packed.hpp"
#include "tests/linear/random_blocks.hpp"

namespace tests {

/// The rows come out as they went in.
inline void check_kept(const Variant& policies, mamba2::DType type, std::size_t cols) {
  const std::size_t rows = 35;
  const StoredMatrix w = random_blocks(type, rows, cols, 5);
  for (const Policy& policy : policies) {
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

/// Products of many shapes; `sizes` counts them, of all types.
inline void check_sizes(const Variant& policies, mamba2::DType type, std::size_t cols,
                        std::size_t& sizes) {
  constexpr std::size_t kRowCounts[] = {1, 3, 16, 17, 33};
  for (const std::size_t tokens : kTokenCounts) {
    const std::size_t rows = kRowCounts[++sizes % std::size(kRowCounts)];
    CAPTURE(rows);
    CAPTURE(cols);
    CAPTURE(tokens);
    check_products(policies, random_blocks(type, rows, cols, sizes),
                   normals(tokens * cols, sizes + 1000), cols);
  }
}

/// Blocks of these bytes alone, but halves are 1; change(block, row) for what else is not.
template <class Change>
StoredMatrix blocks_of_bytes(mamba2::DType type, std::size_t rows, std::size_t cols, int fill,
                             Change change) {
  StoredMatrix w = random_blocks(type, rows, cols, 1);
  std::fill(w.data.begin(), w.data.end(), static_cast<std::byte>(fill));
  const std::size_t each = cols / mamba2::dtype_block(type);
  for (std::size_t i = 0; i < rows * each; ++i) {
    std::byte* block = &w.data[i * mamba2::dtype_size(type)];
    for (const std::size_t at : halves_of(type)) {
      block[at] = std::byte{0};
      block[at + 1] = std::byte{0x3C};
    }
    change(block, i / each);
  }
  mamba2::read_floats({"w", type, {rows, cols}, w.data, "test"}, 0, w.values);
  return w;
}

/// Products with the largest inputs, where all numbers are whole and small enough for FP32.
inline void check_exact(const Variant& policies, const StoredMatrix& w, std::size_t cols) {
  const std::size_t tokens = 13;
  std::vector<float> x(tokens * cols);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = i / cols % 3 != i % 2 ? 127.0F : -127.0F;
  for (std::size_t k = 0; k < cols; ++k) x[k] = 127.0F;
  for (const Policy& policy : policies) {
    INFO(policy.name);
    Product product(policy, w, x, cols);
    CHECK(worst_error(product.multiply(), product.expected().y,
                      std::vector<double>(tokens * product.stride())) == 0.0);
  }
}

/// Inputs of zeros, of huge and of tiny numbers.
inline void check_extremes(const Variant& policies, mamba2::DType type, std::size_t cols) {
  const std::size_t rows = 33;
  std::vector<float> x = normals(6 * cols, 2);
  for (std::size_t k = 0; k < cols; ++k) {
    x[k] = 0.0F;
    x[1 * cols + k] *= 1e25F;
    x[2 * cols + k] *= 1e-25F;
    // Groups of different magnitudes, one of them of zeros.
    x[3 * cols + k] *= k < 32 ? 1e-20F : k < 64 ? 0.0F : 1e20F;
    // One column that counts.
    x[4 * cols + k] = k == cols - 37 ? -1e10F : 0.0F;
    // So small that no scale has an inverse, with zeros between.
    x[5 * cols + k] = k % 3 == 0 ? 0.0F : k % 3 == 1 ? 1e-38F : -1e-44F;
  }
  const StoredMatrix w = random_blocks(type, rows, cols, 7);
  check_products(policies, w, x, cols);
  for (const Policy& policy : policies) {
    INFO(policy.name);
    const std::vector<float> y = Product(policy, w, x, cols).multiply();
    CHECK(std::all_of(&y[0], &y[rows], [](float value) { return value == 0.0F; }));
  }
}

}  // namespace tests
