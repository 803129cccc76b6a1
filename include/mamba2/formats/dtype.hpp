// SPDX-License-Identifier: Apache-2.0
// The element types of checkpoints.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "mamba2/core/platform.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// The element types of the safetensors format; after BOOL the quantized ones of GGUF, which store
/// the elements of a row in blocks (see quantized.hpp); then those of matrices whose codes and
/// scales are tensors of their own (see quantization.hpp).
enum class DType : std::uint8_t {
  F64,
  F32,
  F16,
  BF16,
  F8_E4M3,
  F8_E5M2,
  I64,
  U64,
  I32,
  U32,
  I16,
  U16,
  I8,
  U8,
  BOOL,
  Q4_0,
  Q4_1,
  Q5_0,
  Q5_1,
  Q8_0,
  IQ4_NL,
  IQ4_XS,
  Q2_K,
  Q3_K,
  Q4_K,
  Q5_K,
  Q6_K,
  TQ1_0,
  TQ2_0,
  Q1_0,
  Q2_0,
  MXFP4,
  NVFP4,
  IQ1_S,
  IQ1_M,
  IQ2_XXS,
  IQ2_XS,
  IQ2_S,
  IQ3_XXS,
  IQ3_S,
  INT8,      ///< a scale for each row
  INT4_G32,  ///< a scale for each 32 columns
  INT4_G64,
  INT4_G128,
  TERNARY  ///< -1, 0 and 1 in 2 bits, a scale for all
};

namespace detail {

struct DTypeTraits {
  std::string_view name;
  std::size_t block;  // elements
  std::size_t size;   // bytes of a block
};

// In the order of DType.
inline constexpr std::array<DTypeTraits, 45> kDTypes = {
    {{"F64", 1, 8},       {"F32", 1, 4},        {"F16", 1, 2},        {"BF16", 1, 2},
     {"F8_E4M3", 1, 1},   {"F8_E5M2", 1, 1},    {"I64", 1, 8},        {"U64", 1, 8},
     {"I32", 1, 4},       {"U32", 1, 4},        {"I16", 1, 2},        {"U16", 1, 2},
     {"I8", 1, 1},        {"U8", 1, 1},         {"BOOL", 1, 1},       {"Q4_0", 32, 18},
     {"Q4_1", 32, 20},    {"Q5_0", 32, 22},     {"Q5_1", 32, 24},     {"Q8_0", 32, 34},
     {"IQ4_NL", 32, 18},  {"IQ4_XS", 256, 136}, {"Q2_K", 256, 84},    {"Q3_K", 256, 110},
     {"Q4_K", 256, 144},  {"Q5_K", 256, 176},   {"Q6_K", 256, 210},   {"TQ1_0", 256, 54},
     {"TQ2_0", 256, 66},  {"Q1_0", 128, 18},    {"Q2_0", 64, 18},     {"MXFP4", 32, 17},
     {"NVFP4", 64, 36},   {"IQ1_S", 256, 50},   {"IQ1_M", 256, 56},   {"IQ2_XXS", 256, 66},
     {"IQ2_XS", 256, 74}, {"IQ2_S", 256, 82},   {"IQ3_XXS", 256, 98}, {"IQ3_S", 256, 110},
     {"INT8", 1, 1},      {"INT4_G32", 32, 16}, {"INT4_G64", 64, 32}, {"INT4_G128", 128, 64},
     {"TERNARY", 4, 1}}};

[[nodiscard]] constexpr const DTypeTraits& traits(DType dtype) noexcept {
  return kDTypes[static_cast<std::size_t>(dtype)];
}

}  // namespace detail

/// The name in files: "BF16".
[[nodiscard]] constexpr std::string_view dtype_name(DType dtype) noexcept {
  return detail::traits(dtype).name;
}

/// Elements of a block: 1, but 4 to 256 in the quantized types, except INT8.
[[nodiscard]] constexpr std::size_t dtype_block(DType dtype) noexcept {
  return detail::traits(dtype).block;
}

/// Bytes of a block, which is one element except in the quantized types.
[[nodiscard]] constexpr std::size_t dtype_size(DType dtype) noexcept {
  return detail::traits(dtype).size;
}

/// The type of that name in the safetensors format; nothing if there is none.
[[nodiscard]] constexpr std::optional<DType> parse_dtype(std::string_view name) noexcept {
  for (std::size_t i = 0; i <= static_cast<std::size_t>(DType::BOOL); ++i) {
    if (detail::kDTypes[i].name == name) return static_cast<DType>(i);
  }
  return std::nullopt;
}

/// Whether a type is one that loses precision: of GGUF, or of codes and scales apart.
[[nodiscard]] constexpr bool is_quantized(DType dtype) noexcept { return dtype > DType::BOOL; }

/// Whether a type has codes of 2 bits or less: -1, 0 and 1, in Q2_0 2 as well.
[[nodiscard]] constexpr bool is_ternary(DType dtype) noexcept {
  return dtype == DType::TQ1_0 || dtype == DType::TQ2_0 || dtype == DType::Q1_0 ||
         dtype == DType::Q2_0 || dtype == DType::TERNARY;
}

/// Whether a type is one of codes whose scales are a tensor of their own.
[[nodiscard]] constexpr bool has_scales(DType dtype) noexcept { return dtype >= DType::INT8; }

/// Whether read_floats can read the type.
[[nodiscard]] constexpr bool is_float(DType dtype) noexcept {
  return dtype <= DType::BF16 || is_quantized(dtype);
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2
