// SPDX-License-Identifier: Apache-2.0
// The types of tensors in GGUF files.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "mamba2/core/result.hpp"
#include "mamba2/formats/dtype.hpp"
#include "mamba2/io/gguf_cursor.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

// By their numbers in files; those without a name were given up.
inline constexpr std::array<std::string_view, 43> kGgmlTypes = {
    "F32",     "F16",   "Q4_0",   "Q4_1",  "",      "",       "Q5_0", "Q5_1",    "Q8_0",
    "Q8_1",    "Q2_K",  "Q3_K",   "Q4_K",  "Q5_K",  "Q6_K",   "Q8_K", "IQ2_XXS", "IQ2_XS",
    "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S", "IQ2_S", "IQ4_XS", "I8",   "I16",     "I32",
    "I64",     "F64",   "IQ1_M",  "BF16",  "",      "",       "",     "TQ1_0",   "TQ2_0",
    "",        "",      "",       "MXFP4", "NVFP4", "Q1_0",   "Q2_0"};

/// The type of that name, if read_floats can read it.
[[nodiscard]] constexpr std::optional<DType> readable_type(std::string_view name) noexcept {
  for (std::size_t i = 0; i < kDTypes.size(); ++i) {
    const auto dtype = static_cast<DType>(i);
    if (dtype_name(dtype) == name && is_float(dtype)) return dtype;
  }
  return std::nullopt;
}

/// Reads the type of a tensor.
[[nodiscard]] inline DType read_tensor_type(GgufCursor& cursor) {
  const auto number = cursor.number<std::uint32_t>("type");
  const std::string_view name = number < kGgmlTypes.size() ? kGgmlTypes[number] : "";
  if (const auto dtype = readable_type(name)) return *dtype;
  std::string readable;
  for (const std::string_view type : kGgmlTypes) {
    if (readable_type(type)) append(readable, concat(" ", type));
  }
  cursor.fail(ErrorCode::unsupported, "type must be one of", readable, ", found ",
              name.empty() ? concat("number ", number) : std::string(name));
  return DType::F32;
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
