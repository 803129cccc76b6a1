// SPDX-License-Identifier: Apache-2.0
// Reads the steps in a tokenizer.json: normalizer, pre_tokenizer, decoder, post_processor.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/io/json_fields.hpp"
#include "mamba2/io/printable.hpp"
#include "mamba2/tokenizer/steps.hpp"
#include "mamba2/tokenizer/tokenizer_file.hpp"
#include "mamba2/unicode/utf8.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// A normalizer, pre_tokenizer, post_processor or decoder: an object with a type, or null. A
/// Sequence stands for the parts in its list.
class TokenizerComponent {
 public:
  /// @param list the key of a Sequence's list
  TokenizerComponent(const JsonFields& root, std::string_view key, std::string_view list)
      : name_(root.name()), key_(key), list_(list) {
    if (const Json* value = root.find_value(key)) add(*value);
    if (parts_.size() > kMostParts && !error_) {
      error_ = unsupported(concat("at most ", kMostParts, " steps"), concat(parts_.size()));
    }
  }

  [[nodiscard]] const std::optional<Error>& error() const noexcept { return error_; }
  [[nodiscard]] const std::vector<const Json*>& parts() const noexcept { return parts_; }

  [[nodiscard]] static std::string_view type_of(const Json& part) {
    const auto type = part.find("type");
    const auto* text = type == part.end() ? nullptr : type->get_ptr<const std::string*>();
    return text == nullptr ? std::string_view() : *text;
  }

  [[nodiscard]] Error unsupported(std::string_view expected, std::string_view found) const {
    return {ErrorCode::unsupported,
            concat(name_, ": ", key_, " must be ", expected, ", found ", found)};
  }

  /// Calls read(type, fields) for each step, which refuses in the fields what it does not know.
  template <class Read>
  [[nodiscard]] Result<void> read_each(const Read& read) const {
    if (error_) return *error_;
    const std::string prefix = concat(key_, ".");
    for (const Json* part : parts_) {
      JsonFields fields(*part, name_, prefix);
      Result<void> done = read(type_of(*part), fields);
      if (fields.error()) return *fields.error();
      if (!done) return done;
    }
    return {};
  }

 private:
  static constexpr std::size_t kMostParts = 32;

  void add(const Json& value) {  // nesting is limited by the parser
    if (type_of(value).empty()) {
      error_ = Error{
          ErrorCode::malformed,
          concat(name_, ": ", key_, " must be an object with a type, found ", describe(value))};
    } else if (type_of(value) != "Sequence") {
      parts_.push_back(&value);
    } else if (const auto list = value.find(list_); list != value.end() && list->is_array()) {
      for (const Json& part : *list) add(part);
    } else {
      error_ =
          Error{ErrorCode::malformed,
                concat(name_, ": ", key_, ": a Sequence must have a list ", list_, ", found none")};
    }
  }

  std::string_view name_, key_, list_;
  std::vector<const Json*> parts_;
  std::optional<Error> error_;
};

/// The text at a key that must be there.
[[nodiscard]] inline std::string read_text(JsonFields& fields, std::string_view key,
                                           std::string_view expected = "a string") {
  const Json* value = fields.find(key);
  const auto* text = value == nullptr ? nullptr : value->get_ptr<const std::string*>();
  if (text == nullptr) fields.refuse(key, expected, value == nullptr ? "none" : describe(*value));
  return text == nullptr ? std::string() : *text;
}

/// One character at a key.
[[nodiscard]] inline std::string read_char(JsonFields& fields, std::string_view key,
                                           std::string fallback) {
  if (fields.find(key) == nullptr) return fallback;
  std::string text = read_text(fields, key, "one character");
  if (fields.error()) return fallback;
  if (text.empty() || first_code_point(text).length != text.size()) {
    fields.refuse(key, "one character", in_quotes(text));
    return fallback;
  }
  return text;
}

