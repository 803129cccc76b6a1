// SPDX-License-Identifier: Apache-2.0
// A regular expression as instructions: a nondeterministic automaton whose ways have an order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/regex/syntax.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

struct RegexInstruction {
  enum class Kind : std::uint8_t {
    match,
    take,   ///< a character of the set, then on at `next`
    fork,   ///< on at `next`, or, if that leads nowhere, at `other`
    ahead,  ///< on at `next` if the next character is of the set
    behind  ///< the same for the character before
  };
  Kind kind;
  bool edge = false;     // ahead, behind: or if the text ends (begins) here
  bool negated = false;  // ahead, behind: not of the set
  std::size_t set = 0;   // index into RegexSyntax::sets
  std::uint32_t next = 0, other = 0;
  bool loop = false;  // fork: of a greedy loop, which ends where its body matches the empty text
};

struct RegexProgram {
  std::vector<RegexInstruction> code;
  std::uint32_t start = 0;
  bool looks_behind = false;
};

/// Writes a program from its end, so that each part knows where it goes on.
class RegexProgramWriter {
 public:
  static constexpr std::size_t kMaxInstructions = 20000;

  /// @return an error without the pattern's name
  [[nodiscard]] static Result<RegexProgram> write(const RegexSyntax& syntax) {
    RegexProgramWriter writer(syntax);
    const std::uint32_t match = writer.add({Op::match});
    writer.program_.start = writer.emit(syntax.root, match, true);
    if (!writer.fault_.empty()) return Error{ErrorCode::unsupported, std::move(writer.fault_)};
    return std::move(writer.program_);
  }

 private:
  using Kind = RegexNode::Kind;
  using Op = RegexInstruction::Kind;

  explicit RegexProgramWriter(const RegexSyntax& syntax) : syntax_(syntax) {}

  std::uint32_t add(const RegexInstruction& instruction) {
    if (program_.code.size() == kMaxInstructions)
      fault_ = "a pattern of this size is not supported";
    if (fault_.empty()) program_.code.push_back(instruction);
    return static_cast<std::uint32_t>(program_.code.size() - 1);
  }

  /// @param last whether nothing follows but the match
  /// @return where to go on for `node`, and then `next`
  [[nodiscard]] std::uint32_t emit(const RegexNode& node, std::uint32_t next, bool last) {
    if (!fault_.empty()) return next;
    switch (node.kind) {
      case Kind::empty:
        return next;
      case Kind::set:
        return add({Op::take, false, false, node.set, next});
      case Kind::look:
        program_.looks_behind = program_.looks_behind || node.behind;
        return add({node.behind ? Op::behind : Op::ahead, node.edge, false, node.set, next});
      case Kind::sequence:
        for (std::size_t i = node.children.size(); i-- > 0; last = false) {
          next = emit(node.children[i], next, last);
        }
        return next;
      case Kind::choice: {
        std::uint32_t start = emit(node.children.back(), next, last);
        for (std::size_t i = node.children.size() - 1; i-- > 0;) {
          const std::uint32_t branch = emit(node.children[i], next, last);
          start = add({Op::fork, false, false, 0, branch, start});
        }
        return start;
      }
      case Kind::repeat:
        return emit_repeat(node, next);
      case Kind::possessive:
        return emit_possessive(node, next, last);
    }
    return next;
  }

  [[nodiscard]] std::uint32_t emit_repeat(const RegexNode& node, std::uint32_t next) {
    const RegexNode& child = node.children[0];
    const bool endless = node.max == RegexNode::kNoLimit;
    std::uint32_t required = node.min;
    std::uint32_t start = next;
    if (endless) {
      const std::uint32_t loop = add_fork(node.lazy, 0, next);
      if (fault_.empty()) program_.code[loop].loop = !node.lazy;
      const std::uint32_t body = emit(child, loop, false);
      if (!fault_.empty()) return next;
      (node.lazy ? program_.code[loop].other : program_.code[loop].next) = body;
      start = loop;
      if (required > 0) {  // the loop's body is the last of the required ones
        start = body;
        --required;
      }
    } else {
      for (std::uint32_t i = node.min; i < node.max && fault_.empty(); ++i) {
        start = add_fork(node.lazy, emit(child, start, false), next);
      }
    }
    for (; required > 0 && fault_.empty(); --required) start = emit(child, start, false);
    return start;
  }

  [[nodiscard]] std::uint32_t add_fork(bool lazy, std::uint32_t body, std::uint32_t next) {
    return add({Op::fork, false, false, 0, lazy ? next : body, lazy ? body : next});
  }

  /// Where nothing follows there is no way back anyway. X*+ of one character is X* and then no X.
  [[nodiscard]] std::uint32_t emit_possessive(const RegexNode& node, std::uint32_t next,
                                              bool last) {
    const RegexNode& child = node.children[0];
    if (last || child.kind == Kind::set) return emit(child, next, last);
    if (child.kind != Kind::repeat || child.lazy || child.children[0].kind != Kind::set ||
        (child.max != RegexNode::kNoLimit && child.max != 1)) {
      fault_ =
          "a possessive quantifier or group of more than one character is not supported, "
          "except at the end";
      return next;
    }
    const std::size_t set = child.children[0].set;
    const std::uint32_t other = add({Op::ahead, true, true, set, next});
    if (child.max == RegexNode::kNoLimit) return emit_repeat(child, other);
    const std::uint32_t one = add({Op::take, false, false, set, next});
    return child.min == 1 ? one : add({Op::fork, false, false, 0, one, other});
  }

  const RegexSyntax& syntax_;
  RegexProgram program_;
  std::string fault_;
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
