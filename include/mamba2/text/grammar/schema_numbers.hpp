// SPDX-License-Identifier: Apache-2.0
// The limits of numbers in a JSON schema, exact in decimal.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mamba2/text/grammar/number_graph.hpp"
#include "mamba2/text/grammar/schema_json.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// A number of JSON in units of 10^-places: the largest whole number of units that is not above it,
/// and whether it is that. What is past the 18 digits of the largest NumberRange is the nearest
/// number past its ends.
struct DecimalFloor {
  std::int64_t units;
  bool exact;
};

inline constexpr std::int64_t kPastUnits = 1'000'000'000'000'000'000;  // 10^18

[[nodiscard]] inline DecimalFloor decimal_floor(const OrderedJson& number, unsigned places) {
  // The shortest digits that stand for a double are what its author wrote.
  std::array<char, 400> text;
  const auto written =
      number.is_number_float() ? std::to_chars(text.data(), text.data() + text.size(),
                                               number.get<double>(), std::chars_format::fixed)
      : number.is_number_unsigned()
          ? std::to_chars(text.data(), text.data() + text.size(), number.get<std::uint64_t>())
          : std::to_chars(text.data(), text.data() + text.size(), number.get<std::int64_t>());
  std::string_view rest(text.data(), static_cast<std::size_t>(written.ptr - text.data()));
  const bool negative = rest.starts_with('-');
  if (negative) rest.remove_prefix(1);
  const std::size_t point = std::min(rest.find('.'), rest.size());
  std::int64_t units = 0;
  bool exact = true;
  const auto add = [&](char digit) {
    units = units < kPastUnits / 10 ? 10 * units + (digit - '0') : kPastUnits;
  };
  for (std::size_t i = 0; i < point; ++i) add(rest[i]);
  for (std::size_t i = 0; i < places; ++i) {
    const std::size_t at = point + 1 + i;
    add(at < rest.size() ? rest[at] : '0');
  }
  for (std::size_t i = point + 1 + places; i < rest.size(); ++i) exact = exact && rest[i] == '0';
  if (!negative) return {units, exact};
  return {exact ? -units : -units - 1, exact};
}

/// What a schema leaves of a range: minimum, maximum, exclusiveMinimum, exclusiveMaximum, each
/// nullptr or a number.
struct NumberLimits {
  const OrderedJson* minimum = nullptr;
  const OrderedJson* maximum = nullptr;
  const OrderedJson* above = nullptr;
  const OrderedJson* below = nullptr;

  /// Empty (low > high) where nothing is left.
  [[nodiscard]] NumberRange apply(NumberRange range) const {
    if (minimum != nullptr) {
      const DecimalFloor at = decimal_floor(*minimum, range.places);
      range.low = std::max(range.low, at.exact ? at.units : at.units + 1);
    }
    if (above != nullptr) {
      range.low = std::max(range.low, decimal_floor(*above, range.places).units + 1);
    }
    if (maximum != nullptr) {
      range.high = std::min(range.high, decimal_floor(*maximum, range.places).units);
    }
    if (below != nullptr) {
      const DecimalFloor at = decimal_floor(*below, range.places);
      range.high = std::min(range.high, at.exact ? at.units - 1 : at.units);
    }
    return range;
  }
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
