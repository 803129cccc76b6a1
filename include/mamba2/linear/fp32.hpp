// SPDX-License-Identifier: Apache-2.0
// Fp32: weights as they are.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>
#include <utility>

#include "mamba2/kernels/simd.hpp"
#include "mamba2/linear/matrix.hpp"

namespace mamba2::inline MAMBA2_ISA {

/// FP32 weights and activations. A band is (cols, kBandRows) floats: column after column.
struct Fp32 {
  static constexpr std::string_view name = "fp32";
  static constexpr std::size_t kBandRows = kernels::kLanes;

  [[nodiscard]] static constexpr std::size_t band_bytes(std::size_t cols) {
    return kBandRows * cols * sizeof(float);
  }

  static void pack_band(const float* rows, std::size_t cols, std::byte* band) {
    auto* to = reinterpret_cast<float*>(band);
    for (std::size_t k = 0; k < cols; ++k) {
      for (std::size_t r = 0; r < kBandRows; ++r) *to++ = rows[r * cols + k];
    }
  }

  static void multiply(const Matrix<Fp32>& m, ConstRows x, MutableRows y);

  static void row(const Matrix<Fp32>& m, std::size_t index, float* to) {
    const auto* from = values(m, index / kBandRows) + index % kBandRows;
    for (std::size_t k = 0; k < m.cols; ++k) to[k] = from[k * kBandRows];
  }

  [[nodiscard]] static const float* values(const Matrix<Fp32>& m, std::size_t band) {
    return reinterpret_cast<const float*>(m.band(band));
  }
};

namespace detail {

/// kTokens tokens times one band, all sums in registers. Every sum is split in kChains chains of
/// additions, so that one token alone does not wait for the latency of each.
template <std::size_t kTokens, std::size_t kChains>
void fp32_tile(const float* band, ConstRows x, std::size_t rows, MutableRows y) {
  using kernels::Floats;
  using kernels::kLanes;
  std::array<std::array<Floats, kChains>, kTokens> sums;
  for (auto& chains : sums) chains.fill(Floats(0.0F));
  std::size_t k = 0;
  for (; k + kChains <= x.cols; k += kChains) {
    for (std::size_t c = 0; c < kChains; ++c) {
      const Floats w = kernels::load(band + (k + c) * kLanes);
      for (std::size_t t = 0; t < kTokens; ++t) {
        sums[t][c] = xsimd::fma(w, Floats(x[t][k + c]), sums[t][c]);
      }
    }
  }
  for (; k < x.cols; ++k) {
    const Floats w = kernels::load(band + k * kLanes);
    for (std::size_t t = 0; t < kTokens; ++t) {
      sums[t][0] = xsimd::fma(w, Floats(x[t][k]), sums[t][0]);
    }
  }
  for (std::size_t t = 0; t < kTokens; ++t) {
    for (std::size_t c = 1; c < kChains; ++c) sums[t][0] += sums[t][c];
    if (rows == kLanes) {
      sums[t][0].store_unaligned(y[t]);
    } else {
      std::array<float, kLanes> lanes;
      sums[t][0].store_unaligned(lanes.data());
      std::copy_n(lanes.data(), rows, y[t]);
    }
  }
}

/// One band times any number of tokens.
inline void fp32_band(const float* band, ConstRows x, std::size_t rows, MutableRows y) {
  constexpr std::size_t kTile = 8;
  std::size_t t = 0;
  for (; t + kTile <= x.rows; t += kTile) {
    fp32_tile<kTile, 1>(band, x.middle(t, kTile), rows, y.middle(t, kTile));
  }
  for (; t < x.rows; ++t) fp32_tile<1, 4>(band, x.middle(t, 1), rows, y.middle(t, 1));
}

}  // namespace detail

/// y = x m^T. x (tokens, m.cols), y (tokens, m.rows), FP32 sums in an order that depends on
/// nothing but the number of tokens.
inline void Fp32::multiply(const Matrix<Fp32>& m, ConstRows x, MutableRows y) {
  for (std::size_t band = 0; band < m.band_count(); ++band) {
    const std::size_t first = band * kBandRows;
    const std::size_t rows = std::min(kBandRows, m.rows - first);
    detail::fp32_band(values(m, band), x, rows, y.columns(first, rows));
  }
}

static_assert(WeightPolicy<Fp32>);

}  // namespace mamba2::inline MAMBA2_ISA
