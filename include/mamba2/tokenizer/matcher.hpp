// SPDX-License-Identifier: Apache-2.0
// Finds what a step looks for: a fixed text, or a regular expression.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "mamba2/core/result.hpp"
#include "mamba2/io/printable.hpp"
#include "mamba2/tokenizer/patterns.hpp"
#include "mamba2/tokenizer/pretokenize.hpp"
#include "mamba2/tokenizer/steps.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// Memory that steps use while they look at one text, reused from text to text.
struct StepScratch {
  Pretokenizer scanner;
};

class Matcher {
 public:
  struct Match {
    std::size_t begin, end;
  };

  Matcher() = default;

  /// `key` names the pattern in messages. Errors: malformed, unsupported.
  [[nodiscard]] static Result<Matcher> create(const TextPattern& pattern, std::string_view name,
                                              std::string_view key) {
    Matcher matcher;
    matcher.text_ = pattern.text;
    if (!pattern.is_regex) return matcher;
    for (const Known& known : kKnown) {
      if (pattern.text == known.pattern) matcher.rules_ = known.rules;
    }
    if (matcher.rules_) return matcher;
    return Error{
        ErrorCode::unsupported,
        concat(name, ": ", key, " must be one that is known, found ", in_quotes(pattern.text))};
  }

  /// The first place at `from` or behind it.
  /// @param text valid UTF-8
  [[nodiscard]] std::optional<Match> find(std::string_view text, std::size_t from,
                                          StepScratch& scratch) const {
    if (rules_) {
      if (from >= text.size()) return std::nullopt;
      return Match{from, from + scratch.scanner.first_piece(text.substr(from), *rules_)};
    }
    const std::size_t begin = text.find(text_, from);
    if (begin == text.npos) return std::nullopt;
    return Match{begin, begin + text_.size()};
  }

  /// Calls add(begin, end, is_match) for the stretches of the text, in order.
  template <class Add>
  void for_each_stretch(std::string_view text, StepScratch& scratch, const Add& add) const {
    std::size_t done = 0;
    for (std::size_t from = 0; from <= text.size();) {
      const std::optional<Match> match = find(text, from, scratch);
      if (!match) break;
      if (match->begin > done) add(done, match->begin, false);
      add(match->begin, match->end, true);
      done = match->end;
      from = done;
    }
    if (done < text.size()) add(done, text.size(), false);
  }

 private:
  /// Expressions for which there is a scanner, many times as fast.
  struct Known {
    std::string_view pattern;
    PieceRules rules;
  };
  static const std::array<Known, 4> kKnown;

  std::string text_;
  std::optional<PieceRules> rules_;
};

inline constexpr std::array<Matcher::Known, 4> Matcher::kKnown = {
    {{kGpt2Pattern, PieceRules::gpt2},
     {kLlama3Pattern, PieceRules::llama3},
     {kLfm25Pattern, PieceRules::llama3},
     {kQwen2Pattern, PieceRules::qwen2}}};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
