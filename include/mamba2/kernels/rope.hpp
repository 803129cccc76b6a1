// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding: arXiv 2104.09864, in the form that pairs the halves of a head
// ("NeoX").
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>

#include "mamba2/kernels/simd.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels {

/// How far each pair of channels turns from one token to the next, in units of 2^-64 turns:
/// base^(-2i / rot) radians for pair i. As whole turns do not matter, the angle of any token is a
/// product of integers that overflows as it should: nothing is lost but what is rounded here, 2^-65
/// turns for each token. rot: even; base: positive and finite; steps (rot / 2).
inline void rope_steps(double base, std::size_t rot, std::uint64_t* steps) noexcept {
  for (std::size_t i = 0; i < rot / 2; ++i) {
    const long double exponent =
        -2.0L * static_cast<long double>(i) / static_cast<long double>(rot);
    const long double radians = std::pow(static_cast<long double>(base), exponent);
    const long double turns = radians / (2.0L * std::numbers::pi_v<long double>);
    steps[i] = static_cast<std::uint64_t>((turns - std::floor(turns)) * 0x1p64L);
  }
}

struct SineCosine {
  double sine;
  double cosine;
};

/// Of an angle in units of 2^-64 turns, within 1e-11.
[[nodiscard]] inline SineCosine sine_cosine(std::uint64_t angle) noexcept {
  // In quarters of a turn, and what is left of it, which is at most half a quarter.
  const std::uint64_t quarter = (angle + (std::uint64_t{1} << 61)) >> 62;
  const auto rest = static_cast<std::int64_t>(angle - (quarter << 62));
  const double x = static_cast<double>(rest) * (0x1p-63 * std::numbers::pi);
  const double xx = x * x;
  // The Taylor series: what is left out is 7e-12 and 4e-13.
  const double sine =
      x + x * xx *
              (-1.0 / 6 + xx * (1.0 / 120 +
                                xx * (-1.0 / 5040 + xx * (1.0 / 362880 + xx * (-1.0 / 39916800)))));
  const double cosine =
      1.0 + xx * (-0.5 + xx * (1.0 / 24 +
                               xx * (-1.0 / 720 +
                                     xx * (1.0 / 40320 + xx * (-1.0 / 3628800 + xx / 479001600)))));
  const bool odd = (quarter & 1U) != 0;
  const double s = odd ? cosine : sine;
  const double c = odd ? sine : cosine;
  return {(quarter & 2U) != 0 ? -s : s, ((quarter + 1U) & 2U) != 0 ? -c : c};
}

/// The cosines of a token's angles, then their sines: turns (2, pairs). steps (pairs) of
/// rope_steps(); position 0 is the first token's. To FP32 rounding at any position up to 2^40.
inline void rope_turns(const std::uint64_t* steps, std::size_t pairs, std::uint64_t position,
                       float* turns) noexcept {
  for (std::size_t i = 0; i < pairs; ++i) {
    const SineCosine at = sine_cosine(position * steps[i]);
    turns[i] = static_cast<float>(at.cosine);
    turns[pairs + i] = static_cast<float>(at.sine);
  }
}

/// Turns pair i, which is x[i] and x[pairs + i], by turns (2, pairs); other channels of the head
/// stay. x (at least 2 * pairs).
inline void rope(const float* turns, std::size_t pairs, float* x) noexcept {
  for_each_vector(pairs, [&](std::size_t i, auto lanes) {
    const Floats cosine = lanes.load(turns + i);
    const Floats sine = lanes.load(turns + pairs + i);
    const Floats a = lanes.load(x + i);
    const Floats b = lanes.load(x + pairs + i);
    lanes.store(multiply_add(a, cosine, -(b * sine)), x + i);
    lanes.store(multiply_add(a, sine, b * cosine), x + pairs + i);
  });
}

}  // namespace kernels
}  // namespace MAMBA2_ISA
}  // namespace mamba2
