// SPDX-License-Identifier: Apache-2.0
// Rotation by Hadamard matrices: spreads outliers over a block of values before they are quantized.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>

#include "mamba2/kernels/hadamard_base.hpp"
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

/// The order of the matrix B that a block's rotation has beside a power of two: 1, 12 or 40; 0
/// where there is no rotation so wide.
[[nodiscard]] constexpr std::size_t hadamard_base(std::size_t width) noexcept {
  for (const std::size_t base : {std::size_t{1}, std::size_t{12}, std::size_t{40}}) {
    if (width % base == 0 && std::has_single_bit(width / base)) return base;
  }
  return 0;
}

/// The widest blocks that n values, more than none, can be rotated in.
[[nodiscard]] constexpr std::size_t widest_hadamard(std::size_t n) noexcept {
  std::size_t widest = hadamard_width(n, n & (~n + 1));
  for (const std::size_t odd : {std::size_t{3}, std::size_t{5}}) {
    const std::size_t width = odd * (n & (~n + 1));
    if (n % width == 0 && hadamard_base(width) != 0) widest = width;
  }
  return widest;
}

/// Sums and differences inside a block whose width is a power of two: its product with H, without
/// the factor.
inline void hadamard_block(float* block, std::size_t width) noexcept {
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

/// The product of a block's `base` rows of n values with the matrix of that order.
inline void multiply_base(float* block, std::size_t base, std::size_t n) noexcept {
  if (base == 12) n % kLanes == 0 ? base_lanes<12>(block, n) : base_in_order<12>(block, n);
  if (base == 40) n % kLanes == 0 ? base_lanes<40>(block, n) : base_in_order<40>(block, n);
}

/// x = H x in place for each block of x (n), which has `width` values and divides n: H is
/// orthonormal, the Kronecker product of the matrix of order hadamard_base(width) (see
/// hadamard_base.hpp) and the symmetric one of a power of two. Where the width is a power of two it
/// is its own inverse.
inline void hadamard(float* x, std::size_t n, std::size_t width) noexcept {
  const std::size_t base = hadamard_base(width);
  const std::size_t power = width / base;
  const float norm = 1.0F / std::sqrt(static_cast<float>(width));
  for (float* block = x; block < x + n; block += power) hadamard_block(block, power);
  for (float* block = x; base > 1 && block < x + n; block += width) {
    multiply_base(block, base, power);
  }
  for_each_vector(
      n, [&](std::size_t i, auto lanes) { lanes.store(lanes.load(x + i) * Floats(norm), x + i); });
}

/// The same with the same bits on every machine, and slower: for weights, so that what one machine
/// packs for another is what that one would have. With kInverse the product with H transposed,
/// which undoes it.
template <bool kInverse = false>
void hadamard_of_weights(float* x, std::size_t n, std::size_t width) noexcept {
  const std::size_t base = hadamard_base(width);
  const std::size_t power = width / base;
  const float norm = 1.0F / std::sqrt(static_cast<float>(width));
  for (float* block = x; block < x + n; block += power) hadamard_in_order(block, power);
  for (float* block = x; block < x + n; block += width) {
    if (base == 12) base_in_order<12, kInverse>(block, power);
    if (base == 40) base_in_order<40, kInverse>(block, power);
  }
  for (std::size_t i = 0; i < n; ++i) x[i] *= norm;
}

}  // namespace kernels
}  // namespace MAMBA2_ISA
}  // namespace mamba2
