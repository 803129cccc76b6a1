// SPDX-License-Identifier: Apache-2.0
// Regular expressions as tokenizers write them: the syntax of Oniguruma, Unicode throughout.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "mamba2/core/result.hpp"
#include "mamba2/regex/alphabet.hpp"
#include "mamba2/regex/automaton.hpp"
#include "mamba2/regex/matcher.hpp"
#include "mamba2/regex/parser.hpp"
#include "mamba2/regex/program.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// A compiled pattern; nothing changes in it, so threads may share it.
///
/// What is read: characters, escapes (\n \r \t \f \v \a \e \x{H} \xHH \uHHHH), classes with ranges,
/// negation, nesting and &&, \d \s \w \h, \p{...} of categories and scripts, POSIX brackets, groups
/// (which capture nothing), (?i) and (?m), alternatives, greedy, lazy and possessive quantifiers,
/// {n,m}, ^ $ \A \z \b \B, lookahead and lookbehind of one character. compile() refuses the rest by
/// name. As in Oniguruma ^ and $ are of lines, {n,m}+ repeats a repetition and (?i) folds as
/// Unicode says: (?i:s) matches the long s. Letters that fold to several characters are refused.
///
/// Compiling takes a bounded time and memory. Text is UTF-8; a byte that is part of no character
/// counts as U+FFFD.
class Regex {
 public:
  using Match = RegexMatch;

  /// @return an error that says the pattern, the place and what is not supported there
  [[nodiscard]] static Result<Regex> compile(std::string_view pattern) {
    const auto fault = [&](ErrorCode code, std::string_view what) {
      return Error{code, concat("regular expression '", shown(pattern), "': ", what)};
    };
    if (pattern.size() > PatternReader::kMaxBytes) {
      return fault(ErrorCode::unsupported, "longer than 16384 bytes");
    }
    if (valid_utf8_prefix(pattern) != pattern.size()) {
      return fault(ErrorCode::malformed, "not UTF-8");
    }
    const auto syntax = RegexParser(pattern).parse();
    if (!syntax) return syntax.error();
    const auto program = RegexProgramWriter::write(*syntax);
    if (!program) return fault(program.error().code, program.error().message);
    Regex out;
    auto alphabet = RegexAlphabet::make(syntax->sets);
    if (!alphabet) {
      return fault(ErrorCode::unsupported, "more than 255 kinds of characters are not supported");
    }
    out.alphabet_ = std::move(*alphabet);
    auto automaton = RegexAutomatonBuilder::build(*program, out.alphabet_);
    if (!automaton) return fault(automaton.error().code, automaton.error().message);
    out.automaton_ = std::move(*automaton);
    return out;
  }

  /// The match that begins first at or after `from`; of those that begin there, the one that the
  /// order of alternatives and quantifiers prefers.
  /// @param from at most text.size(), not within a character; what stands before it is seen by
  ///     assertions
  [[nodiscard]] std::optional<Match> find(std::string_view text, std::size_t from = 0) const {
    return RegexMatcher(alphabet_, automaton_, text).find(from);
  }

 private:
  friend class RegexMatches;

  [[nodiscard]] static std::string_view shown(std::string_view pattern) {
    pattern = pattern.substr(0, 200);
    return pattern.substr(0, valid_utf8_prefix(pattern));
  }

  RegexAlphabet alphabet_;
  RegexAutomaton automaton_;
};

/// The matches of a text from left to right, none of which overlap. An empty one right behind the
/// match before is left out. The work for all of them is at most in proportion to the text's size,
/// times the number of states that the pattern needs.
class RegexMatches {
 public:
  /// @param regex, text must outlive this
  RegexMatches(const Regex& regex, std::string_view text) noexcept
      : matcher_(regex.alphabet_, regex.automaton_, text), size_(text.size()) {}

  /// The next match; nothing if there is none.
  [[nodiscard]] std::optional<RegexMatch> next() {
    while (from_ <= size_) {
      const auto match = matcher_.find(from_);
      if (!match) break;
      from_ = match->end;
      if (match->begin != match->end || last_end_ != match->end) {
        last_end_ = match->end;
        return match;
      }
      from_ += from_ < size_ ? matcher_.length_at(from_) : 1;
    }
    from_ = size_ + 1;
    return std::nullopt;
  }

 private:
  RegexMatcher matcher_;
  std::size_t size_;
  std::size_t from_ = 0;
  std::size_t last_end_ = static_cast<std::size_t>(-1);
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
