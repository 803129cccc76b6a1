// SPDX-License-Identifier: Apache-2.0
// Scalar activation functions.
#pragma once

#include <cmath>

#include "mamba2/core/platform.hpp"

namespace mamba2::inline MAMBA2_ISA::kernels {

/// v * sigmoid(v). For v below -88, exp(-v) is infinite and the result the limit, -0.
[[nodiscard]] inline float silu(float v) noexcept { return v / (1.0F + std::exp(-v)); }

/// log(1 + exp(v)), and v itself above 20 where the two differ by less than float can show: the
/// threshold of the original implementation. log1p keeps the tail below -16 that log(1 + e) loses.
[[nodiscard]] inline float softplus(float v) noexcept {
  return v > 20.0F ? v : std::log1p(std::exp(v));
}

}  // namespace mamba2::inline MAMBA2_ISA::kernels
