// SPDX-License-Identifier: Apache-2.0
// Numbers that many tests need.
#pragma once

#include <limits>

namespace tests {

/// Whether tests do less, as they are emulated or run with sanitizers.
#if defined(MAMBA2_QUICK_TESTS)
inline constexpr bool kQuick = true;
#else
inline constexpr bool kQuick = false;
#endif

inline constexpr float kInfinity = std::numeric_limits<float>::infinity();
inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

}  // namespace tests
