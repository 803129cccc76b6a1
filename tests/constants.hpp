// SPDX-License-Identifier: Apache-2.0
// Numbers that many tests need.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <limits>
#include <vector>

namespace tests {

/// Whether tests do less, as they are emulated or run with sanitizers.
#if defined(MAMBA2_QUICK_TESTS)
inline constexpr bool kQuick = true;
#else
inline constexpr bool kQuick = false;
#endif

/// All of them; where tests do less, only the last.
inline std::vector<std::size_t> all_or_last(std::initializer_list<std::size_t> all) {
  return kQuick ? std::vector{*(all.end() - 1)} : std::vector(all);
}

inline constexpr float kInfinity = std::numeric_limits<float>::infinity();
inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

}  // namespace tests
