// SPDX-License-Identifier: Apache-2.0
// What the files of /sys and /proc say.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "mamba2/core/platform.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// The first 16 KiB of a file in /sys or /proc, without the newline at its end; nothing if
/// unreadable.
inline std::optional<std::string> read_system_file(const std::filesystem::path& path) {
  std::FILE* file = std::fopen(path.c_str(), "re");
  if (file == nullptr) return std::nullopt;
  std::string text(16384, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file));
  std::fclose(file);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

/// Takes an unsigned number off the front of the text.
template <class Number>
std::optional<Number> take_number(std::string_view& text, int base = 10) {
  Number number{};
  if (text.empty() || text.front() == '-') return std::nullopt;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc{}) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return number;
}

/// The unsigned decimal number that is all of a file in /sys or /proc; nothing if anything else is.
template <class Number>
std::optional<Number> read_system_number(const std::filesystem::path& path) {
  const std::optional<std::string> text = read_system_file(path);
  if (!text) return std::nullopt;
  std::string_view digits = *text;
  const std::optional<Number> number = take_number<Number>(digits);
  return digits.empty() ? number : std::nullopt;
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
