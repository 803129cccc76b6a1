// SPDX-License-Identifier: Apache-2.0
// What a chat template writes, without running it: its texts, and where values come between them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

// In the texts of a template stand for what is no text:
inline constexpr char kValue = '\x01';    // a value; in a pattern also one without its blanks
inline constexpr char kStep = '\x02';     // a statement
inline constexpr char kTrimmed = '\x03';  // a value without the blanks around it
inline constexpr char kBos = '\x04';      // bos_token
inline constexpr char kEos = '\x05';      // eos_token

/// A template in Jinja, as transformers sets that language up (trim_blocks, lstrip_blocks), taken
/// apart: the blanks around tags are gone, "a" + b ~ 'c' is "a", a value and "c", whether it stood
/// in a tag or was text. Two templates that are spelled in different ways but write the same look
/// the same. Statements are not understood: what is in either branch of a condition is there.
struct TemplateText {
  struct Assignment {
    std::string variable, text;
  };

  std::string written;                ///< in the order of the template, kStep for statements
  std::vector<Assignment> assigned;   ///< what variables are set to
  std::vector<std::string> literals;  ///< all texts in quotes
  std::string statements;             ///< the statements, a line for each

  [[nodiscard]] static TemplateText parse(std::string_view jinja);

  struct Place {
    std::size_t begin, end;
  };

  /// Where a text has a pattern, as if it had no kStep. The first place at or after `from`.
  [[nodiscard]] static std::optional<Place> find_in(std::string_view text, std::string_view pattern,
                                                    std::size_t from = 0) {
    for (std::size_t begin = from; begin < text.size(); ++begin) {
      if (text[begin] == kStep) continue;
      std::size_t at = begin;
      std::size_t matched = 0;
      while (at < text.size() && matched < pattern.size()) {
        const bool same =
            text[at] == pattern[matched] || (pattern[matched] == kValue && text[at] == kTrimmed);
        if (!same && text[at] != kStep) break;
        if (same) ++matched;
        ++at;
      }
      if (matched == pattern.size()) return Place{begin, at};
    }
    return std::nullopt;
  }

  /// Whether the pattern is written, or is in what a variable is set to.
  [[nodiscard]] bool has(std::string_view pattern) const {
    if (find_in(written, pattern)) return true;
    return std::any_of(assigned.begin(), assigned.end(),
                       [&](const Assignment& a) { return find_in(a.text, pattern).has_value(); });
  }

  [[nodiscard]] bool has_literal(std::string_view part) const {
    return std::any_of(literals.begin(), literals.end(),
                       [&](const std::string& text) { return text.find(part) != text.npos; });
  }

  /// The first text that a variable is set to whose name has `part` in it, and that is one.
  [[nodiscard]] std::optional<std::string> variable(std::string_view part) const {
    for (const auto& [name, text] : assigned) {
      const bool is_text = !text.empty() && text.find_first_not_of("\x01\x03") != text.npos;
      if (name.find(part) != name.npos && is_text) return text;
    }
    return std::nullopt;
  }

  /// The part of what is written between two statements that has `part` in it.
  [[nodiscard]] std::optional<std::string> segment(std::string_view part) const {
    const std::size_t at = written.find(part);
    if (at == written.npos) return std::nullopt;
    const std::size_t before = written.rfind(kStep, at);
    const std::size_t begin = before == written.npos ? 0 : before + 1;
    const std::size_t end = std::min(written.find(kStep, at), written.size());
    return written.substr(begin, end - begin);
  }
};

