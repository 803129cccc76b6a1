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
#include "mamba2/tokenizer/step_json.hpp"
#include "mamba2/tokenizer/template_json.hpp"
#include "mamba2/tokenizer/tokenizer_events.hpp"
#include "mamba2/tokenizer/tokenizer_file.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

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
    const bool special = fields.flag("special", false);
    const bool normalized = fields.flag("normalized", false);
    const bool single_word = fields.flag("single_word", false);
    const bool lstrip = fields.flag("lstrip", false), rstrip = fields.flag("rstrip", false);
    if (fields.error()) return *fields.error();
    file.added_tokens.push_back(
        {*text, static_cast<Token>(id), special, normalized, single_word, lstrip, rstrip});
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
  file.byte_fallback = flag("byte_fallback");
  file.fuse_unk = flag("fuse_unk");
  if (model.find_value("unk_token") != nullptr) file.unk_token = read_text(model, "unk_token");
  if (model.error()) return *model.error();
  return {};
}

/// Errors: malformed; unsupported, naming the key. What a file says of padding and truncation is
/// about several texts at a time, and passed over.
inline Result<TokenizerFile> read_tokenizer_json(std::string_view json, std::string_view name) {
  TokenizerFile file;
  TokenizerEvents events(json, name, file);
  if (!read_json(json, events)) return Error{ErrorCode::malformed, std::move(events.error)};
  if (!events.document.is_object()) {
    return Error{ErrorCode::malformed,
                 concat(name, ": expected an object, found ", describe(events.document))};
  }
  JsonFields root(events.document, name);
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
  if (done) done = read_post_processor(root, file);
  if (done) done = read_decoder(root, file);
  if (done) done = read_added_tokens(root, file);
  if (done) done = index_vocab(name, file);
  if (!done) return done.error();
  return file;
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
