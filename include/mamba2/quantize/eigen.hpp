// SPDX-License-Identifier: Apache-2.0
// Eigen, without the warnings that GCC has for it where it uses intrinsics.
#pragma once

#include "mamba2/core/platform.hpp"

MAMBA2_INTRINSICS_BEGIN
#include <Eigen/Dense>
MAMBA2_INTRINSICS_END
