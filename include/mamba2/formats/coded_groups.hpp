// SPDX-License-Identifier: Apache-2.0
// The quantized types of GGUF as whole numbers and scales, for products that take them as they are.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "mamba2/core/half.hpp"
#include "mamba2/formats/decode.hpp"
#include "mamba2/formats/dtype.hpp"
#include "mamba2/formats/super_blocks.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// 32 elements of a row: each is scale * code.
struct CodedGroup {
  std::uint16_t scale = 0;  // FP16
  std::array<std::int8_t, 32> codes{};
};

/// Whether the elements of a type are a scale for at least 32 of them times codes of so many bits
/// at most: of 2 bits -1..2, of more -2^(bits-1) and up.
[[nodiscard]] constexpr bool has_coded_groups(DType dtype, std::size_t bits) {
  switch (dtype) {
    case DType::TQ1_0:
    case DType::TQ2_0:
    case DType::Q1_0:
    case DType::Q2_0:
      return true;
    case DType::Q4_0:
      return bits >= 4;
    case DType::Q5_0:
    case DType::Q8_0:
    case DType::IQ4_NL:
      return bits >= 8;
    default:
      return false;
  }
}

/// The index'th group of a row of such a type. With a scale of 1 a block decodes to its codes.
[[nodiscard]] inline CodedGroup read_coded_group(DType dtype, const std::byte* row,
                                                 std::size_t index) {
  constexpr std::uint16_t kOne = 0x3C00;
  const std::size_t block = dtype_block(dtype);
  const std::size_t size = dtype_size(dtype);
  // The scale comes first; in the blocks of 256 last.
  const std::size_t at = block < 256 ? 0 : size - sizeof kOne;
  std::array<std::byte, 66> bytes;
  std::memcpy(bytes.data(), row + index * 32 / block * size, size);
  CodedGroup group;
  std::memcpy(&group.scale, &bytes[at], sizeof group.scale);
  if (dtype == DType::Q8_0) {  // which has them as they are
    std::memcpy(group.codes.data(), &bytes[2], group.codes.size());
    return group;
  }
  std::memcpy(&bytes[at], &kOne, sizeof kOne);
  std::array<float, 32> values;
  read_quantized(dtype, bytes.data(), index * 32 % block, values);
  for (std::size_t i = 0; i < values.size(); ++i) {
    group.codes[i] = static_cast<std::int8_t>(values[i]);
  }
  return group;
}

/// 32 elements of a row: a code each, and what the block has besides.
struct CodedBlock {
  std::array<std::uint16_t, 2> halves{};  // d, m: FP16
  std::array<std::uint8_t, 32> codes{};
};

/// Whether the blocks of a type have a minimum: elements are d * code + m.
[[nodiscard]] constexpr bool has_minimum(DType dtype) {
  return dtype == DType::Q4_1 || dtype == DType::Q5_1;
}

/// What a code of type Q4_1, Q5_0, Q5_1 or IQ4_NL stands for.
[[nodiscard]] constexpr int code_value(DType dtype, int code) {
  return dtype == DType::IQ4_NL ? iq4_value(code) : dtype == DType::Q5_0 ? code - 16 : code;
}

/// A block of such a type.
[[nodiscard]] inline CodedBlock read_coded_block(DType dtype, const std::byte* bytes) {
  const QuantizedBlock block(bytes);
  CodedBlock out;
  std::size_t at = has_minimum(dtype) ? 4 : 2;
  std::memcpy(out.halves.data(), bytes, at);
  std::uint32_t fifth = 0;
  if (dtype == DType::Q5_0 || dtype == DType::Q5_1) {
    fifth = block.word(at);
    at += sizeof fifth;
  }
  decode_nibbles(block, at, fifth, out.codes.data(),
                 [](int code) { return static_cast<std::uint8_t>(code); });
  return out;
}

/// 256 elements of a row of type Q4_K or Q5_K, of Q6_K or Q3_K, or of IQ4_XS, as kernels::KLayout
/// describes them.
struct CodedSuperBlock {
  std::array<std::uint16_t, 2> halves{};  // d, dmin: FP16
  std::array<std::int8_t, 16> scales{};   // four for each 64 elements
  std::array<std::uint8_t, 256> codes{};
};

/// Whether a type has super-blocks with a scale for each 16 elements and no minima.
[[nodiscard]] constexpr bool is_like_q6_k(DType dtype) {
  return dtype == DType::Q6_K || dtype == DType::Q3_K;
}

/// Of type Q4_K or Q5_K.
[[nodiscard]] inline CodedSuperBlock read_q4_k(DType dtype, const std::byte* bytes) {
  const QuantizedBlock block(bytes);
  CodedSuperBlock out;
  std::memcpy(out.halves.data(), bytes, sizeof out.halves);
  for (std::size_t j = 0; j < 8; ++j) {
    const SixBits six = six_bits(block, 4, j);
    out.scales[j / 2 * 4 + j % 2] = static_cast<std::int8_t>(six.scale);
    out.scales[j / 2 * 4 + 2 + j % 2] = static_cast<std::int8_t>(six.min);
    for (std::size_t l = 0; l < 32; ++l) {
      const int code = dtype == DType::Q4_K ? q4_k_code(block, j, l) : q5_k_code(block, j, l);
      out.codes[32 * j + l] = static_cast<std::uint8_t>(code);
    }
  }
  return out;
}

/// Of a type that is_like_q6_k.
[[nodiscard]] inline CodedSuperBlock read_q6_k(DType dtype, const std::byte* bytes) {
  const QuantizedBlock block(bytes);
  const bool is_q6_k = dtype == DType::Q6_K;
  CodedSuperBlock out;
  std::memcpy(out.halves.data(), bytes + dtype_size(dtype) - 2, 2);
  for (std::size_t j = 0; j < 16; ++j) {
    const int scale = is_q6_k ? q6_k_scale(block, j) : q3_k_scale(block, j);
    out.scales[j] = static_cast<std::int8_t>(scale);
    for (std::size_t l = 0; l < 16; ++l) {
      const int code = is_q6_k ? q6_k_code(block, j, l) : q3_k_code(block, j, l);
      out.codes[16 * j + l] = static_cast<std::uint8_t>(code + 32);
    }
  }
  return out;
}

[[nodiscard]] inline CodedSuperBlock read_iq4_xs(const std::byte* bytes) {
  const QuantizedBlock block(bytes);
  CodedSuperBlock out;
  std::memcpy(out.halves.data(), bytes, 2);
  for (std::size_t j = 0; j < 8; ++j) {
    out.scales[j / 2 * 4 + j % 2] = static_cast<std::int8_t>(iq4_xs_scale(block, j));
    for (std::size_t l = 0; l < 32; ++l) {
      out.codes[32 * j + l] = static_cast<std::uint8_t>(iq4_xs_code(block, j, l));
    }
  }
  return out;
}

/// Of any type with such super-blocks.
[[nodiscard]] inline CodedSuperBlock read_coded_super_block(DType dtype, const std::byte* bytes) {
  if (dtype == DType::IQ4_XS) return read_iq4_xs(bytes);
  return is_like_q6_k(dtype) ? read_q6_k(dtype, bytes) : read_q4_k(dtype, bytes);
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
