// SPDX-License-Identifier: Apache-2.0
// Parses regular expressions as Oniguruma writes them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/regex/class_parser.hpp"
#include "mamba2/regex/syntax.hpp"
#include "mamba2/regex/tree_checks.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

class RegexParser : public ClassParser {
 public:
  using ClassParser::ClassParser;

  /// The whole pattern. Groups that capture are as those that do not.
  [[nodiscard]] Result<RegexSyntax> parse() && {
    RegexNode root = parse_choice();
    if (!done()) malformed("a closing parenthesis that closes nothing");
    std::vector<char32_t> run;
    if (!error() && folds_with_several(root, run)) {
      unsupported("(?i) with characters that several fold to, or that fold to several (as ss)");
    }
    if (error()) return *error();
    syntax_.root = std::move(root);
    return std::move(syntax_);
  }

 private:
  using Kind = RegexNode::Kind;
  static constexpr std::size_t kMaxSets = 1024;

  /// Alternatives, up to the end of the group.
  [[nodiscard]] RegexNode parse_choice() {
    if (++depth_ > kMaxDepth) unsupported("such deep nesting");
    std::vector<RegexNode> branches;
    do {
      branches.push_back(parse_sequence());
    } while (take("|"));
    --depth_;
    return parent_node(Kind::choice, std::move(branches));
  }

  [[nodiscard]] RegexNode parse_sequence() {
    std::vector<RegexNode> items;
    while (!done() && !looking_at("|") && !looking_at(")")) {
      items.push_back(parse_repeats());
      if (syntax_.sets.size() > kMaxSets) unsupported("such a number of classes");
    }
    return parent_node(Kind::sequence, std::move(items));
  }

  /// An item and the quantifiers behind it.
  [[nodiscard]] RegexNode parse_repeats() {
    RegexNode node = parse_atom();
    for (int count = 0; parse_quantifier(node); ++count) {
      if (count == 8) unsupported("such a number of quantifiers in a row");
    }
    return node;
  }

  /// A quantifier, if there is one, applied to the node.
  [[nodiscard]] bool parse_quantifier(RegexNode& node) {
    std::optional<Bounds> bounds;
    const bool braces = looking_at("{");
    if (take("*")) {
      bounds = Bounds{0, RegexNode::kNoLimit};
    } else if (take("+")) {
      bounds = Bounds{1, RegexNode::kNoLimit};
    } else if (take("?")) {
      bounds = Bounds{0, 1};
    } else if (braces) {
      bounds = parse_braces();
    }
    if (!bounds || error()) return false;
    if (node.kind == Kind::look) unsupported("a quantifier behind an assertion");
    // Behind {n}, a question mark makes what it says optional.
    const bool lazy = !bounds->exactly && take("?");
    const bool possessive = !lazy && !braces && take("+");  // {n,m}+ repeats a repetition
    node = repeat(std::move(node), *bounds, lazy);
    if (possessive) {
      RegexNode outer;
      outer.kind = Kind::possessive;
      outer.children.push_back(std::move(node));
      node = std::move(outer);
    }
    return true;
  }

  struct Bounds {
    std::uint32_t min, max;
    bool exactly = false;  // {n}
  };

  [[nodiscard]] static RegexNode repeat(RegexNode child, Bounds bounds, bool lazy) {
    RegexNode node;
    if (bounds.max == 0) return node;
    node.kind = Kind::repeat;
    node.min = bounds.min;
    node.max = bounds.max;
    node.lazy = lazy;
    node.children.push_back(std::move(child));
    return node;
  }

  /// {n}, {n,}, {,m}, {n,m}; what only begins like one of these is text.
  [[nodiscard]] std::optional<Bounds> parse_braces() {
    std::string_view text = rest().substr(1);
    const auto number = [&]() -> std::optional<std::uint32_t> {
      if (text.empty() || text[0] < '0' || text[0] > '9') return std::nullopt;
      std::uint32_t value = 0;
      for (; !text.empty() && text[0] >= '0' && text[0] <= '9'; text.remove_prefix(1)) {
        value =
            std::min<std::uint32_t>(value * 10 + static_cast<std::uint32_t>(text[0] - '0'), 10000);
      }
      return value;
    };
    const auto min = number();
    auto max = min;
    const bool exactly = !text.starts_with(',');
    if (!exactly) {
      text.remove_prefix(1);
      max = number();
      if (!min && !max) return std::nullopt;
      if (!max) max = RegexNode::kNoLimit;
    }
    if (!text.starts_with('}') || !max) return std::nullopt;
    constexpr std::uint32_t kMost = 1000;
    if (min.value_or(0) > kMost || (*max > kMost && *max != RegexNode::kNoLimit)) {
      unsupported("a repetition of more than 1000");
    }
    if (min.value_or(0) > *max) unsupported("{n,m} with n greater than m, which is possessive,");
    skip(rest().size() - text.size() + 1);
    return Bounds{min.value_or(0), *max, exactly};
  }

  [[nodiscard]] RegexNode parse_atom() {
    if (take("(")) return parse_group();
    if (take("[")) return syntax_.set_node(parse_class(ignore_case_));
    if (take(".")) {
      return syntax_.set_node(dot_all_ ? CharSet(0, kLastCodePoint) : newline().complement());
    }
    if (take("^")) return line_begin();
    if (take("$")) return syntax_.look_node(newline(), true, false);
    if (take("\\")) return parse_escape();
    if (looking_at("*") || looking_at("+") || looking_at("?") ||
        (looking_at("{") && parse_braces().has_value())) {
      malformed("a quantifier with nothing before it");
      return {};
    }
    return literal(next());
  }