[[nodiscard]] constexpr bool is_jinja_space(char c) noexcept {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

[[nodiscard]] inline std::string_view trim_jinja(std::string_view text) {
  while (!text.empty() && is_jinja_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_jinja_space(text.back())) text.remove_suffix(1);
  return text;
}

/// The length of the quoted text that begins here, or of what is there of it.
[[nodiscard]] inline std::size_t quoted_length(std::string_view text) {
  std::size_t i = 1;
  while (i < text.size() && text[i] != text[0]) i += text[i] == '\\' ? 2U : 1U;
  return std::min(i + 1, text.size());
}

/// What a quoted text says. (Escapes that name a character by its number are left as they are.)
[[nodiscard]] inline std::string unquoted(std::string_view quoted) {
  std::string out;
  const std::size_t end =
      quoted.size() > 1 && quoted.back() == quoted[0] ? quoted.size() - 1 : quoted.size();
  for (std::size_t i = 1; i < end; ++i) {
    const char next = quoted[i] == '\\' && i + 1 < end ? quoted[i + 1] : '\0';
    constexpr std::string_view kFrom = "ntr\\'\"\n";
    const std::size_t at = next == '\0' ? kFrom.npos : kFrom.find(next);
    if (at == kFrom.npos) {
      out += quoted[i];
      continue;
    }
    if (next != '\n') out += "\n\t\r\\'\""[at];
    ++i;
  }
  return out;
}

/// An expression: what it writes.
class TemplateExpression {
 public:
  TemplateExpression(std::string_view text, std::vector<std::string>& literals)
      : text_(text), literals_(literals) {}

  [[nodiscard]] std::string written() {
    std::string out;
    std::size_t begin = 0;
    std::size_t depth = 0;
    bool is_counted = true;  // not behind the "if" of "a if b else c"
    std::size_t i = 0;
    while (i < text_.size()) {
      const char c = text_[i];
      if (c == '\'' || c == '"') {
        const std::size_t length = quoted_length(text_.substr(i));
        literals_.push_back(unquoted(text_.substr(i, length)));
        i += length;
        continue;
      }
      if (c == '(' || c == '[' || c == '{') ++depth;
      if ((c == ')' || c == ']' || c == '}') && depth > 0) --depth;
      const bool is_if = depth == 0 && i > begin && is_jinja_space(text_[i - 1]) &&
                         (text_.substr(i).starts_with("if ") || text_.substr(i).starts_with("if("));
      if (is_counted && depth == 0 && (c == '+' || c == '~' || is_if)) {
        append_operand(text_.substr(begin, i - begin), out);
        begin = i + 1;
        is_counted = !is_if;
      }
      ++i;
    }
    if (is_counted) append_operand(text_.substr(begin), out);
    return out;
  }

 private:
  static void append_operand(std::string_view text, std::string& out) {
    text = trim_jinja(text);
    if (text.empty() || text.starts_with("raise_exception(")) return;
    const bool is_quoted = text[0] == '\'' || text[0] == '"';
    if (is_quoted && quoted_length(text) == text.size()) {
      for (const char c : unquoted(text)) out += c > 0 && c <= kEos ? ' ' : c;
      return;
    }
    const std::size_t pipe = text.rfind('|');
    const bool is_trimmed = text.ends_with(".strip()") ||
                            (pipe != text.npos && trim_jinja(text.substr(pipe + 1)) == "trim");
    out += text == "bos_token" ? kBos : text == "eos_token" ? kEos : is_trimmed ? kTrimmed : kValue;
  }

  std::string_view text_;
  std::vector<std::string>& literals_;
};

/// Cuts a template into texts and tags.
class TemplateReader {
 public:
  explicit TemplateReader(std::string_view jinja) : rest_(jinja) {
    if (rest_.ends_with('\n')) rest_.remove_suffix(1);  // as Jinja does
  }

  [[nodiscard]] TemplateText read() {
    while (!rest_.empty()) {
      const std::size_t tag = find_tag();
      std::string_view before = rest_.substr(0, tag);
      rest_.remove_prefix(before.size());
      const std::size_t length = tag_length();
      const std::string_view all = rest_.substr(0, length);
      rest_.remove_prefix(length);
      add_text(before, all);
      if (!all.empty()) add_tag(all);
    }
    return std::move(out_);
  }

 private:
  [[nodiscard]] std::size_t find_tag() const {
    for (std::size_t i = 0; i + 1 < rest_.size(); ++i) {
      const char next = rest_[i + 1];
      if (rest_[i] == '{' && (next == '{' || next == '%' || next == '#')) return i;
    }
    return rest_.size();
  }

  /// Of the tag that the rest begins with, to its end or that of the template.
  [[nodiscard]] std::size_t tag_length() const {
    if (rest_.empty()) return 0;
    const char kind = rest_[1];
    const char close = kind == '{' ? '}' : kind;
    std::size_t i = 2;
    while (i + 1 < rest_.size() && (rest_[i] != close || rest_[i + 1] != '}')) {
      const bool is_quote = kind != '#' && (rest_[i] == '\'' || rest_[i] == '"');
      i += is_quote ? quoted_length(rest_.substr(i)) : 1;
    }
    return std::min(i + 2, rest_.size());
  }

  void add_text(std::string_view text, std::string_view tag) {
    if (strip_next_) {
      while (!text.empty() && is_jinja_space(text.front())) text.remove_prefix(1);
    } else if (trim_next_ && text.starts_with('\n')) {
      text.remove_prefix(1);
      at_line_begin_ = true;
    }
    const bool is_block = tag.size() > 2 && tag[1] != '{';
    if (tag.size() > 2 && tag[2] == '-') {
      while (!text.empty() && is_jinja_space(text.back())) text.remove_suffix(1);
    } else if (is_block && tag[2] != '+') {
      const std::size_t line = text.find_last_not_of(" \t");
      const bool is_indent = line == text.npos ? at_line_begin_ : text[line] == '\n';
      if (is_indent) text = text.substr(0, line == text.npos ? 0 : line + 1);
    }
    for (const char c : text) out_.written += c > 0 && c <= kEos ? ' ' : c;
    at_line_begin_ = false;
    const char last = tag.size() > 4 ? tag[tag.size() - 3] : '\0';
    strip_next_ = last == '-';
    trim_next_ = is_block && last != '+';
  }

  void add_tag(std::string_view tag) {
    if (tag.size() < 4 || tag[1] == '#') return;
    std::string_view body = tag.substr(2, tag.size() - 4);
    if (body.starts_with('-') || body.starts_with('+')) body.remove_prefix(1);
    if (body.ends_with('-') || body.ends_with('+')) body.remove_suffix(1);
    body = trim_jinja(body);
    if (tag[1] == '{') {
      out_.written += TemplateExpression(body, out_.literals).written();
      return;
    }
    out_.written += kStep;
    out_.statements.append(body).append(1, '\n');
    const std::size_t equals = body.find('=');
    if (!body.starts_with("set ") || equals == body.npos) {
      static_cast<void>(TemplateExpression(body, out_.literals).written());
      return;
    }
    const std::string_view name = trim_jinja(body.substr(4, equals - 4));
    std::string text = TemplateExpression(body.substr(equals + 1), out_.literals).written();
    out_.assigned.push_back({std::string(name), std::move(text)});
  }

  std::string_view rest_;
  TemplateText out_;
  bool strip_next_ = false;
  bool trim_next_ = false;
  bool at_line_begin_ = true;  // where the text begins
};

inline TemplateText TemplateText::parse(std::string_view jinja) {
  return TemplateReader(jinja).read();
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
