// SPDX-License-Identifier: Apache-2.0
// The largest numbers that the types of checkpoints hold.
#pragma once

#include <limits>

#include "mamba2/core/half.hpp"
#include "mamba2/formats/dtype.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// A magnitude up to which every finite value may be rounded to this type: it stays finite, and as
/// near as rounding leaves it. A larger one may not. Below there is no limit: what a type, or the
/// scale of a block, cannot tell from 0 becomes 0.
[[nodiscard]] constexpr float max_encodable(DType dtype) noexcept {
  constexpr float kLargest = std::numeric_limits<float>::max();
  switch (dtype) {
    case DType::F16:
      return kMaxFp16;
    case DType::BF16:
      return kMaxBf16;
    // Those with an FP16 scale, times the code of the value of largest magnitude, whatever its
    // sign: in INT4 it is -8 for one of them only.
    case DType::Q8_0:
      return kMaxFp16 * 127.0F;
    case DType::Q4_0:
      return kMaxFp16 * 8.0F;
    case DType::Q6_K:
      return kMaxFp16 * 32.0F;
    case DType::INT4_G32:
    case DType::INT4_G64:
    case DType::INT4_G128:
      return kMaxFp16 * 7.0F;
    case DType::INT8:
      return kLargest / 128.0F * 127.0F;  // so that a scale times any byte is finite
    default:
      return kLargest;
  }
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2
