// SPDX-License-Identifier: Apache-2.0
// What is done to a text before it is cut, step by step.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/tokenizer/matcher.hpp"
#include "mamba2/tokenizer/normalize.hpp"
#include "mamba2/tokenizer/steps.hpp"
#include "mamba2/tokenizer/unicode.hpp"
#include "mamba2/unicode/case.hpp"
#include "mamba2/unicode/utf8.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// Lengths of the white space that a text begins and ends with.
[[nodiscard]] inline std::size_t leading_space(std::string_view text) noexcept {
  std::size_t i = 0;
  while (i < text.size()) {
    const CodePoint c = first_code_point(text.substr(i));
    if (class_range(c.value).value != CharClass::space) break;
    i += c.length;
  }
  return i;
}
[[nodiscard]] inline std::size_t trailing_space(std::string_view text) noexcept {
  std::size_t end = text.size();
  while (end > 0) {
    std::size_t begin = end - 1;
    while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
    const char32_t c = first_code_point(text.substr(begin)).value;
    if (class_range(c).value != CharClass::space) break;
    end = begin;
  }
  return text.size() - end;
}

class Normalizer {
 public:
  /// Where texts are kept between steps.
  using Buffers = std::array<std::string, 2>;

  Normalizer() = default;

  /// Errors: malformed, unsupported (a regular expression).
  [[nodiscard]] static Result<Normalizer> create(const std::vector<NormalizerStep>& steps,
                                                 std::string_view name) {
    Normalizer normalizer;
    for (const NormalizerStep& step : steps) {
      Matcher matcher;
      using Kind = NormalizerStep::Kind;
      if (step.kind == Kind::nfd || step.kind == Kind::nfkc || step.kind == Kind::nfkd) {
        return Error{ErrorCode::unsupported,
                     concat(name, ": normalizer must be none of NFD, NFKC, NFKD, found one")};
      }
      if (step.kind == Kind::replace) {
        auto made = Matcher::create(step.pattern, name, "normalizer.pattern");
        if (!made) return std::move(made).error();
        matcher = *std::move(made);
      }
      normalizer.steps_.push_back({step, std::move(matcher)});
    }
    return normalizer;
  }

  [[nodiscard]] bool empty() const noexcept { return steps_.empty(); }

  /// The normalized text: `text` itself, or what is in one of the buffers until the next call.
  /// @param text valid UTF-8
  [[nodiscard]] std::string_view apply(std::string_view text, Buffers& buffers,
                                       StepScratch& scratch) const {
    std::size_t next = 0;
    for (const Step& step : steps_) {
      std::string& out = buffers[next];
      out.clear();
      if (!transform(step, text, out, scratch)) continue;
      text = out;
      next = 1 - next;
    }
    return text;
  }

 private:
  struct Step {
    NormalizerStep rule;
    Matcher matcher;
  };

  /// Appends the changed text; or narrows `text`, or leaves it as it is, and returns false.
  static bool transform(const Step& step, std::string_view& text, std::string& out,
                        StepScratch& scratch) {
    using Kind = NormalizerStep::Kind;
    const NormalizerStep& rule = step.rule;
    switch (rule.kind) {
      case Kind::nfc:
        if (find_nfc_join(text) == text.size()) return false;
        append_nfc(text, out);
        return true;
      case Kind::nfd:
      case Kind::nfkc:
      case Kind::nfkd:
        return false;
      case Kind::lowercase:
        append_lower(text, out);
        return true;
      case Kind::prepend:
        if (text.empty()) return false;
        out.reserve(rule.content.size() + text.size());
        out.append(rule.content).append(text);
        return true;
      case Kind::replace:
        step.matcher.for_each_stretch(
            text, scratch, [&](std::size_t begin, std::size_t end, bool is_match) {
              out += is_match ? std::string_view(rule.content) : text.substr(begin, end - begin);
            });
        return true;
      case Kind::strip:
        if (rule.left) text.remove_prefix(leading_space(text));
        if (rule.right) text.remove_suffix(trailing_space(text));
        return false;
      case Kind::squeeze_blanks:
        squeeze_blanks(text, out);
        return true;
    }
    return false;
  }

  static void squeeze_blanks(std::string_view text, std::string& out) {
    for (const char c : text) {
      if (c != ' ' || (!out.empty() && out.back() != ' ')) out += c;
    }
    if (out.ends_with(' ')) out.pop_back();
  }

  std::vector<Step> steps_;
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
