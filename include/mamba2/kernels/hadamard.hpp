// SPDX-License-Identifier: Apache-2.0
// Rotation by Hadamard matrices: spreads outliers over a block of values before they are quantized.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>

#include "mamba2/kernels/simd.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels {

/// One block, by sums and differences of values 1, 2, 4 ... apart: in the same order on every
/// machine.
inline void hadamard_in_order(float* x, std::size_t width) noexcept {
  for (std::size_t step = 1; step < width; step *= 2) {
    for (std::size_t first = 0; first < width; first += 2 * step) {
      for (std::size_t i = first; i < first + step; ++i) {
        const float a = x[i];
        const float b = x[i + step];
        x[i] = a + b;
        x[i + step] = a - b;
      }
    }
  }
}

/// The Hadamard matrix H as wide as a register: H[i][j] = (-1)^popcount(i & j).
alignas(64) inline constexpr auto kHadamard = [] {
  std::array<std::array<float, kLanes>, kLanes> H{};
  for (std::size_t i = 0; i < kLanes; ++i) {
    for (std::size_t j = 0; j < kLanes; ++j) H[i][j] = std::popcount(i & j) % 2 == 0 ? 1.0F : -1.0F;
  }
  return H;
}();

/// Inside every register of a block: the matrix product with H, lane by lane, which needs no
/// shuffles.
inline void hadamard_lanes(float* x, std::size_t width) noexcept {
  std::array<Floats, kLanes> H;
  for (std::size_t i = 0; i < kLanes; ++i) H[i] = load(kHadamard[i].data());
  for (std::size_t first = 0; first < width; first += kLanes) {
    Floats even(0.0F);
    Floats odd(0.0F);
    for (std::size_t i = 0; i < kLanes; i += 2) {
      even = multiply_add(Floats(x[first + i]), H[i], even);
      odd = multiply_add(Floats(x[first + i + 1]), H[i + 1], odd);
    }
    store(even + odd, x + first);
  }
}

/// The width of the blocks that n values are rotated in: the largest power of two that is at most
/// `widest` (a power of two) and divides n. 1, which is no rotation, if `widest` is 0.
[[nodiscard]] constexpr std::size_t hadamard_width(std::size_t n, std::size_t widest) noexcept {
  return std::max<std::size_t>(1, std::min(widest, n & (~n + 1)));
}

/// x = x H in place, block by block, with H the symmetric, orthonormal Hadamard matrix: applied
/// twice, nothing has changed. A block has hadamard_width(n, widest) values. x (n).
inline void hadamard(float* x, std::size_t n, std::size_t widest) noexcept {
  const std::size_t width = hadamard_width(n, widest);
  const float norm = 1.0F / std::sqrt(static_cast<float>(width));
  for (float* block = x; block < x + n; block += width) {
    if (width < kLanes) {
      hadamard_in_order(block, width);
    } else {
      hadamard_lanes(block, width);
    }
    for (std::size_t step = kLanes; step < width; step *= 2) {
      for (std::size_t first = 0; first < width; first += 2 * step) {
        for (std::size_t i = first; i < first + step; i += kLanes) {
          const Floats a = load(block + i);
          const Floats b = load(block + i + step);
          store(a + b, block + i);
          store(a - b, block + i + step);
        }
      }
    }
  }
  for_each_vector(
      n, [&](std::size_t i, auto lanes) { lanes.store(lanes.load(x + i) * Floats(norm), x + i); });
}

/// The same with the same bits on every machine, and slower: for weights, so that what one machine
/// packs for another is what that one would have.
inline void hadamard_of_weights(float* x, std::size_t n, std::size_t widest) noexcept {
  const std::size_t width = hadamard_width(n, widest);
  const float norm = 1.0F / std::sqrt(static_cast<float>(width));
  for (float* block = x; block < x + n; block += width) hadamard_in_order(block, width);
  for (std::size_t i = 0; i < n; ++i) x[i] *= norm;
}

}  // namespace kernels
}  // namespace MAMBA2_ISA
}  // namespace mamba2
