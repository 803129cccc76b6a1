// SPDX-License-Identifier: Apache-2.0
// Reading tensors in the quantized types of GGUF.
#pragma once

#include <cstddef>
#include <span>

#include "mamba2/core/linkage.hpp"
#include "mamba2/formats/dtype.hpp"

#if MAMBA2_HAS_DEFINITIONS
#include <algorithm>
#include <array>

#include "mamba2/formats/blocks.hpp"
#include "mamba2/formats/iq_blocks.hpp"
#include "mamba2/formats/small_blocks.hpp"
#include "mamba2/formats/super_blocks.hpp"
#endif

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// Reads the elements [first, first + out.size()) of a tensor of a quantized type, which begins at
/// `data`; the range need not begin or end with a block.
void read_quantized(DType dtype, const std::byte* data, std::size_t first,
                    std::span<float> out) noexcept;

#if MAMBA2_HAS_DEFINITIONS

/// @tparam kDecode writes the elements of one block
template <DType kType, auto kDecode>
void read_blocks(const std::byte* data, std::size_t first, std::span<float> out) noexcept {
  constexpr std::size_t kBlock = dtype_block(kType);
  constexpr std::size_t kSize = dtype_size(kType);
  const auto block = [data](std::size_t i) { return QuantizedBlock(data + i * kSize); };
  std::size_t i = first / kBlock;
  for (std::size_t skip = first % kBlock; !out.empty(); skip = 0, ++i) {
    const std::size_t count = std::min(kBlock - skip, out.size());
    if (count == kBlock) {
      kDecode(block(i), out.data());
    } else {
      std::array<float, kBlock> whole;
      kDecode(block(i), whole.data());
      std::copy_n(whole.data() + skip, count, out.data());
    }
    out = out.subspan(count);
  }
}

MAMBA2_FUNCTION void read_quantized(DType dtype, const std::byte* data, std::size_t first,
                                    std::span<float> out) noexcept {
  switch (dtype) {
    case DType::Q4_0:
      return read_blocks<DType::Q4_0, decode_q4_0>(data, first, out);
    case DType::Q4_1:
      return read_blocks<DType::Q4_1, decode_q4_1>(data, first, out);
    case DType::Q5_0:
      return read_blocks<DType::Q5_0, decode_q5_0>(data, first, out);
    case DType::Q5_1:
      return read_blocks<DType::Q5_1, decode_q5_1>(data, first, out);
    case DType::Q8_0:
      return read_blocks<DType::Q8_0, decode_q8_0>(data, first, out);
    case DType::IQ4_NL:
      return read_blocks<DType::IQ4_NL, decode_iq4_nl>(data, first, out);
    case DType::IQ4_XS:
      return read_blocks<DType::IQ4_XS, decode_iq4_xs>(data, first, out);
    case DType::Q2_K:
      return read_blocks<DType::Q2_K, decode_q2_k>(data, first, out);
    case DType::Q3_K:
      return read_blocks<DType::Q3_K, decode_q3_k>(data, first, out);
    case DType::Q4_K:
      return read_blocks<DType::Q4_K, decode_q4_k>(data, first, out);
    case DType::Q5_K:
      return read_blocks<DType::Q5_K, decode_q5_k>(data, first, out);
    case DType::Q6_K:
      return read_blocks<DType::Q6_K, decode_q6_k>(data, first, out);
    case DType::TQ1_0:
      return read_blocks<DType::TQ1_0, decode_tq1_0>(data, first, out);
    case DType::TQ2_0:
      return read_blocks<DType::TQ2_0, decode_tq2_0>(data, first, out);
    case DType::Q1_0:
      return read_blocks<DType::Q1_0, decode_q1_0>(data, first, out);
    case DType::Q2_0:
      return read_blocks<DType::Q2_0, decode_q2_0>(data, first, out);
    case DType::MXFP4:
      return read_blocks<DType::MXFP4, decode_mxfp4>(data, first, out);
    case DType::NVFP4:
      return read_blocks<DType::NVFP4, decode_nvfp4>(data, first, out);
    case DType::IQ1_S:
      return read_blocks<DType::IQ1_S, decode_iq1_s>(data, first, out);
    case DType::IQ1_M:
      return read_blocks<DType::IQ1_M, decode_iq1_m>(data, first, out);
    case DType::IQ2_XXS:
      return read_blocks<DType::IQ2_XXS, decode_iq2_xxs>(data, first, out);
    case DType::IQ2_XS:
      return read_blocks<DType::IQ2_XS, decode_iq2_xs>(data, first, out);
    case DType::IQ2_S:
      return read_blocks<DType::IQ2_S, decode_iq2_s>(data, first, out);
    case DType::IQ3_XXS:
      return read_blocks<DType::IQ3_XXS, decode_iq3_xxs>(data, first, out);
    case DType::IQ3_S:
      return read_blocks<DType::IQ3_S, decode_iq3_s>(data, first, out);
    default:
      return;
  }
}

#endif

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
