// SPDX-License-Identifier: Apache-2.0
// Sets of code points by the name of a property.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "mamba2/unicode/char_set.hpp"
#include "mamba2/unicode/packed.hpp"
#include "mamba2/unicode/property_tables.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// The code points in whose stretches (see kCategoryRuns) the wanted values stand.
[[nodiscard]] inline CharSet set_of_runs(const char* runs, std::uint64_t wanted) {
  CharSet out;
  char32_t first = 0;
  for (PackedReader reader(runs); !reader.done();) {
    const std::uint32_t length = reader.number();
    if ((wanted >> reader.number() & 1) != 0) out.add(first, first + length - 1);
    first += length;
  }
  out.settle();
  return out;
}

/// The general categories whose two letters begin with `prefix`, one bit each.
[[nodiscard]] constexpr std::uint64_t categories(std::string_view prefix) noexcept {
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < std::size(kCategoryNames); ++i) {
    if (std::string_view(kCategoryNames[i]).starts_with(prefix)) bits |= std::uint64_t{1} << i;
  }
  return bits;
}

[[nodiscard]] inline CharSet set_of_categories(std::uint64_t bits) {
  return set_of_runs(kCategoryRuns, bits);
}

/// The property White_Space: what \s matches.
[[nodiscard]] inline CharSet white_space() {
  CharSet out;
  for (const CodePointRange range : {CodePointRange{0x09, 0x0D},
                                     {0x20, 0x20},
                                     {0x85, 0x85},
                                     {0xA0, 0xA0},
                                     {0x1680, 0x1680},
                                     {0x2000, 0x200A},
                                     {0x2028, 0x2029},
                                     {0x202F, 0x202F},
                                     {0x205F, 0x205F},
                                     {0x3000, 0x3000}}) {
    out.add(range.first, range.last);
  }
  return out;
}

/// What [\w] matches: letters, marks, decimal digits, letters in numbers and circles, connecting
/// punctuation. Outside of a class Oniguruma's \w matches ISO 8859-1's six other numbers, too.
/// @param in_class whether it stands in a class
[[nodiscard]] inline CharSet word_characters(bool in_class) {
  CharSet out = set_of_categories(categories("L") | categories("M") | categories("Nd") |
                                  categories("Nl") | categories("Pc"));
  for (const CodePointRange range : {CodePointRange{0x24B6, 0x24E9},
                                     {0x1F130, 0x1F149},
                                     {0x1F150, 0x1F169},
                                     {0x1F170, 0x1F189}}) {
    out.add(range.first, range.last);
  }
  if (!in_class) {
    for (const CodePointRange range : {CodePointRange{0xB2, 0xB3}, {0xB9, 0xB9}, {0xBC, 0xBE}}) {
      out.add(range.first, range.last);
    }
  }
  out.settle();
  return out;
}

/// Long names of general categories, and LC.
inline constexpr std::pair<std::string_view, std::string_view> kCategoryLongNames[] = {
    {"other", "C"},
    {"control", "Cc"},
    {"format", "Cf"},
    {"unassigned", "Cn"},
    {"privateuse", "Co"},
    {"surrogate", "Cs"},
    {"letter", "L"},
    {"lowercaseletter", "Ll"},
    {"modifierletter", "Lm"},
    {"otherletter", "Lo"},
    {"titlecaseletter", "Lt"},
    {"uppercaseletter", "Lu"},
    {"mark", "M"},
    {"combiningmark", "M"},
    {"spacingmark", "Mc"},
    {"enclosingmark", "Me"},
    {"nonspacingmark", "Mn"},
    {"number", "N"},
    {"decimalnumber", "Nd"},
    {"letternumber", "Nl"},
    {"othernumber", "No"},
    {"punctuation", "P"},
    {"connectorpunctuation", "Pc"},
    {"dashpunctuation", "Pd"},
    {"closepunctuation", "Pe"},
    {"finalpunctuation", "Pf"},
    {"initialpunctuation", "Pi"},
    {"otherpunctuation", "Po"},
    {"openpunctuation", "Ps"},
    {"symbol", "S"},
    {"currencysymbol", "Sc"},
    {"modifiersymbol", "Sk"},
    {"mathsymbol", "Sm"},
    {"othersymbol", "So"},
    {"separator", "Z"},
    {"lineseparator", "Zl"},
    {"paragraphseparator", "Zp"},
    {"spaceseparator", "Zs"}};

/// Lower case without blanks, hyphens and underscores: names of properties are compared so.
[[nodiscard]] inline std::string plain_name(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (c == ' ' || c == '-' || c == '_') continue;
    out += c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  }
  return out;
}

/// @param name as plain_name() makes it
[[nodiscard]] inline std::uint64_t categories_named(std::string_view name) {
  for (const auto& [longer, shorter] : kCategoryLongNames) {
    if (name == longer || name == plain_name(shorter)) return categories(shorter);
  }
  if (name == "lc" || name == "casedletter") {
    return categories("Ll") | categories("Lt") | categories("Lu");
  }
  return 0;
}

/// The code points that have a property: a general category or a script by its name (see
/// kScriptNames), Any, ASCII, White_Space, Word. Case, blanks, hyphens and underscores do not
/// count.
/// @param in_class see word_characters()
/// @return nothing if there is no such property here
[[nodiscard]] inline std::optional<CharSet> property_set(std::string_view property, bool in_class) {
  const std::string name = plain_name(property);
  if (const std::uint64_t bits = categories_named(name); bits != 0) return set_of_categories(bits);
  for (std::size_t i = 0; i < std::size(kScriptNames); ++i) {
    if (name == plain_name(kScriptNames[i])) {
      return set_of_runs(kScriptRuns, std::uint64_t{1} << (i + 1));
    }
  }
  if (name == "any") return CharSet(0, kLastCodePoint);
  if (name == "ascii") return CharSet(0, 0x7F);
  if (name == "whitespace" || name == "space") return white_space();
  if (name == "word") return word_characters(in_class);
  return std::nullopt;
}

/// A POSIX bracket, [:name:]; those that this library knows mean the same in all scripts.
[[nodiscard]] inline std::optional<CharSet> posix_set(std::string_view name) {
  if (name == "digit") return set_of_categories(categories("Nd"));
  if (name == "space") return white_space();
  if (name == "cntrl") return set_of_categories(categories("Cc"));
  if (name == "word") return word_characters(true);
  if (name == "ascii") return CharSet(0, 0x7F);
  if (name == "xdigit") {
    CharSet out('0', '9');
    out.add('A', 'F');
    out.add('a', 'f');
    return out;
  }
  if (name == "punct") return set_of_categories(categories("P") | categories("S"));
  return std::nullopt;
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
