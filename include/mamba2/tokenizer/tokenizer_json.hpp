// SPDX-License-Identifier: Apache-2.0
// Reads tokenizer.json, the format of the Hugging Face `tokenizers` package, and refuses what this
// library does not do exactly as that package does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/io/json_fields.hpp"
#include "mamba2/tokenizer/added_tokens.hpp"
#include "mamba2/tokenizer/tokenizer_events.hpp"
#include "mamba2/tokenizer/tokenizer_file.hpp"

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

  /// The one part there must be.
  [[nodiscard]] Result<const Json*> only(std::string_view type) const {
    if (parts_.size() != 1) {
      return unsupported(type, parts_.empty() ? "none" : concat(parts_.size(), " parts"));
    }
    if (type_of(*parts_[0]) != type) return unsupported(type, in_quotes(type_of(*parts_[0])));
    return parts_[0];
  }

 private:
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

inline Result<void> read_normalizer(const JsonFields& root, TokenizerFile& file) {
  const TokenizerComponent normalizer(root, "normalizer", "normalizers");
  if (normalizer.error()) return *normalizer.error();
  for (const Json* part : normalizer.parts()) {
    const std::string_view type = TokenizerComponent::type_of(*part);
    if (type != "NFC") return normalizer.unsupported("NFC or null", in_quotes(type));
    file.nfc = true;
  }
  return {};
}

inline Result<void> read_pre_tokenizer(const JsonFields& root, TokenizerFile& file) {
  const TokenizerComponent component(root, "pre_tokenizer", "pretokenizers");
  if (component.error()) return *component.error();
  const Result<const Json*> part = component.only("ByteLevel");
  if (!part) return part.error();
  JsonFields fields(**part, root.name(), "pre_tokenizer.");
  fields.require({"add_prefix_space"});
  file.add_prefix_space = fields.flag("add_prefix_space", false);
  file.use_regex = fields.flag("use_regex", true);
  if (fields.error()) return *fields.error();
  return {};
}

/// Accepts what adds no token to a single text.
inline Result<void> check_post_processor(const JsonFields& root) {
  const TokenizerComponent component(root, "post_processor", "processors");
  if (component.error()) return *component.error();
  for (const Json* part : component.parts()) {
    const std::string_view type = TokenizerComponent::type_of(*part);
    if (type == "ByteLevel") continue;
    if (type != "TemplateProcessing") {
      return component.unsupported("ByteLevel, TemplateProcessing or null", in_quotes(type));
    }
    const auto single = part->find("single");
    if (single == part->end() || !single->is_array() || single->size() != 1 ||
        !single->front().contains("Sequence")) {
      return component.unsupported("one that adds no token (single = one Sequence)",
                                   single == part->end() ? "none" : describe(*single));
    }
  }
  return {};
}

inline Result<void> check_decoder(const JsonFields& root) {
  const TokenizerComponent component(root, "decoder", "decoders");
  if (component.error()) return *component.error();
  const Result<const Json*> part = component.only("ByteLevel");
  if (!part) return part.error();
  return {};
}

inline Result<void> read_added_tokens(JsonFields& root, TokenizerFile& file) {
  const Json* list = root.find("added_tokens");
  if (list == nullptr) return {};
  if (!list->is_array()) {
    root.refuse("added_tokens", "a list", describe(*list));
    return *root.error();
  }
  std::set<std::string> seen;
  for (const Json& entry : *list) {
    const std::string prefix = concat("added_tokens[", file.added_tokens.size(), "].");
    if (!entry.is_object()) {
      root.refuse(std::string_view(prefix).substr(0, prefix.size() - 1), "an object",
                  describe(entry));
      return *root.error();
    }
    JsonFields fields(entry, root.name(), prefix);
    fields.require({"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"});
    const std::size_t id = fields.integer("id", 0, 0);
    const Json* content = fields.find("content");
    const auto* text = content == nullptr ? nullptr : content->get_ptr<const std::string*>();
    if (id > TokenizerFile::kMaxId) {
      fields.refuse("id", concat("at most ", TokenizerFile::kMaxId), concat(id));
    }
    if (content != nullptr && (text == nullptr || text->empty())) {
      fields.refuse("content", "a string that is not empty", describe(*content));
    }
    if (text != nullptr && text->size() > AddedTokens::kMaxLength) {
      fields.refuse("content", concat("at most ", AddedTokens::kMaxLength, " bytes long"),
                    concat(text->size()), ErrorCode::unsupported);
    }
    if (text != nullptr && !seen.insert(*text).second) {
      fields.refuse("content", "another than before", in_quotes(*text));
    }
    for (const std::string_view key : {"single_word", "lstrip", "rstrip"}) {
      if (fields.flag(key, false)) fields.refuse(key, "false", "true", ErrorCode::unsupported);
    }
    const bool special = fields.flag("special", false);
    const bool normalized = fields.flag("normalized", false);
    if (fields.error()) return *fields.error();
    file.added_tokens.push_back({*text, static_cast<Token>(id), special, normalized});
  }
  return {};
}

