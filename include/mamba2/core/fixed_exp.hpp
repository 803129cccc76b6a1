// SPDX-License-Identifier: Apache-2.0
// exp(-x) as an integer, the same on every machine.
#pragma once

#include <array>
#include <cstdint>

#include "mamba2/core/platform.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// fixed_exp(0).
inline constexpr std::uint64_t kFixedOne = std::uint64_t{1} << 32U;

/// 2^32 * exp(-x) for x >= 0, within 2 units; 0 from x = 22.2 on, and for what is not a number.
/// Floating point enters only through two multiplications, which round alike everywhere: no libm,
/// whose results differ, and no sum that a compiler might fuse with a product.
[[nodiscard]] inline std::uint64_t fixed_exp(double x) noexcept {
  constexpr double kLog2E = 1.4426950408889634;
  constexpr double kTwo32 = 4294967296.0;
  // The Taylor series of 2^-f in units of 2^-32, signs left out: ln(2)^k / k!.
  constexpr std::array<std::uint64_t, 12> kSeries = {4294967296, 2977044472, 1031764991, 238388332,
                                                     41309550,   5726720,    661577,     65510,
                                                     5676,       437,        30,         2};
  const double power = x * kLog2E;
  if (!(power >= 0.0 && power < 33.0)) return 0;
  const auto fixed = static_cast<std::uint64_t>(power * kTwo32);
  const std::uint64_t fraction = fixed & (kFixedOne - 1);
  std::uint64_t value = 0;
  for (std::size_t k = kSeries.size(); k-- > 0;) value = kSeries[k] - (value * fraction >> 32U);
  return value >> (fixed >> 32U);
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
