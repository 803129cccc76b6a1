// SPDX-License-Identifier: Apache-2.0
// How far two arrays are apart, for bounds that a NaN or a wrong size cannot pass.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <ranges>
#include <vector>

namespace reference {

/// The largest |a[i] - b[i]|; infinite where the sizes differ, where there is nothing to compare
/// or where a value is not finite. The ranges may hold any floating-point types.
template <std::ranges::random_access_range A, std::ranges::random_access_range B>
[[nodiscard]] double max_abs_difference(const A& a, const B& b) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const auto size = static_cast<std::size_t>(std::ranges::size(a));
  if (size == 0 || size != static_cast<std::size_t>(std::ranges::size(b))) return kInfinity;
  double worst = 0.0;
  auto bi = std::ranges::begin(b);
  for (const auto value : a) {
    const double difference = std::abs(static_cast<double>(value) - static_cast<double>(*bi++));
    if (!std::isfinite(difference)) return kInfinity;
    worst = std::max(worst, difference);
  }
  return worst;
}

/// The larger one; infinite if the error is NaN, which std::max may drop.
[[nodiscard]] inline double worse(double worst, double error) {
  return std::isnan(error) ? std::numeric_limits<double>::infinity() : std::max(worst, error);
}

/// The largest |a[i]|: the scale to judge a difference by.
template <std::ranges::input_range A>
[[nodiscard]] double max_abs(const A& a) {
  double worst = 0.0;
  for (const auto value : a) worst = std::max(worst, std::abs(static_cast<double>(value)));
  return worst;
}

/// About the mean of all values: the unit of differences between logits.
[[nodiscard]] inline double standard_deviation(const std::vector<double>& values) {
  const auto n = static_cast<double>(values.size());
  double sum = 0.0;
  double squares = 0.0;
  for (const double value : values) {
    sum += value;
    squares += value * value;
  }
  return std::sqrt(squares / n - sum / n * (sum / n));
}

}  // namespace reference
