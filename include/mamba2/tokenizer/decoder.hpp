// SPDX-License-Identifier: Apache-2.0
// From tokens back to text, step by step and token by token.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/io/printable.hpp"
#include "mamba2/tokenizer/byte_map.hpp"
#include "mamba2/tokenizer/matcher.hpp"
#include "mamba2/tokenizer/steps.hpp"
#include "mamba2/unicode/utf8.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// The byte that "<0x0A>" names, -1 for any other text.
[[nodiscard]] inline int named_byte(std::string_view text) noexcept {
  if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return -1;
  int byte = 0;
  for (const char c : text.substr(3, 2)) {
    const bool digit = c >= '0' && c <= '9';
    const bool upper = c >= 'A' && c <= 'F', lower = c >= 'a' && c <= 'f';
    if (!digit && !upper && !lower) return -1;
    byte = byte * 16 + (digit ? c - '0' : upper ? c - 'A' + 10 : c - 'a' + 10);
  }
  return byte;
}

/// The steps of a decoder in three parts: those that change tokens one by one, before and behind
/// that which puts bytes together; then one text is made of all, which the others change.
class Decoder {
 public:
  /// Errors: malformed; unsupported, for an order of steps that does not occur.
  [[nodiscard]] static Result<Decoder> create(const std::vector<DecoderStep>& steps,
                                              std::string_view name) {
    Decoder decoder;
    for (const DecoderStep& step : steps) {
      if (const Result<void> added = decoder.add(step, name); !added) return added.error();
    }
    return decoder;
  }

  /// Whether tokens may be bytes of characters.
  [[nodiscard]] bool has_bytes() const noexcept { return has_bytes_; }
  /// Whether the token that is written so is one.
  [[nodiscard]] bool is_byte(std::string_view written) const {
    if (!has_bytes_) return false;
    std::string text(written);
    for (const Step& step : before_) change(step, false, text);
    return named_byte(text) >= 0;
  }
  [[nodiscard]] bool each_character() const noexcept { return each_character_; }
  /// Whether the first token of a text is another text than elsewhere.
  [[nodiscard]] bool first_differs() const noexcept { return first_differs_; }

  /// Appends what a token says.
  /// @param written as the vocabulary has it, valid UTF-8
  void append_text(std::string_view written, bool first, std::string& out) const {
    std::string text(written);
    for (const Step& step : before_) change(step, first, text);
    const int byte = has_bytes_ ? named_byte(text) : -1;
    if (byte >= 0) {
      out += static_cast<char>(byte);
      return;
    }
    finish_element(std::move(text), first, out);
  }

  /// Appends what bytes that are put together say.
  void append_bytes(std::string text, bool first, std::string& out) const {
    finish_element(std::move(text), first, out);
  }

  /// The steps for the whole text: strip and replace.
  [[nodiscard]] const std::vector<DecoderStep>& whole() const noexcept { return whole_; }

 private:
  struct Step {
    DecoderStep rule;
    Matcher matcher;
  };

  Result<void> add(const DecoderStep& step, std::string_view name) {
    using Kind = DecoderStep::Kind;
    const auto refuse = [&](std::string_view what) {
      return Error{ErrorCode::unsupported, concat(name,
                                                  ": decoder must be one that this library "
                                                  "knows the order of, found ",
                                                  what)};
    };
    switch (step.kind) {
      case Kind::fuse:
        joined_ = true;
        return {};
      case Kind::byte_level:
        if (joined_ || has_bytes_) return refuse("ByteLevel behind Fuse or ByteFallback");
        joined_ = maps_bytes_ = true;
        return {};
      case Kind::byte_fallback:
        if (joined_ || has_bytes_) return refuse("ByteFallback behind a step that joins tokens");
        has_bytes_ = true;
        each_character_ = step.each_character;
        return {};
      case Kind::replace:
      case Kind::strip:
      case Kind::metaspace:
        break;
    }
    if (joined_) {
      if (step.kind == Kind::metaspace) return refuse("Metaspace behind Fuse or ByteLevel");
      if (step.pattern.is_regex) return refuse("Replace of a Regex behind Fuse or ByteLevel");
      whole_.push_back(step);
      return {};
    }
    Matcher matcher;
    if (step.kind == Kind::replace) {
      auto made = Matcher::create(step.pattern, name, "decoder.pattern");
      if (!made) return std::move(made).error();
      matcher = *std::move(made);
    }
    const bool drops = step.kind == Kind::metaspace && step.drops_prefix;
    first_differs_ = first_differs_ || drops || step.first_only;
    (has_bytes_ ? behind_ : before_).push_back({step, std::move(matcher)});
    return {};
  }

  void finish_element(std::string text, bool first, std::string& out) const {
    for (const Step& step : behind_) change(step, first, text);
    if (maps_bytes_) {
      append_mapped_bytes(text, out);
    } else {
      out += text;
    }
  }

  static void change(const Step& step, bool first, std::string& text) {
    std::string out;
    StepScratch scratch;
    const std::string_view before = text;
    switch (step.rule.kind) {
      case DecoderStep::Kind::replace:
        step.matcher.for_each_stretch(before, scratch,
                                      [&](std::size_t begin, std::size_t end, bool is_match) {
                                        out += is_match ? std::string_view(step.rule.content)
                                                        : before.substr(begin, end - begin);
                                      });
        break;
      case DecoderStep::Kind::strip:
        if (step.rule.first_only && !first) return;
        out = stripped(before, step.rule);
        break;
      default: {  // metaspace
        const std::string_view blank = first && step.rule.drops_prefix ? "" : " ";
        for (std::size_t i = 0; i < before.size();) {
          const bool is_sign = before.substr(i).starts_with(step.rule.replacement);
          const std::size_t length = is_sign ? step.rule.replacement.size() : 1;
          out += is_sign ? blank : before.substr(i, length);
          i += length;
        }
      }
    }
    text = std::move(out);
  }

  [[nodiscard]] static std::string_view stripped(std::string_view text, const DecoderStep& rule) {
    for (std::size_t n = 0; n < rule.start && text.starts_with(rule.content); ++n) {
      text.remove_prefix(rule.content.size());
    }
    for (std::size_t n = 0; n < rule.stop && text.ends_with(rule.content); ++n) {
      text.remove_suffix(rule.content.size());
    }
    return text;
  }

  std::vector<Step> before_, behind_;
  std::vector<DecoderStep> whole_;
  bool has_bytes_ = false;
  bool each_character_ = false;
  bool maps_bytes_ = false;
  bool joined_ = false;
  bool first_differs_ = false;
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
