// SPDX-License-Identifier: Apache-2.0
// The scales of groups of INT4 weights.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "mamba2/kernels/simd.hpp"

MAMBA2_INTRINSICS_BEGIN

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// How the scale of a group of INT4 weights is found.
struct Int4Search {
  bool tries = true;                  ///< else the scale of the weight of largest magnitude
  const float* importance = nullptr;  ///< of the group's squared errors (kGroup); or all the same
};

namespace detail {

/// 0 for 0.
[[nodiscard]] inline kernels::Floats inverse_of(const kernels::Floats& scale) {
  const kernels::Floats zero(0.0F);
  return xsimd::select(scale == zero, zero, kernels::divide(kernels::Floats(1.0F), scale));
}

[[nodiscard]] inline kernels::Floats int4_code(const kernels::Floats& w,
                                               const kernels::Floats& inverse) {
  const kernels::Floats q = kernels::nearest(w * inverse);
  return xsimd::min(xsimd::max(q, kernels::Floats(-8.0F)), kernels::Floats(7.0F));
}

/// The scales that are tried, for a weight of 1 as the one of largest magnitude. Constants, so that
/// they are the same wherever this is compiled.
inline constexpr auto kInt4Tries = [] {
  std::array<float, 21> tries{};
  for (int i = 0; i < 21; ++i) {
    tries[static_cast<std::size_t>(i)] = (1.0F + 0.02F * static_cast<float>(i - 12)) / -8.0F;
  }
  return tries;
}();

/// The scales around the one that gives `extreme` the code -8, each replaced by the best one for
/// its codes, sum(h w q) / sum(h q^2): the one with the least squared error.
template <bool kWeighted, std::size_t kGroup>
[[nodiscard]] kernels::Floats search_int4_scale(const std::array<kernels::Floats, kGroup>& w,
                                                const kernels::Floats& extreme, const float* h) {
  using kernels::Floats;
  const Floats zero(0.0F);
  Floats best = zero;
  Floats best_gain = zero;
  for (const float factor : kInt4Tries) {
    const Floats inverse = inverse_of(extreme * Floats(factor));
    Floats wq = zero;
    Floats qq = zero;
    for (std::size_t k = 0; k < kGroup; ++k) {
      const Floats q = int4_code(w[k], inverse);
      Floats hq = q;
      if constexpr (kWeighted) hq *= Floats(h[k]);
      wq = kernels::multiply_add(w[k], hq, wq);
      qq = kernels::multiply_add(q, hq, qq);
    }
    // The squared error is sum(h w^2) - wq^2 / qq: the least where this is largest. Not a number
    // where all weights are 0, and then not larger.
    const Floats gain = kernels::divide(wq * wq, qq);
    best = xsimd::select(gain > best_gain, kernels::divide(wq, qq), best);
    best_gain = xsimd::select(gain > best_gain, gain, best_gain);
  }
  return best;
}

}  // namespace detail

/// The scales (FP16) of a group of weights of as many rows as a register has lanes, a lane to a
/// row. w[k]: the k-th weight of every row. In each row the scale that gives the weight of largest
/// magnitude the code -8 is the start: with its sign, all 16 codes are used.
template <std::size_t kGroup>
[[nodiscard]] std::array<std::uint16_t, kernels::kLanes> int4_scales(
    const std::array<kernels::Floats, kGroup>& w, const Int4Search& search = {}) {
  using kernels::Floats;
  Floats extreme(0.0F);
  for (const Floats& v : w) {
    extreme = xsimd::select(xsimd::abs(v) > xsimd::abs(extreme), v, extreme);
  }
  Floats best = extreme * Floats(-0.125F);
  if (search.tries) {
    best = search.importance == nullptr
               ? detail::search_int4_scale<false>(w, extreme, nullptr)
               : detail::search_int4_scale<true>(w, extreme, search.importance);
  }
  std::array<std::uint16_t, kernels::kLanes> scales;
  kernels::store(best, scales.data());
  return scales;
}

/// Such a group, quantized.
template <std::size_t kGroup>
struct Int4Group {
  std::array<std::array<std::int8_t, kernels::kLanes>, kGroup> codes;  ///< -8..7
  std::array<std::uint16_t, kernels::kLanes> scales;                   ///< FP16

  explicit Int4Group(const std::array<kernels::Floats, kGroup>& w, const Int4Search& search = {})
      : scales(int4_scales(w, search)) {
    const kernels::Floats inverse = detail::inverse_of(kernels::load(scales.data()));
    for (std::size_t k = 0; k < kGroup; ++k) {
      std::array<float, kernels::kLanes> rounded;
      kernels::store(detail::int4_code(w[k], inverse), rounded.data());
      for (std::size_t r = 0; r < kernels::kLanes; ++r) {
        codes[k][r] = static_cast<std::int8_t>(rounded[r]);
      }
    }
  }
};

}  // namespace MAMBA2_ISA
}  // namespace mamba2

MAMBA2_INTRINSICS_END
