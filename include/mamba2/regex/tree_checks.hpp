// SPDX-License-Identifier: Apache-2.0
// What a part of a regular expression can be used for.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <vector>

#include "mamba2/regex/syntax.hpp"
#include "mamba2/unicode/case.hpp"
#include "mamba2/unicode/char_set.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// What the next character (or the one before) must be of for a part to match.
struct OneCharacter {
  CharSet set;
  bool edge;  // or that there is none
};

/// @return nothing if more than one character decides
[[nodiscard]] inline std::optional<OneCharacter> one_character(const RegexNode& node,
                                                               const std::vector<CharSet>& sets,
                                                               bool behind) {
  using Kind = RegexNode::Kind;
  const auto anything = OneCharacter{CharSet(0, kLastCodePoint), true};
  switch (node.kind) {
    case Kind::empty:
      return anything;
    case Kind::set:
      return OneCharacter{sets[node.set], false};
    case Kind::look:
      if (node.behind != behind) return std::nullopt;
      return OneCharacter{sets[node.set], node.edge};
    case Kind::repeat:
      if (node.min == 0) return anything;
      if (node.min == 1) return one_character(node.children[0], sets, behind);
      return std::nullopt;
    case Kind::choice: {
      OneCharacter all{{}, false};
      for (const RegexNode& child : node.children) {
        const auto one = one_character(child, sets, behind);
        if (!one) return std::nullopt;
        all.set.add(one->set);
        all.edge = all.edge || one->edge;
      }
      all.set.settle();
      return all;
    }
    case Kind::sequence:
    case Kind::possessive:
      break;
  }
  return std::nullopt;
}

/// Whether characters under (?i) stand side by side to which one character folds, as ss and sharp
/// s, or one that folds to several.
/// @param run what the characters that end before `node` fold to; continued
[[nodiscard]] inline bool folds_with_several(const RegexNode& node, std::vector<char32_t>& run) {
  const bool literal = node.kind == RegexNode::Kind::set && node.folded;
  if (literal) run.push_back(simple_fold(node.literal));
  if (!literal && node.kind != RegexNode::Kind::sequence) run.clear();
  if (literal) {
    for (const FullFold& fold : full_folds()) {
      const std::size_t size = fold.to[2] == 0 ? 2 : 3;
      const bool ends_so = run.size() >= size && std::equal(run.end() - static_cast<int>(size),
                                                            run.end(), fold.to.begin());
      if (fold.from == node.literal || ends_so) return true;
    }
  }
  for (const RegexNode& child : node.children) {
    if (node.kind != RegexNode::Kind::sequence) run.clear();
    if (folds_with_several(child, run)) return true;
  }
  if (!literal && node.kind != RegexNode::Kind::sequence) run.clear();
  return false;
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
