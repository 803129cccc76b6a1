// SPDX-License-Identifier: Apache-2.0
// Numbers that many tests need.
#pragma once

#include <limits>

namespace tests {

inline constexpr float kInfinity = std::numeric_limits<float>::infinity();
inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

}  // namespace tests