  [[nodiscard]] RegexNode literal(char32_t c) {
    CharSet set(c, c);
    if (ignore_case_) add_other_cases(set);
    RegexNode node = syntax_.set_node(std::move(set));
    node.folded = ignore_case_;
    node.literal = c;
    return node;
  }

  [[nodiscard]] RegexNode parse_escape() {
    if (auto set = set_escape(false)) {
      if (ignore_case_) fold(*set, false);
      return syntax_.set_node(std::move(*set));
    }
    if (take("A")) return syntax_.look_node({}, true, true);
    if (take("z")) return syntax_.look_node({}, true, false);
    if (take("b")) return word_boundary(true);
    if (take("B")) return word_boundary(false);
    if (take("N")) return syntax_.set_node(newline().complement());
    if (take("O")) return syntax_.set_node(CharSet(0, kLastCodePoint));
    return literal(char_escape());
  }

  [[nodiscard]] static CharSet newline() { return {'\n', '\n'}; }

  /// ^: at the beginning, and behind a newline that does not end the text.
  [[nodiscard]] RegexNode line_begin() {
    std::vector<RegexNode> behind_newline;
    behind_newline.push_back(syntax_.look_node(newline(), false, true));
    behind_newline.push_back(syntax_.look_node(CharSet(0, kLastCodePoint), false, false));
    std::vector<RegexNode> branches;
    branches.push_back(syntax_.look_node({}, true, true));
    branches.push_back(parent_node(Kind::sequence, std::move(behind_newline)));
    return parent_node(Kind::choice, std::move(branches));
  }

  /// \b, or \B, its contrary.
  [[nodiscard]] RegexNode word_boundary(bool boundary) {
    const CharSet word = word_characters(false);
    const CharSet other = word.complement();
    std::vector<RegexNode> branches;
    for (const bool behind_is_word : {true, false}) {
      const bool ahead_is_word = behind_is_word != boundary;
      std::vector<RegexNode> looks;
      looks.push_back(syntax_.look_node(behind_is_word ? word : other, !behind_is_word, true));
      looks.push_back(syntax_.look_node(ahead_is_word ? word : other, !ahead_is_word, false));
      branches.push_back(parent_node(Kind::sequence, std::move(looks)));
    }
    return parent_node(Kind::choice, std::move(branches));
  }

  /// `rest()` is behind the opening parenthesis.
  [[nodiscard]] RegexNode parse_group() {
    if (take("?#")) {
      skip(std::min(rest().find(')'), rest().size()));
      if (!take(")")) malformed("a comment without its closing parenthesis");
      return {};
    }
    if (take("?=")) return look(false, false);
    if (take("?!")) return look(true, false);
    if (take("?<=")) return look(false, true);
    if (take("?<!")) return look(true, true);
    if (take("?>")) {
      RegexNode node;
      node.kind = Kind::possessive;
      node.children.push_back(parse_to_parenthesis());
      return node;
    }
    if (take("?<")) {
      skip(std::min(rest().find('>'), rest().size()));
      if (!take(">")) malformed("a group's name without its end");
    } else if (looking_at("?") && !looking_at("?:")) {
      return options();
    } else if (looking_at("*")) {
      unsupported("a group that begins with (*");
    }
    static_cast<void>(take("?:"));
    return parse_to_parenthesis();
  }

  [[nodiscard]] RegexNode parse_to_parenthesis() {
    const bool ignore_case = ignore_case_;
    const bool dot_all = dot_all_;
    RegexNode node = parse_choice();
    ignore_case_ = ignore_case;
    dot_all_ = dot_all;
    if (!take(")")) malformed("a group without its closing parenthesis");
    return node;
  }

  /// (?im-im), which holds for all that follows in the group around it, or (?im-im:...).
  [[nodiscard]] RegexNode options() {
    const bool ignore_case = ignore_case_;
    const bool dot_all = dot_all_;
    skip(1);
    for (bool on = true; !done() && !looking_at(")") && !looking_at(":");) {
      if (take("-")) {
        on = false;
      } else if (take("i")) {
        ignore_case_ = on;
      } else if (take("m")) {
        dot_all_ = on;
      } else {
        unsupported("this kind of group or option");
      }
    }
    RegexNode node;
    if (take(":")) {
      node = parse_to_parenthesis();
    } else if (take(")")) {
      node = parse_choice();
    } else {
      malformed("a group without its closing parenthesis");
    }
    ignore_case_ = ignore_case;
    dot_all_ = dot_all;
    return node;
  }

  /// Lookahead and lookbehind of one character.
  [[nodiscard]] RegexNode look(bool negated, bool behind) {
    const RegexNode inner = parse_to_parenthesis();
    const auto one = one_character(inner, syntax_.sets, behind);
    if (!one && !error()) unsupported("looking at more than one character");
    if (!one) return {};
    return syntax_.look_node(negated ? one->set.complement() : one->set, one->edge != negated,
                             behind);
  }

  RegexSyntax syntax_;
  int depth_ = 0;
  bool ignore_case_ = false, dot_all_ = false;
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