inline Result<void> read_model(JsonFields& root, TokenizerFile& file) {
  const Json* value = root.find("model");
  if (value == nullptr || !value->is_object()) {
    root.refuse("model", "an object", value == nullptr ? "none" : describe(*value));
    return *root.error();
  }
  JsonFields model(*value, root.name(), "model.");
  const auto expect = [&](std::string_view key, std::string_view expected, bool fine) {
    const Json* found = model.find_value(key);
    if (found != nullptr && !fine) {
      model.refuse(key, expected, describe(*found), ErrorCode::unsupported);
    }
  };
  const auto is_empty_text = [&](std::string_view key) {
    const Json* found = model.find_value(key);
    const auto* text = found == nullptr ? nullptr : found->get_ptr<const std::string*>();
    return text != nullptr && text->empty();
  };
  const Json* type = model.find_value("type");  // files of early versions have none
  expect("type", "\"BPE\"", type != nullptr && is_text(*type, "BPE"));
  const Json* dropout = model.find_value("dropout");
  expect("dropout", "null or 0", dropout != nullptr && number_of(*dropout) == 0.0);
  for (const std::string_view key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    expect(key, "null or empty", is_empty_text(key));
  }
  const auto flag = [&](std::string_view key) {
    return model.find_value(key) != nullptr && model.flag(key, false);
  };
  file.ignore_merges = flag("ignore_merges");
  if (flag("byte_fallback")) file.fallback_key = "byte_fallback";
  if (model.find_value("unk_token") != nullptr) file.fallback_key = "unk_token";
  if (model.error()) return *model.error();
  return {};
}

/// Errors: malformed; unsupported, naming the key.
inline Result<TokenizerFile> read_tokenizer_json(std::string_view json, std::string_view name) {
  TokenizerFile file;
  TokenizerEvents events(json, name, file);
  if (!read_json(json, events)) return Error{ErrorCode::malformed, std::move(events.error)};
  if (!events.document.is_object()) {
    return Error{ErrorCode::malformed,
                 concat(name, ": expected an object, found ", describe(events.document))};
  }
  JsonFields root(events.document, name);
  for (const std::string_view key : {"truncation", "padding"}) {
    if (const Json* found = root.find_value(key)) {
      root.refuse(key, "null", describe(*found), ErrorCode::unsupported);
    }
  }
  if (root.error()) return *root.error();
  const auto lists = [&]() -> Result<void> {
    if (events.has_vocab && events.has_merges) return {};
    return Error{ErrorCode::malformed,
                 events.has_vocab ? concat(name, ": model.merges must be a list, found none")
                                  : concat(name, ": model.vocab must be an object, found none")};
  };
  // The model first: of files for other kinds of tokenizer that is the telling difference.
  Result<void> done = read_model(root, file);
  if (done) done = lists();
  if (done) done = read_normalizer(root, file);
  if (done) done = read_pre_tokenizer(root, file);
  if (done) done = check_post_processor(root);
  if (done) done = check_decoder(root);
  if (done) done = read_added_tokens(root, file);
  if (done) done = index_vocab(name, file);
  if (!done) return done.error();
  return file;
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
