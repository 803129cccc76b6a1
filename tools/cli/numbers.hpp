// SPDX-License-Identifier: Apache-2.0
// Numbers on the command line, as people write them. Those of CLI11 may wrap around, or be octal,
// infinite or not a number.
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <mamba2/core/result.hpp>
#include <mamba2/io/printable.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cli {

/// What was given, for the "found" of a message: 'text', shortened.
[[nodiscard]] inline std::string shown(std::string_view text) {
  constexpr std::size_t kMaxBytes = 30;
  std::size_t end = std::min(kMaxBytes, text.size());
  while (end < text.size() && end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) {
    --end;  // not inside a UTF-8 sequence
  }
  const std::string quoted = mamba2::detail::in_quotes(text.substr(0, end));
  return mamba2::detail::concat("'", std::string_view(quoted).substr(1, quoted.size() - 2),
                                end < text.size() ? "...'" : "'");
}

/// The largest of the numbers that count something: any number of 18 digits.
inline constexpr std::uint64_t kMostWhole = 999'999'999'999'999'999;

/// For options that count something: decimal digits, no sign, a number in least..most. To be given
/// to transform().
[[nodiscard]] inline CLI::Validator whole(std::uint64_t least = 0,
                                          std::uint64_t most = kMostWhole) {
  const bool limited = most < kMostWhole;
  const std::string range = mamba2::detail::concat(least, "..", most);
  std::string expected = "a whole number " + (limited ? "in " + range : "of at most 18 digits");
  if (!limited && least > 0) expected += mamba2::detail::concat(", at least ", least);
  return {[=](std::string& text) -> std::string {
            constexpr std::size_t kMaxDigits = 18;
            const bool digits = !text.empty() && text.size() <= kMaxDigits &&
                                text.find_first_not_of("0123456789") == std::string::npos;
            const std::uint64_t value = digits ? std::stoull(text) : 0;
            if (!digits || value < least || value > most) {
              return "must be " + expected + ", found " + shown(text);
            }
            text = std::to_string(value);  // without zeros in front, which would make it octal
            return {};
          },
          limited ? range : ""};
}

/// One of a few numbers: "must be of 32, 64, 128".
[[nodiscard]] inline CLI::Validator whole_of(const std::vector<std::uint64_t>& values) {
  std::string all;
  for (const std::uint64_t value : values) {
    all += (all.empty() ? "" : ", ") + std::to_string(value);
  }
  return {[=](std::string& text) -> std::string {
            const bool wrong = !whole()(text).empty();
            if (!wrong && std::ranges::find(values, std::stoull(text)) != values.end()) return {};
            return "must be of " + all + ", found " + shown(text);
          },
          ""};
}

/// Any number that counts something.
inline const CLI::Validator kWhole = whole();

/// A number in decimal digits, perhaps with a sign, a fraction and an exponent; nothing if it is
/// something else, or too large.
[[nodiscard]] inline std::optional<double> parse_number(const std::string& text) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  // strtod, which takes more than that, decides on the order.
  const bool any = std::ranges::any_of(text, is_digit);
  const bool plain = std::ranges::all_of(text, [&](char c) {
    return is_digit(c) || std::string_view("+-.eE").find(c) != std::string_view::npos;
  });
  if (!any || !plain) return std::nullopt;
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (end != text.c_str() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

/// For options that measure something: a finite number that is_fine; `expected` says which are. To
/// be given to check().
template <class Predicate>
[[nodiscard]] CLI::Validator number(std::string expected, Predicate is_fine) {
  return {[expected = std::move(expected), is_fine](std::string& text) -> std::string {
            const std::optional<double> value = parse_number(text);
            if (value && is_fine(*value)) return {};
            return "must be " + expected + ", found " + shown(text);
          },
          ""};
}

/// Any number that a float holds.
inline const CLI::Validator kNumber = number(
    "a number", [](double value) { return std::fabs(value) <= std::numeric_limits<float>::max(); });

/// Adds an option for a list of whole numbers in least..most: 1,5,9.
template <class Number>
CLI::Option* add_list(CLI::App& app, const std::string& name, std::vector<Number>& values,
                      const std::string& help, std::uint64_t least, std::uint64_t most) {
  const auto read = [=, &values](const std::string& text) {
    std::vector<Number> list;
    for (std::size_t begin = 0; begin <= text.size();) {
      const std::size_t end = std::min(text.find(',', begin), text.size());
      std::string part = text.substr(begin, end - begin);
      const std::string wrong = whole(least, most)(part);
      if (!wrong.empty()) throw CLI::ValidationError(name, wrong);
      list.push_back(static_cast<Number>(std::stoull(part)));
      begin = end + 1;
    }
    values = std::move(list);
  };
  return app.add_option_function<std::string>(name, read, help)->type_name("UINT,...");
}

}  // namespace cli