/// {"String": ...} or {"Regex": ...}.
[[nodiscard]] inline TextPattern read_pattern(JsonFields& fields) {
  constexpr std::string_view kExpected = R"({"String": text} or {"Regex": text})";
  const Json* value = fields.find("pattern");
  if (value != nullptr && value->is_object() && value->size() == 1) {
    const auto entry = value->begin();
    const auto* text = entry.value().get_ptr<const std::string*>();
    const bool is_regex = entry.key() == "Regex";
    if (text != nullptr && !text->empty() && (is_regex || entry.key() == "String")) {
      return {*text, is_regex};
    }
    if (text != nullptr && text->empty()) {
      fields.refuse("pattern", "of a text that is not empty", "\"\"", ErrorCode::unsupported);
    }
  }
  fields.refuse("pattern", kExpected, value == nullptr ? "none" : describe(*value));
  return {" ", false};
}

/// The value that a text at a key names.
template <class Value, std::size_t N>
[[nodiscard]] Value read_name(JsonFields& fields, std::string_view key, Value fallback,
                              const std::array<std::pair<std::string_view, Value>, N>& names) {
  if (fields.find(key) == nullptr) return fallback;
  std::string expected;
  for (const auto& [name, value] : names) expected += concat(expected.empty() ? "" : ", ", name);
  const std::string text = read_text(fields, key, concat("one of ", expected));
  if (fields.error()) return fallback;
  for (const auto& [name, value] : names) {
    if (name == text) return value;
  }
  fields.refuse(key, concat("one of ", expected), in_quotes(text));
  return fallback;
}

inline Result<void> read_normalizer(const JsonFields& root, TokenizerFile& file) {
  const TokenizerComponent component(root, "normalizer", "normalizers");
  return component.read_each([&](std::string_view type, JsonFields& fields) -> Result<void> {
    using Kind = NormalizerStep::Kind;
    constexpr std::array<std::pair<std::string_view, Kind>, 5> kPlain = {
        {{"NFC", Kind::nfc},
         {"NFD", Kind::nfd},
         {"NFKC", Kind::nfkc},
         {"NFKD", Kind::nfkd},
         {"Lowercase", Kind::lowercase}}};
    for (const auto& [name, kind] : kPlain) {
      if (type != name) continue;
      file.normalizer.push_back({.kind = kind});
      return {};
    }
    if (type == "Prepend") {
      file.normalizer.push_back({.kind = Kind::prepend, .content = read_text(fields, "prepend")});
    } else if (type == "Replace") {
      file.normalizer.push_back({.kind = Kind::replace,
                                 .pattern = read_pattern(fields),
                                 .content = read_text(fields, "content")});
    } else if (type == "Strip") {
      file.normalizer.push_back({.kind = Kind::strip,
                                 .left = fields.flag("strip_left", true),
                                 .right = fields.flag("strip_right", true)});
    } else {
      return component.unsupported(
          "null or of NFC, NFD, NFKC, NFKD, Lowercase, Prepend, Replace, Strip", in_quotes(type));
    }
    return {};
  });
}

inline constexpr std::array<std::pair<std::string_view, SplitBehavior>, 5> kSplitBehaviors = {
    {{"Removed", SplitBehavior::removed},
     {"Isolated", SplitBehavior::isolated},
     {"MergedWithPrevious", SplitBehavior::merged_with_previous},
     {"MergedWithNext", SplitBehavior::merged_with_next},
     {"Contiguous", SplitBehavior::contiguous}}};

inline constexpr std::array<std::pair<std::string_view, PrependScheme>, 3> kPrependSchemes = {
    {{"always", PrependScheme::always},
     {"never", PrependScheme::never},
     {"first", PrependScheme::first}}};

/// Older files say add_prefix_space instead.
[[nodiscard]] inline PrependScheme read_prepend_scheme(JsonFields& fields) {
  const bool prefix =
      fields.find_value("add_prefix_space") == nullptr || fields.flag("add_prefix_space", true);
  return read_name(fields, "prepend_scheme", prefix ? PrependScheme::always : PrependScheme::never,
                   kPrependSchemes);
}

