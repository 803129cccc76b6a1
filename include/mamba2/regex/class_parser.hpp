// SPDX-License-Identifier: Apache-2.0
// Parses the classes of regular expressions: [a-z], [^\s\p{L}], [a-z&&[^aeiou]].
#pragma once

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "mamba2/regex/pattern_reader.hpp"
#include "mamba2/unicode/case.hpp"
#include "mamba2/unicode/char_set.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

class ClassParser : public PatternReader {
 public:
  using PatternReader::PatternReader;

 protected:
  static constexpr int kMaxDepth = 64;  // of classes, and of groups

  /// A whole class; `rest()` is behind its opening bracket.
  [[nodiscard]] CharSet parse_class(bool ignore_case) {
    const bool negated = take("^");
    CharSet set = parse_operands(0);
    if (ignore_case) fold(set, negated);
    return negated ? set.complement() : std::move(set);
  }

  /// Adds the other cases of what is in the set.
  /// @param negated whether the complement is what is meant
  void fold(CharSet& set, bool negated) {
    add_other_cases(set);
    if (negated || error()) return;
    const auto& folds = full_folds();
    const bool several = std::any_of(folds.begin(), folds.end(),
                                     [&](const FullFold& fold) { return set.contains(fold.from); });
    if (several) unsupported("(?i) with a class of characters that fold to several (as sharp s)");
  }

 private:
  /// A member: a set, or a character, which may begin a range.
  struct Member {
    std::optional<CharSet> set;
    char32_t value = 0;
  };

  [[nodiscard]] CharSet parse_nested(int depth) {
    if (depth >= kMaxDepth) unsupported("such deep nesting");
    const bool negated = take("^");
    CharSet set = parse_operands(depth);
    return negated ? set.complement() : std::move(set);
  }

  /// Up to the closing bracket: the intersection of what stands between &&.
  [[nodiscard]] CharSet parse_operands(int depth) {
    CharSet all(0, kLastCodePoint);
    bool first = true;
    while (true) {
      const CharSet operand = parse_union(depth, first);
      all = all & operand;
      first = false;
      if (take("&&")) continue;
      if (!take("]")) malformed("a class without its closing bracket");
      return all;
    }
  }

  [[nodiscard]] CharSet parse_union(int depth, bool first) {
    CharSet out;
    for (; !done() && !looking_at("&&"); first = false) {
      if (looking_at("]") && !first) break;
      const Member member = parse_member(depth);
      if (member.set) {
        out.add(*member.set);
        if (looking_at("-") && !looking_at("-]")) malformed("a range that begins with a set");
      } else if (looking_at("-") && !looking_at("-]") && !looking_at("-&&")) {
        skip(1);
        add_range(member.value, parse_member(depth), out);
      } else {
        out.add(member.value, member.value);
      }
    }
    out.settle();
    return out;
  }

  void add_range(char32_t first, const Member& last, CharSet& out) {
    if (last.set) return malformed("a range that ends with a set");
    if (last.value < first) return malformed("an empty range");
    out.add(first, last.value);
    if (looking_at("-") && !looking_at("-]")) {
      skip(1);  // behind a range it is a character
      out.add('-', '-');
    }
  }

  [[nodiscard]] Member parse_member(int depth) {
    if (looking_at("[:")) {
      if (auto set = parse_posix()) return {std::move(set), 0};
    }
    if (take("[")) return {parse_nested(depth + 1), 0};
    if (!take("\\")) return {std::nullopt, next()};
    if (auto set = set_escape(true)) return {std::move(set), 0};
    if (take("b")) return {std::nullopt, '\b'};
    return {std::nullopt, char_escape()};
  }

  /// [:name:] or [:^name:]; nothing if what is there only looks alike.
  [[nodiscard]] std::optional<CharSet> parse_posix() {
    const std::size_t end = rest().find(":]");
    const std::size_t bracket = rest().find(']');
    if (end == std::string_view::npos || bracket != end + 1) return std::nullopt;
    std::string_view name = rest().substr(2, end - 2);
    const bool negated = name.starts_with('^');
    if (negated) name.remove_prefix(1);
    std::optional<CharSet> set = posix_set(name);
    if (!set) {
      unsupported(concat("the class [:", name.substr(0, 40), ":]"));
      return std::nullopt;
    }
    skip(end + 2);
    return negated ? set->complement() : set;
  }
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
