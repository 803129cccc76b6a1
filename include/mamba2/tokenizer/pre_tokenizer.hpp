// SPDX-License-Identifier: Apache-2.0
// Cuts a normalized text into the pieces within which tokens are merged, step by step.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/tokenizer/byte_map.hpp"
#include "mamba2/tokenizer/matcher.hpp"
#include "mamba2/tokenizer/splits.hpp"
#include "mamba2/tokenizer/steps.hpp"
#include "mamba2/tokenizer/unicode.hpp"
#include "mamba2/tokenizer/word_chars.hpp"
#include "mamba2/unicode/utf8.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

class PreTokenizer {
 public:
  PreTokenizer() = default;

  /// @param raw_bytes whether a byte_level at the end leaves the bytes as they are, for a model
  ///   that reads bytes, instead of writing characters for them
  /// Errors: malformed, unsupported (a regular expression).
  [[nodiscard]] static Result<PreTokenizer> create(const std::vector<PreTokenizerStep>& steps,
                                                   bool raw_bytes, std::string_view name) {
    PreTokenizer made;
    made.raw_bytes_ = raw_bytes;
    for (const PreTokenizerStep& step : steps) {
      Step compiled = {in_other_words(step), {}};
      if (compiled.rule.kind == PreTokenizerStep::Kind::split) {
        auto matcher = Matcher::create(compiled.rule.pattern, name, "pre_tokenizer.pattern");
        if (!matcher) return std::move(matcher).error();
        compiled.matcher = *std::move(matcher);
      }
      made.steps_.push_back(std::move(compiled));
    }
    return made;
  }

  /// Calls on_piece(text) for each piece, none of them empty.
  /// @param text valid UTF-8
  /// @param at_start whether a whole text begins here
  template <class OnPiece>
  void split(std::string_view text, bool at_start, StepScratch& scratch,
             const OnPiece& on_piece) const {
    run(0, text, at_start, scratch, on_piece);
  }

 private:
  struct Step {
    PreTokenizerStep rule;
    Matcher matcher;  // split
  };

  /// Steps that are a Split by another name.
  [[nodiscard]] static PreTokenizerStep in_other_words(PreTokenizerStep step) {
    using Kind = PreTokenizerStep::Kind;
    if (step.kind == Kind::punctuation) {
      step.kind = Kind::split;
      step.pattern = {R"([!-/:-@\[-`{-~\p{P}])", true};
    } else if (step.kind == Kind::whitespace) {
      step.kind = Kind::split;
      const std::string word = kWordClass;
      step.pattern = {"[" + word + "]+|[^" + word + "\\s]+", true};
      step.behavior = SplitBehavior::removed;
      step.invert = true;
    }
    return step;
  }

  template <class OnPiece>
  void run(std::size_t number, std::string_view text, bool at_start, StepScratch& scratch,
           const OnPiece& on_piece) const {
    if (text.empty()) return;
    if (number == steps_.size()) return on_piece(text);
    const Step& step = steps_[number];
    const auto next = [&](std::size_t begin, std::size_t end) {
      run(number + 1, text.substr(begin, end - begin), at_start && begin == 0, scratch, on_piece);
    };
    using Kind = PreTokenizerStep::Kind;
    switch (step.rule.kind) {
      case Kind::byte_level:
        return run_byte_level(number, text, scratch, on_piece);
      case Kind::metaspace:
        return run_metaspace(number, text, at_start, scratch, on_piece);
      case Kind::digits:
        return split_by_class(
            text, CharClass::number,
            step.rule.individual ? SplitBehavior::isolated : SplitBehavior::contiguous, next);
      case Kind::whitespace_split:
        return split_by_class(text, CharClass::space, SplitBehavior::removed, next);
      case Kind::split:
      case Kind::punctuation:
      case Kind::whitespace:
        break;
    }
    Splits splits(step.rule.behavior, next);
    step.matcher.for_each_stretch(text, scratch,
                                  [&](std::size_t begin, std::size_t end, bool is_match) {
                                    splits.add(begin, end, is_match != step.rule.invert);
                                  });
    splits.finish();
  }

  /// Numbers that came with Unicode 17, by which `tokenizers` knows digits; the tables are of 16.
  [[nodiscard]] static bool is_new_number(char32_t c) noexcept {
    return (c >= 0x11DE0 && c <= 0x11DE9) || (c >= 0x16FF4 && c <= 0x16FF6);
  }

  template <class Emit>
  static void split_by_class(std::string_view text, CharClass value, SplitBehavior behavior,
                             const Emit& emit) {
    Splits splits(behavior, emit);
    ClassRange recent;
    std::size_t done = 0;
    for (std::size_t i = 0; i < text.size();) {
      const CodePoint c = first_code_point(text.substr(i));
      if (!recent.contains(c.value)) recent = class_range(c.value);
      if (recent.value == value || (value == CharClass::number && is_new_number(c.value))) {
        if (done < i) splits.add(done, i, false);
        done = i + c.length;
        splits.add(i, done, true);
      }
      i += c.length;
    }
    if (done < text.size()) splits.add(done, text.size(), false);
    splits.finish();
  }

  template <class OnPiece>
  void run_byte_level(std::size_t number, std::string_view text, StepScratch& scratch,
                      const OnPiece& on_piece) const {
    const PreTokenizerStep& rule = steps_[number].rule;
    const bool raw = raw_bytes_ && number + 1 == steps_.size();
    std::string prefixed, mapped;
    if (rule.add_prefix_space && text[0] != ' ') {
      prefixed.append(1, ' ').append(text);
      text = prefixed;
    }
    while (!text.empty()) {
      const std::size_t length =
          rule.use_regex ? scratch.scanner.first_piece(text, PieceRules::gpt2) : text.size();
      if (raw) {
        on_piece(text.substr(0, length));
      } else {
        mapped.clear();
        for (const char c : text.substr(0, length)) {
          append_code_point(kByteToChar[static_cast<unsigned char>(c)], mapped);
        }
        run(number + 1, mapped, false, scratch, on_piece);
      }
      text.remove_prefix(length);
    }
  }

  template <class OnPiece>
  void run_metaspace(std::size_t number, std::string_view text, bool at_start, StepScratch& scratch,
                     const OnPiece& on_piece) const {
    const PreTokenizerStep& rule = steps_[number].rule;
    const std::string& sign = rule.replacement;
    const bool prepends =
        rule.scheme == PrependScheme::always || (rule.scheme == PrependScheme::first && at_start);
    std::string marked;
    if (prepends && text[0] != ' ' && !text.starts_with(sign)) marked = sign;
    for (const char c : text) {
      if (c == ' ') {
        marked += sign;
      } else {
        marked += c;
      }
    }
    const std::string_view all = marked;
    for (std::size_t begin = 0; begin < all.size();) {
      const std::size_t end =
          rule.cuts ? std::min(all.find(sign, begin + 1), all.size()) : all.size();
      run(number + 1, all.substr(begin, end - begin), at_start && begin == 0, scratch, on_piece);
      begin = end;
    }
  }

  std::vector<Step> steps_;
  bool raw_bytes_ = false;
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
