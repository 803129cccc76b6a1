// SPDX-License-Identifier: Apache-2.0
// The vector type of the portable kernels, and what xsimd names differently from version to
// version.
#pragma once

#include <cstddef>
#include <xsimd/xsimd.hpp>

#include "mamba2/core/platform.hpp"

namespace mamba2::inline MAMBA2_ISA::kernels {

/// As many floats as one register of the instruction set holds.
using Floats = xsimd::batch<float>;

/// Values per register.
inline constexpr std::size_t kLanes = Floats::size;

[[nodiscard]] inline Floats load(const float* values) { return Floats::load_unaligned(values); }

/// Sum over the lanes.
[[nodiscard]] inline float sum(const Floats& values) {
#if XSIMD_VERSION_MAJOR >= 9
  return xsimd::reduce_add(values);
#else
  return xsimd::hadd(values);
#endif
}

}  // namespace mamba2::inline MAMBA2_ISA::kernels
