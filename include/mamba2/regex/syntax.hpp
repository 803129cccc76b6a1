// SPDX-License-Identifier: Apache-2.0
// A regular expression as a tree.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "mamba2/core/platform.hpp"
#include "mamba2/unicode/char_set.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// A tree is at most some hundred nodes deep: the parser sees to it.
struct RegexNode {
  enum class Kind : std::uint8_t {
    empty,      ///< matches the empty text
    set,        ///< one character of a set
    sequence,   ///< the children one after the other
    choice,     ///< one of the children, the first that leads to a match
    repeat,     ///< the child, `min` to `max` times
    look,       ///< matches the empty text where the character ahead or behind is of a set
    possessive  ///< the child's first way to match and no other
  };
  static constexpr std::uint32_t kNoLimit = 0xFFFFFFFF;

  Kind kind = Kind::empty;
  bool lazy = false;    // repeat: as few as possible
  bool behind = false;  // look: the character before, not the one that follows
  bool edge = false;    // look: there being no such character will do, too
  bool folded = false;  // set: what a literal under (?i) stands for
  std::uint32_t min = 0, max = 0;
  std::size_t set = 0;   // index into RegexSyntax::sets
  char32_t literal = 0;  // set: the character, of a literal under (?i)
  std::vector<RegexNode> children = {};
};

/// The tree and its sets, each of which is there once.
struct RegexSyntax {
  RegexNode root;
  std::vector<CharSet> sets;

  [[nodiscard]] std::size_t intern(CharSet set) {
    const auto found = std::find(sets.begin(), sets.end(), set);
    if (found != sets.end()) return static_cast<std::size_t>(found - sets.begin());
    sets.push_back(std::move(set));
    return sets.size() - 1;
  }

  [[nodiscard]] RegexNode set_node(CharSet set) {
    RegexNode node;
    node.kind = RegexNode::Kind::set;
    node.set = intern(std::move(set));
    return node;
  }

  /// @param edge whether the text's beginning or end will do, too
  [[nodiscard]] RegexNode look_node(CharSet set, bool edge, bool behind) {
    RegexNode node = set_node(std::move(set));
    node.kind = RegexNode::Kind::look;
    node.edge = edge;
    node.behind = behind;
    return node;
  }
};

[[nodiscard]] inline RegexNode parent_node(RegexNode::Kind kind, std::vector<RegexNode> children) {
  if (children.size() == 1) return std::move(children[0]);
  RegexNode node;
  node.kind = children.empty() ? RegexNode::Kind::empty : kind;
  node.children = std::move(children);
  return node;
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
