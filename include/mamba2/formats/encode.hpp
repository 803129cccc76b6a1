// SPDX-License-Identifier: Apache-2.0
// Writing tensors: from floats to the types of checkpoints.
#pragma once

#include <cstddef>
#include <span>

#include "mamba2/core/linkage.hpp"
#include "mamba2/formats/dtype.hpp"
#include "mamba2/formats/dtype_range.hpp"

#if MAMBA2_HAS_DEFINITIONS
#include <cstdint>
#include <cstring>

#include "mamba2/core/half.hpp"
#include "mamba2/formats/encode_blocks.hpp"
#include "mamba2/formats/encode_q6_k.hpp"
#endif

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// Whether encode_floats can write the type.
[[nodiscard]] constexpr bool is_encodable(DType dtype) noexcept {
  return dtype == DType::F32 || dtype == DType::F16 || dtype == DType::BF16 ||
         dtype == DType::Q8_0 || dtype == DType::Q4_0 || dtype == DType::Q6_K;
}

/// Writes floats as elements of an encodable type. F16 and BF16 are rounded to nearest, ties to
/// even; Q8_0, Q4_0 and Q6_K as ggml quantizes them. `values` are whole
/// blocks, in magnitude max_encodable() at most. `out`
/// has room for values.size() / dtype_block(dtype) * dtype_size(dtype) bytes.
void encode_floats(DType dtype, std::span<const float> values, std::byte* out) noexcept;

#if MAMBA2_HAS_DEFINITIONS

namespace detail {

template <class Round>
void encode_halves(std::span<const float> values, std::byte* out, Round round) noexcept {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::uint16_t bits = round(values[i]);
    std::memcpy(out + i * sizeof bits, &bits, sizeof bits);
  }
}

/// @tparam kEncode writes one block of so many elements
template <DType kType, auto kEncode>
void encode_blocks(std::span<const float> values, std::byte* out) noexcept {
  for (std::size_t i = 0; i < values.size(); i += dtype_block(kType)) {
    kEncode(&values[i], out);
    out += dtype_size(kType);
  }
}

}  // namespace detail

MAMBA2_FUNCTION void encode_floats(DType dtype, std::span<const float> values,
                                   std::byte* out) noexcept {
  if (values.empty()) return;
  switch (dtype) {
    case DType::F16:
      return detail::encode_halves(values, out, float_to_fp16);
    case DType::BF16:
      return detail::encode_halves(values, out, float_to_bf16);
    case DType::Q8_0:
      return detail::encode_blocks<DType::Q8_0, detail::encode_q8_0>(values, out);
    case DType::Q4_0:
      return detail::encode_blocks<DType::Q4_0, detail::encode_q4_0>(values, out);
    case DType::Q6_K:
      return detail::encode_blocks<DType::Q6_K, detail::encode_q6_k>(values, out);
    default:
      std::memcpy(out, values.data(), values.size_bytes());
  }
}

#endif

}  // namespace MAMBA2_ISA
}  // namespace mamba2
