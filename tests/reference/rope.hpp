// SPDX-License-Identifier: Apache-2.0
// Oracle: rotary position embedding, in double precision.
#pragma once

#include <cmath>
#include <cstddef>

namespace reference {

/// Which channels of a head turn with the position, and how fast.
struct Rope {
  std::size_t width = 0;  ///< the first channels, an even number of them; 0: none
  double base = 10000.0;
};

/// Turns the head of the token at `position`, in place: channels i and i + width / 2 are a point in
/// a plane, which turns by position * base^(-2 i / width); channels from width on stay.
inline void rotate(const Rope& rope, std::size_t position, double* head) {
  const std::size_t half = rope.width / 2;
  for (std::size_t i = 0; i < half; ++i) {
    const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(rope.width);
    const double angle = static_cast<double>(position) * std::pow(rope.base, exponent);
    const double a = head[i], b = head[i + half];
    head[i] = a * std::cos(angle) - b * std::sin(angle);
    head[i + half] = b * std::cos(angle) + a * std::sin(angle);
  }
}

}  // namespace reference
