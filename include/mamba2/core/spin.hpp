// SPDX-License-Identifier: Apache-2.0
// Waiting without sleeping.
#pragma once

#include <chrono>

#include "mamba2/core/platform.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

namespace detail {

/// Tells the processor that this is a waiting loop.
inline void spin_pause() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  asm volatile("isb" ::: "memory");  // cores without hyper-threads ignore yield
#endif
}

/// Looks until ready() or the time is over, and says which. The clock decides, not a number of
/// iterations: they take longer on a core that is clocked down.
template <class Ready>
bool spin_until(std::chrono::nanoseconds time, Ready ready) noexcept {
  using Clock = std::chrono::steady_clock;
  for (Clock::time_point end{};;) {
    for (int i = 0; i < 16; ++i) {
      if (ready()) return true;
      spin_pause();
    }
    const Clock::time_point now = Clock::now();
    if (end == Clock::time_point{}) end = now + time;
    if (now >= end) return false;
  }
}

}  // namespace detail

}  // namespace MAMBA2_ISA
}  // namespace mamba2
