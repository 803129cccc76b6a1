// SPDX-License-Identifier: Apache-2.0
// Hadamard matrices whose order is no power of two: Paley, J. Math. and Phys. 12 (1933) 311-320.
#pragma once

#include <array>
#include <cstddef>

#include "mamba2/kernels/simd.hpp"
#include "mamba2/kernels/unroll.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels {

/// (order, order), of 1 and -1, rows orthogonal.
template <std::size_t kOrder>
using BaseMatrix = std::array<std::array<float, kOrder>, kOrder>;

/// Whether i is a square modulo the odd prime q: 1, or -1; 0 for a multiple of q.
[[nodiscard]] constexpr int quadratic_character(std::size_t i, std::size_t q) noexcept {
  if (i % q == 0) return 0;
  for (std::size_t root = 1; root < q; ++root) {
    if (root * root % q == i % q) return 1;
  }
  return -1;
}

/// Order 12, of Paley's second kind over the field of 5 elements: C x [1 1; 1 -1] + I x [1 -1; -1
/// -1], C the conference matrix of order 6.
[[nodiscard]] constexpr BaseMatrix<12> make_base_12() noexcept {
  BaseMatrix<12> H{};
  for (std::size_t i = 0; i < 6; ++i) {
    for (std::size_t j = 0; j < 6; ++j) {
      const int inner = quadratic_character(j + 5 - i, 5);
      const int c = i == j ? 0 : (i == 0 || j == 0 ? 1 : inner);
      for (std::size_t a = 0; a < 2; ++a) {
        for (std::size_t b = 0; b < 2; ++b) {
          const int of_C = c * (a == 1 && b == 1 ? -1 : 1);
          const int of_I = a == 0 && b == 0 ? 1 : -1;
          H[2 * i + a][2 * j + b] = static_cast<float>(i == j ? of_I : of_C);
        }
      }
    }
  }
  return H;
}

/// Order 40: [P P; P -P], P of Paley's first kind over the field of 19 elements.
[[nodiscard]] constexpr BaseMatrix<40> make_base_40() noexcept {
  constexpr std::size_t kHalf = 20;
  BaseMatrix<40> H{};
  for (std::size_t i = 0; i < kHalf; ++i) {
    for (std::size_t j = 0; j < kHalf; ++j) {
      int p = i == j || j == 0 ? 1 : -1;
      if (i > 0 && j > 0 && i != j) p = -quadratic_character(j + 19 - i, 19);
      H[i][j] = H[i][j + kHalf] = H[i + kHalf][j] = static_cast<float>(p);
      H[i + kHalf][j + kHalf] = static_cast<float>(-p);
    }
  }
  return H;
}

template <std::size_t kOrder>
[[nodiscard]] constexpr const BaseMatrix<kOrder>& base_matrix() noexcept;

alignas(64) inline constexpr BaseMatrix<12> kBase12 = make_base_12();
alignas(64) inline constexpr BaseMatrix<40> kBase40 = make_base_40();
template <>
[[nodiscard]] constexpr const BaseMatrix<12>& base_matrix<12>() noexcept {
  return kBase12;
}
template <>
[[nodiscard]] constexpr const BaseMatrix<40>& base_matrix<40>() noexcept {
  return kBase40;
}

/// y_i = sum of H_ij x_j for the rows of x (kOrder, n), in place; sums in the order of j. With
/// kTransposed of H_ji x_j.
template <std::size_t kOrder, bool kTransposed = false>
void base_in_order(float* x, std::size_t n) noexcept {
  const BaseMatrix<kOrder>& H = base_matrix<kOrder>();
  std::array<float, kOrder> column;
  for (std::size_t c = 0; c < n; ++c) {
    for (std::size_t j = 0; j < kOrder; ++j) column[j] = x[j * n + c];
    for (std::size_t i = 0; i < kOrder; ++i) {
      float sum = 0.0F;
      for (std::size_t j = 0; j < kOrder; ++j) {
        sum += (kTransposed ? H[j][i] : H[i][j]) * column[j];
      }
      x[i * n + c] = sum;
    }
  }
}

/// The same for n a multiple of a register's lanes, four sums at a time.
template <std::size_t kOrder>
void base_lanes(float* x, std::size_t n) noexcept {
  constexpr std::size_t kSums = 4;
  const BaseMatrix<kOrder>& H = base_matrix<kOrder>();
  std::array<Floats, kOrder> column;
  for (std::size_t c = 0; c < n; c += kLanes) {
    for (std::size_t j = 0; j < kOrder; ++j) column[j] = load(x + j * n + c);
    for (std::size_t i = 0; i < kOrder; i += kSums) {
      std::array<Floats, kSums> sums;
      unroll<kSums>([&](auto s) MAMBA2_INLINE { sums[s] = Floats(0.0F); });
      for (std::size_t j = 0; j < kOrder; ++j) {
        unroll<kSums>([&](auto s) MAMBA2_INLINE {
          sums[s] = multiply_add(Floats(H[i + s][j]), column[j], sums[s]);
        });
      }
      unroll<kSums>([&](auto s) MAMBA2_INLINE { store(sums[s], x + (i + s) * n + c); });
    }
  }
}

}  // namespace kernels
}  // namespace MAMBA2_ISA
}  // namespace mamba2
