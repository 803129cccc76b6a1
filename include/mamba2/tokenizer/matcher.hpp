// SPDX-License-Identifier: Apache-2.0
// Finds what a step looks for: a fixed text, or a regular expression.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "mamba2/core/result.hpp"
#include "mamba2/io/printable.hpp"
#include "mamba2/regex/regex.hpp"
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
    Result<Regex> regex = Regex::compile(pattern.text);
    if (!regex) {
      return Error{regex.error().code, concat(name, ": ", key, ": ", regex.error().message)};
    }
    matcher.regex_ = std::make_shared<const Regex>(*std::move(regex));
    return matcher;
  }

  /// Calls add(begin, end, is_match) for the stretches of the text, in order.
  /// @param text valid UTF-8
  template <class Add>
  void for_each_stretch(std::string_view text, StepScratch& scratch, const Add& add) const {
    std::size_t done = 0;
    const auto match = [&](std::size_t begin, std::size_t end) {
      if (begin > done) add(done, begin, false);
      add(begin, end, true);
      done = end;
    };
    if (rules_) {
      while (done < text.size()) {
        match(done, done + scratch.scanner.first_piece(text.substr(done), *rules_));
      }
    } else if (regex_ != nullptr) {
      RegexMatches matches(*regex_, text);
      while (const auto found = matches.next()) match(found->begin, found->end);
    } else {
      for (std::size_t at = text.find(text_); at != text.npos; at = text.find(text_, done)) {
        match(at, at + text_.size());
      }
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
  std::shared_ptr<const Regex> regex_;  // nothing changes in it: copies share it
};

inline constexpr std::array<Matcher::Known, 4> Matcher::kKnown = {
    {{kGpt2Pattern, PieceRules::gpt2},
     {kLlama3Pattern, PieceRules::llama3},
     {kLfm25Pattern, PieceRules::llama3},
     {kQwen2Pattern, PieceRules::qwen2}}};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
