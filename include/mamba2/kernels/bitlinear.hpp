// SPDX-License-Identifier: Apache-2.0
// How a BitLinear layer rounds its inputs: BitNet b1.58, arXiv 2402.17764, as BitMamba-2's engines
// compute it.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

#include "mamba2/kernels/simd.hpp"

MAMBA2_INTRINSICS_BEGIN

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels {

/// Codes of an input x are round(s x) with s = 127 / (max|x| + 1e-5). x (n). NaN if a value is NaN
/// or infinite.
[[nodiscard]] inline float bitlinear_scale(const float* x, std::size_t n) noexcept {
  Floats most(0.0F);
  Floats zeros(0.0F);  // x * 0 is NaN for what is not finite; a maximum may drop it
  for_each_vector(n, [&](std::size_t i, auto lanes) {
    const Floats v = lanes.load(x + i);
    most = xsimd::max(most, xsimd::abs(v));
    zeros = multiply_add(v, Floats(0.0F), zeros);
  });
  std::array<float, kLanes> lanes;
  store(most, lanes.data());
  return 127.0F / (*std::max_element(lanes.begin(), lanes.end()) + sum(zeros) + 1e-5F);
}

/// The whole numbers nearest to v, halves away from 0. |v| < 2^22.
[[nodiscard]] inline Floats round_half_away(Floats v) noexcept {
  // So that v is rounded before anything is taken from it: compilers would do both in one step.
  asm("" : "+m"(v));
  const Floats whole = xsimd::trunc(v);
  const Floats one = xsimd::select(v < Floats(0.0F), Floats(-1.0F), Floats(1.0F));
  return xsimd::select(xsimd::abs(v - whole) < Floats(0.5F), whole, whole + one);
}

/// Replaces an input x (n) by what its codes stand for: their product with 1 / s, as a division of
/// vectors is not rounded to nearest on every CPU.
[[gnu::flatten]] inline void round_as_bitlinear(float* x, std::size_t n) noexcept {
  const float scale = bitlinear_scale(x, n);
  const Floats codes_per_unit(scale);
  const Floats step(1.0F / scale);
  for_each_vector(n, [&](std::size_t i, auto lanes) {
    lanes.store(round_half_away(lanes.load(x + i) * codes_per_unit) * step, x + i);
  });
}

}  // namespace kernels
}  // namespace MAMBA2_ISA
}  // namespace mamba2

MAMBA2_INTRINSICS_END