inline Result<void> read_pre_tokenizer(const JsonFields& root, TokenizerFile& file) {
  const TokenizerComponent component(root, "pre_tokenizer", "pretokenizers");
  return component.read_each([&](std::string_view type, JsonFields& fields) -> Result<void> {
    using Kind = PreTokenizerStep::Kind;
    PreTokenizerStep step;
    if (type == "ByteLevel") {
      fields.require({"add_prefix_space"});
      step.add_prefix_space = fields.flag("add_prefix_space", false);
      step.use_regex = fields.flag("use_regex", true);
    } else if (type == "Split") {
      step.kind = Kind::split;
      step.pattern = read_pattern(fields);
      fields.require({"behavior"});
      step.behavior = read_name(fields, "behavior", SplitBehavior::isolated, kSplitBehaviors);
      step.invert = fields.flag("invert", false);
    } else if (type == "Digits") {
      step.kind = Kind::digits;
      step.individual = fields.flag("individual_digits", false);
    } else if (type == "Punctuation") {
      step.kind = Kind::punctuation;
      step.behavior = read_name(fields, "behavior", SplitBehavior::isolated, kSplitBehaviors);
    } else if (type == "Whitespace") {
      step.kind = Kind::whitespace;
    } else if (type == "WhitespaceSplit") {
      step.kind = Kind::whitespace_split;
    } else if (type == "CharDelimiterSplit") {
      step.kind = Kind::split;
      step.pattern = {read_char(fields, "delimiter", ""), false};
      if (step.pattern.text.empty()) fields.refuse("delimiter", "one character", "none");
      step.behavior = SplitBehavior::removed;
    } else if (type == "Metaspace") {
      step.kind = Kind::metaspace;
      step.replacement = read_char(fields, "replacement", kMetaspace);
      step.scheme = read_prepend_scheme(fields);
      step.cuts = fields.find_value("split") == nullptr || fields.flag("split", true);
    } else {
      return component.unsupported(
          "null or of ByteLevel, Split, Digits, Punctuation, Whitespace, WhitespaceSplit, "
          "CharDelimiterSplit, Metaspace",
          in_quotes(type));
    }
    file.pre_tokenizer.push_back(std::move(step));
    return {};
  });
}

inline Result<void> read_decoder(const JsonFields& root, TokenizerFile& file) {
  const TokenizerComponent component(root, "decoder", "decoders");
  constexpr std::string_view kExpected =
      "of ByteLevel, ByteFallback, Replace, Fuse, Strip, Metaspace";
  Result<void> done =
      component.read_each([&](std::string_view type, JsonFields& fields) -> Result<void> {
        using Kind = DecoderStep::Kind;
        DecoderStep step;
        if (type == "ByteFallback") {
          step.kind = Kind::byte_fallback;
        } else if (type == "Fuse") {
          step.kind = Kind::fuse;
        } else if (type == "Replace") {
          step.kind = Kind::replace;
          step.pattern = read_pattern(fields);
          step.content = read_text(fields, "content");
        } else if (type == "Strip") {
          step.kind = Kind::strip;
          fields.require({"content", "start", "stop"});
          step.content = read_char(fields, "content", " ");
          step.start = fields.integer("start", 0, 0);
          step.stop = fields.integer("stop", 0, 0);
        } else if (type == "Metaspace") {
          step.kind = Kind::metaspace;
          step.replacement = read_char(fields, "replacement", kMetaspace);
          step.drops_prefix = read_prepend_scheme(fields) != PrependScheme::never;
        } else if (type != "ByteLevel") {
          return component.unsupported(kExpected, in_quotes(type));
        }
        file.decoder.push_back(std::move(step));
        return {};
      });
  if (done && component.parts().empty()) return component.unsupported(kExpected, "none");
  return done;
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
