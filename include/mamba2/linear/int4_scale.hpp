// SPDX-License-Identifier: Apache-2.0
// The scales of groups of INT4 weights.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "mamba2/kernels/simd.hpp"

MAMBA2_INTRINSICS_BEGIN

namespace mamba2::inline MAMBA2_ISA {

/// A group of weights of as many rows as a register has lanes, a lane to a row, quantized.
template <std::size_t kGroup>
struct Int4Group {
  std::array<std::array<std::int8_t, kernels::kLanes>, kGroup> codes;  ///< -8..7
  std::array<std::uint16_t, kernels::kLanes> scales;                   ///< FP16

  /// w[k]: the k-th weight of every row. In each row the scale that gives the weight of largest
  /// magnitude the code -8 is the start: with its sign, all 16 codes are used. Scales around it are
  /// tried, each replaced by the best one for its codes, sum(w q) / sum(q^2), and the one with the
  /// least squared error is kept, rounded to FP16.
  explicit Int4Group(const std::array<kernels::Floats, kGroup>& w) {
    using kernels::Floats;
    const Floats zero(0.0F);
    Floats extreme = zero;
    for (const Floats& v : w) {
      extreme = xsimd::select(xsimd::abs(v) > xsimd::abs(extreme), v, extreme);
    }
    Floats best = zero;
    Floats best_gain = zero;
    for (int step = -12; step <= 8; ++step) {
      const Floats scale = extreme * Floats((1.0F + 0.02F * static_cast<float>(step)) / -8.0F);
      const Floats inverse = inverse_of(scale);
      Floats wq = zero;
      Floats qq = zero;
      for (const Floats& v : w) {
        const Floats q = code(v, inverse);
        wq = xsimd::fma(v, q, wq);
        qq = xsimd::fma(q, q, qq);
      }
      // The squared error is sum(w^2) - wq^2 / qq: the least where this is largest. Not a number
      // where all weights are 0, and then not larger.
      const Floats gain = wq * wq / qq;
      best = xsimd::select(gain > best_gain, wq / qq, best);
      best_gain = xsimd::select(gain > best_gain, gain, best_gain);
    }
    kernels::store(best, scales.data());
    const Floats inverse = inverse_of(kernels::load(scales.data()));
    for (std::size_t k = 0; k < kGroup; ++k) {
      std::array<float, kernels::kLanes> rounded;
      kernels::store(code(w[k], inverse), rounded.data());
      for (std::size_t r = 0; r < kernels::kLanes; ++r) {
        codes[k][r] = static_cast<std::int8_t>(rounded[r]);
      }
    }
  }

 private:
  /// 0 for 0.
  static kernels::Floats inverse_of(const kernels::Floats& scale) {
    const kernels::Floats zero(0.0F);
    return xsimd::select(scale == zero, zero, kernels::Floats(1.0F) / scale);
  }
  static kernels::Floats code(const kernels::Floats& w, const kernels::Floats& inverse) {
    const kernels::Floats q = xsimd::nearbyint(w * inverse);
    return xsimd::min(xsimd::max(q, kernels::Floats(-8.0F)), kernels::Floats(7.0F));
  }
};

}  // namespace mamba2::inline MAMBA2_ISA

MAMBA2_INTRINSICS_END
