// SPDX-License-Identifier: Apache-2.0
// The values of GGUF metadata, as they lie in the file.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "mamba2/core/result.hpp"
#include "mamba2/io/gguf_cursor.hpp"
#include "mamba2/io/printable.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// The types of values, with the numbers that they have in files.
enum class GgufType : std::uint8_t {
  uint8,
  int8,
  uint16,
  int16,
  uint32,
  int32,
  float32,
  boolean,
  string,
  array,
  uint64,
  int64,
  float64
};

namespace detail {

// Both in the order of GgufType. The size is the least that a value takes.
inline constexpr std::array<std::string_view, 13> kGgufTypeNames = {
    "uint8", "int8",   "uint16", "int16",  "uint32", "int32",  "float32",
    "bool",  "string", "array",  "uint64", "int64",  "float64"};
inline constexpr std::array<std::size_t, 13> kGgufTypeSizes = {1, 1, 2,  2, 4, 4, 4,
                                                               1, 8, 12, 8, 8, 8};

[[nodiscard]] constexpr std::string_view gguf_type_name(GgufType type) noexcept {
  return kGgufTypeNames[static_cast<std::size_t>(type)];
}
[[nodiscard]] constexpr std::size_t gguf_type_size(GgufType type) noexcept {
  return kGgufTypeSizes[static_cast<std::size_t>(type)];
}

}  // namespace detail

/// A value, or the elements of an array. The bytes are the file's, checked when it was parsed.
struct GgufValue {
  GgufType type = GgufType::uint8;  ///< of an array: that of its elements
  bool is_array = false;
  std::size_t count = 1;            ///< elements of an array
  std::span<const std::byte> data;  ///< of an array: of its elements

  /// The value if it is an integer of any type and not negative.
  [[nodiscard]] std::optional<std::uint64_t> integer() const noexcept;
  /// The value if it is a number of any type.
  [[nodiscard]] std::optional<double> number() const noexcept;
  [[nodiscard]] std::optional<bool> flag() const noexcept;
  [[nodiscard]] std::optional<std::string_view> text() const noexcept;

  /// Calls visit(text) for each element of an array of strings.
  template <class Visit>
  void for_each_string(Visit&& visit) const {
    detail::GgufCursor cursor(data, {});
    for (std::size_t i = 0; i < count; ++i) visit(cursor.string({}));
  }

  /// Element i of an array of int32 or uint32, whose bits are taken for an int32.
  [[nodiscard]] std::int32_t int32_at(std::size_t i) const noexcept {
    std::int32_t element = 0;
    std::memcpy(&element, data.data() + i * sizeof element, sizeof element);
    return element;
  }
};

namespace detail {

/// Calls visit with the number that a value is, in its own type. Answers nothing if it is none.
template <class Visit>
[[nodiscard]] auto visit_number(const GgufValue& value, const Visit& visit)
    -> decltype(visit(std::uint8_t{})) {
  const auto as = [&]<class Number>(Number number) {
    std::memcpy(&number, value.data.data(), sizeof number);
    return visit(number);
  };
  if (value.is_array) return std::nullopt;
  switch (value.type) {
    case GgufType::uint8:
      return as(std::uint8_t{});
    case GgufType::int8:
      return as(std::int8_t{});
    case GgufType::uint16:
      return as(std::uint16_t{});
    case GgufType::int16:
      return as(std::int16_t{});
    case GgufType::uint32:
      return as(std::uint32_t{});
    case GgufType::int32:
      return as(std::int32_t{});
    case GgufType::uint64:
      return as(std::uint64_t{});
    case GgufType::int64:
      return as(std::int64_t{});
    case GgufType::float32:
      return as(float{});
    case GgufType::float64:
      return as(double{});
    default:
      return std::nullopt;
  }
}

/// What a value is, for the "found" of a message.
[[nodiscard]] inline std::string describe(const GgufValue& value) {
  if (value.is_array) return concat("a list of ", value.count, " ", gguf_type_name(value.type));
  if (const auto text = value.text()) return in_quotes(*text);
  if (const auto flag = value.flag()) return *flag ? "true" : "false";
  return visit_number(value,
                      [](auto number) -> std::optional<std::string> { return concat(number); })
      .value_or("nothing");
}

}  // namespace detail

inline std::optional<std::uint64_t> GgufValue::integer() const noexcept {
  return detail::visit_number(*this, [](auto number) -> std::optional<std::uint64_t> {
    if constexpr (std::is_integral_v<decltype(number)>) {
      if (std::in_range<std::uint64_t>(number)) return static_cast<std::uint64_t>(number);
    }
    return std::nullopt;
  });
}

inline std::optional<double> GgufValue::number() const noexcept {
  return detail::visit_number(
      *this, [](auto number) -> std::optional<double> { return static_cast<double>(number); });
}

inline std::optional<bool> GgufValue::flag() const noexcept {
  if (is_array || type != GgufType::boolean) return std::nullopt;
  return data[0] != std::byte{0};
}

inline std::optional<std::string_view> GgufValue::text() const noexcept {
  if (is_array || type != GgufType::string) return std::nullopt;
  return std::string_view(reinterpret_cast<const char*>(data.data()), data.size());
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2
