// SPDX-License-Identifier: Apache-2.0
// exp, SiLU, GELU and softplus, as polynomials on vectors; the square of ReLU.
#pragma once

#include "mamba2/kernels/simd.hpp"

MAMBA2_INTRINSICS_BEGIN

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels {

/// v * 2^n, n whole numbers in -126..127.
[[nodiscard]] inline Floats times_power_of_two(const Floats& v, const Floats& n) {
#if defined(__aarch64__)
  // As xsimd does it, but xsimd 8 casts by a pointer to a function, which GCC does not inline: a
  // call that takes all vector registers away, from every loop with silu().
  const int32x4_t bits = vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127)), 23);
  return vmulq_f32(v, vreinterpretq_f32_s32(bits));
#else
  return xsimd::ldexp(v, xsimd::to_int(n));
#endif
}

/// e^v to 1 unit in the last place, for v <= 88; above that e^88. Results below the smallest normal
/// float are 0. A NaN stays one.
[[nodiscard]] inline Floats exp(const Floats& v) {
  // e^v = 2^n e^r with n the integer nearest to v / ln 2, so |r| <= ln 2 / 2. ln 2 in two parts:
  // n times the first is exact.
  const Floats clamped = xsimd::min(xsimd::max(v, Floats(-87.33654F)), Floats(88.0F));
  const Floats n = nearest(clamped * Floats(1.442695041F));
  const Floats r =
      multiply_add(n, Floats(2.12194440e-4F), multiply_add(n, Floats(-0.693359375F), clamped));
  // (e^r - 1 - r) / r^2: the minimax polynomial for the relative error of e^r, which is 3e-9.
  Floats p(0.0013814598F);
  p = multiply_add(p, r, Floats(0.0083687169F));
  p = multiply_add(p, r, Floats(0.041668388F));
  p = multiply_add(p, r, Floats(0.16666521F));
  p = multiply_add(p, r, Floats(0.49999993F));
  p = multiply_add(p, r * r, r) + Floats(1.0F);
  const Floats scaled = times_power_of_two(p, n);
  const Floats flushed = xsimd::select(v < Floats(-87.33654F), Floats(0.0F), scaled);
#if defined(__aarch64__)
  return flushed;
#else
  return xsimd::select(v == v, flushed, v);  // min and max of x86 drop a NaN
#endif
}

/// v * sigmoid(v) to 4 units in the last place.
[[nodiscard]] inline Floats silu(const Floats& v) {
  // e^-|v| never overflows: v / (1 + e^-v) for v >= 0, v e^v / (1 + e^v) below.
  const Floats e = exp(-xsimd::abs(v));
  return xsimd::select(v < Floats(0.0F), v * e, v) / (Floats(1.0F) + e);
}

/// v * Phi(v), with Phi the distribution function of the normal distribution: not its approximation
/// by tanh. To 8 units in the last place for v >= -1, and 12 for v >= -4; beyond, where it is next
/// to nothing, the relative error grows with v^2 / 2.
[[nodiscard]] inline Floats gelu(const Floats& v) {
  // max(v, 0) - a Q(a) with a = |v| and Q = 1 - Phi. Q(a) e^(a^2 / 2) falls like 1 / a: it is a
  // polynomial of t = 1 / (1 + 0.35 a) without a constant, to 3e-8 of itself.
  const Floats a = xsimd::abs(v);
  const Floats t = divide(Floats(1.0F), multiply_add(a, Floats(0.35F), Floats(1.0F)));
  Floats p(-0.029146137F);
  p = multiply_add(p, t, Floats(0.14397269F));
  p = multiply_add(p, t, Floats(-0.2557163F));
  p = multiply_add(p, t, Floats(0.15917645F));
  p = multiply_add(p, t, Floats(-0.023111388F));
  p = multiply_add(p, t, Floats(0.10550865F));
  p = multiply_add(p, t, Floats(0.11983271F));
  p = multiply_add(p, t, Floats(0.13986190F));
  p = multiply_add(p, t, Floats(0.13962141F));
  const Floats tail = a * t * p * exp(a * a * Floats(-0.5F));
  return xsimd::select(v < Floats(0.0F), -tail, v - tail);
}

/// max(v, 0)^2, rounded once. A NaN stays one.
[[nodiscard]] inline Floats relu2(const Floats& v) {
  return xsimd::select(v < Floats(0.0F), Floats(0.0F), v * v);
}

/// log(1 + e^v) to 4 units in the last place.
[[nodiscard]] inline Floats softplus(const Floats& v) {
  // max(v, 0) + log(1 + e) with e = e^-|v| in (0, 1]: small e counts in full. The logarithm is
  // 2 artanh(s) with s = e / (2 + e) <= 1/3.
  const Floats e = exp(-xsimd::abs(v));
  const Floats s = e / (Floats(2.0F) + e);
  const Floats w = s * s;
  // (artanh(s) / s - 1) / s^2, the minimax polynomial for the relative error of artanh: 5e-9.
  Floats p(0.14006333F);
  p = multiply_add(p, w, Floats(0.14000839F));
  p = multiply_add(p, w, Floats(0.20010767F));
  p = multiply_add(p, w, Floats(0.33333208F));
  const Floats twice = s + s;
  return xsimd::max(v, Floats(0.0F)) + multiply_add(twice * w, p, twice);
}

}  // namespace kernels
}  // namespace MAMBA2_ISA
}  // namespace mamba2

MAMBA2_INTRINSICS_END
