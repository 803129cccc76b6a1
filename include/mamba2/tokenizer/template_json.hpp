// SPDX-License-Identifier: Apache-2.0
// Reads the post_processor of a tokenizer.json: the tokens that a text begins and ends with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/io/json_fields.hpp"
#include "mamba2/layers/config.hpp"
#include "mamba2/tokenizer/step_json.hpp"
#include "mamba2/tokenizer/tokenizer_file.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// The value of a key of an object, nullptr if it is another thing.
[[nodiscard]] inline const Json* member_of(const Json* object, std::string_view key) {
  if (object == nullptr || !object->is_object()) return nullptr;
  const auto& entries = *object->get_ptr<const Json::object_t*>();
  const auto found = entries.find(key);
  return found == entries.end() ? nullptr : &found->second;
}

/// Appends the ids of a special token of a template.
inline void add_template_token(JsonFields& fields, const Json& token, std::vector<Token>& out) {
  const Json* name = member_of(&token, "id");
  const auto* text = name == nullptr ? nullptr : name->get_ptr<const std::string*>();
  const Json* ids = nullptr;
  if (text != nullptr) ids = member_of(member_of(fields.find("special_tokens"), *text), "ids");
  if (ids == nullptr || !ids->is_array()) {
    return fields.refuse("single", "of special tokens that special_tokens has ids for",
                         text == nullptr ? "one without a name" : in_quotes(*text));
  }
  for (const Json& id : *ids) {
    const auto* number = id.get_ptr<const std::uint64_t*>();
    if (number == nullptr || *number > TokenizerFile::kMaxId) {
      return fields.refuse("special_tokens", concat("of ids of at most ", TokenizerFile::kMaxId),
                           describe(id));
    }
    out.push_back(static_cast<Token>(*number));
  }
}

/// The tokens around a single text.
inline Result<void> read_template(const TokenizerComponent& component, JsonFields& fields,
                                  TokenizerFile& file) {
  constexpr std::size_t kMostTokens = 64;
  const Json* single = fields.find("single");
  const auto refuse = [&] {
    return component.unsupported("a TemplateProcessing with one Sequence A in single",
                                 single == nullptr ? "none" : describe(*single));
  };
  if (single == nullptr || !single->is_array() || single->size() > kMostTokens) return refuse();
  std::vector<Token> before, after;
  bool has_text = false;
  for (const Json& part : *single) {
    if (const Json* token = member_of(&part, "SpecialToken")) {
      add_template_token(fields, *token, has_text ? after : before);
      continue;
    }
    const Json* text = member_of(&part, "Sequence");
    const Json* id = member_of(text, "id");
    if (text == nullptr || has_text || (id != nullptr && !is_text(*id, "A"))) return refuse();
    has_text = true;
  }
  if (!has_text) return refuse();
  file.prefix.insert(file.prefix.begin(), before.begin(), before.end());
  file.suffix.insert(file.suffix.end(), after.begin(), after.end());
  return {};
}

inline Result<void> read_post_processor(const JsonFields& root, TokenizerFile& file) {
  const TokenizerComponent component(root, "post_processor", "processors");
  return component.read_each([&](std::string_view type, JsonFields& fields) -> Result<void> {
    if (type == "ByteLevel") return {};  // is about offsets
    if (type == "TemplateProcessing") return read_template(component, fields, file);
    return component.unsupported("null or of ByteLevel, TemplateProcessing", in_quotes(type));
  });
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
