// SPDX-License-Identifier: Apache-2.0
// The chat templates of a model: where folders have them, where GGUF has them.
#pragma once

#include <cstddef>
#include <filesystem>
#include <mamba2/export.hpp>
#include <mamba2/io/checkpoint_files.hpp>
#include <mamba2/io/gguf_metadata.hpp>
#include <mamba2/io/gguf_value.hpp>
#include <mamba2/io/json.hpp>
#include <mamba2/io/json_fields.hpp>
#include <mamba2/io/stand_in.hpp>
#include <mamba2/mamba2.hpp>
#include <mamba2/unicode/utf8.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace convert {

inline constexpr std::string_view kTokenizerConfig = "tokenizer_config.json";
inline constexpr std::string_view kTemplateFile = "chat_template.jinja";
inline constexpr std::string_view kTemplateJson = "chat_template.json";
inline constexpr std::string_view kTemplateKey = "chat_template";

inline constexpr std::string_view kGgufTemplate = "tokenizer.chat_template";
inline constexpr std::string_view kGgufTemplates = "tokenizer.chat_templates";  // names of others

/// A template; the one that is used where none is asked for is called "default".
struct ChatTemplate {
  static constexpr std::string_view kDefault = "default";
  std::string name, text;
};

/// The text of a file, which is valid UTF-8, and no empty one. Errors: io, malformed.
[[nodiscard]] inline mamba2::Result<std::string> read_utf8(const std::filesystem::path& file) {
  constexpr std::size_t kMaxBytes = std::size_t{1} << 24;
  auto text = mamba2::read_text_file(file, kMaxBytes);
  if (!text) return text;
  const auto malformed = [&file](const auto&... what) {
    return mamba2::Error{mamba2::ErrorCode::malformed,
                         mamba2::detail::concat(file.native(), ": ", what...)};
  };
  const std::string_view instead = mamba2::detail::stand_in(*text);
  if (!instead.empty()) return malformed(instead);
  const std::size_t valid = mamba2::detail::valid_utf8_prefix(*text);
  if (valid < text->size()) return malformed("must be UTF-8, found something else at byte ", valid);
  return text;
}

/// A file that is a JSON object, and its text. Errors: io, malformed.
struct JsonFile {
  std::string text;
  mamba2::detail::Json json;

  [[nodiscard]] static mamba2::Result<JsonFile> read(const std::filesystem::path& file) {
    auto text = read_utf8(file);
    if (!text) return text.error();
    auto json = mamba2::detail::parse_json(*text, file.native());
    if (!json) return json.error();
    if (json->is_object()) return JsonFile{*std::move(text), *std::move(json)};
    return mamba2::Error{mamba2::ErrorCode::malformed,
                         mamba2::detail::concat(file.native(), ": expected a JSON object, found ",
                                                mamba2::detail::describe(*json))};
  }
};

/// What an object has at a key, if it is a Value; else nullptr.
template <class Value>
[[nodiscard]] const Value* get_if(const mamba2::detail::Json& object, std::string_view key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found == object.end() ? nullptr : found->template get_ptr<const Value*>();
}

/// The templates at "chat_template" in a file, if it is there: a text, or a list of names and
/// texts. Errors: io, malformed.
[[nodiscard]] inline mamba2::Result<std::vector<ChatTemplate>> templates_in(
    const std::filesystem::path& file) {
  std::vector<ChatTemplate> templates;
  if (!mamba2::detail::file_exists(file)) return templates;
  const auto read = JsonFile::read(file);
  if (!read) return read.error();
  mamba2::detail::JsonFields fields(read->json, file.native());
  const auto* value = fields.find_value(kTemplateKey);
  if (value == nullptr) return templates;
  if (const auto* only = value->get_ptr<const std::string*>()) {
    templates.push_back({std::string(ChatTemplate::kDefault), *only});
  }
  for (std::size_t i = 0; value->is_array() && i < value->size(); ++i) {
    const auto* name = get_if<std::string>((*value)[i], "name");
    const auto* body = get_if<std::string>((*value)[i], "template");
    if (name != nullptr && body != nullptr) templates.push_back({*name, *body});
  }
  if (templates.size() == (value->is_array() ? value->size() : 1)) return templates;
  fields.refuse(kTemplateKey, "a text, or a list of objects with name and template",
                mamba2::detail::describe(*value));
  return *fields.error();
}

/// Those of a folder, of the first of the places in which transformers looks. Errors: io,
/// malformed.
[[nodiscard]] inline mamba2::Result<std::vector<ChatTemplate>> templates_of_folder(
    const std::filesystem::path& folder) {
  if (const auto file = folder / kTemplateFile; mamba2::detail::file_exists(file)) {
    auto text = read_utf8(file);
    if (!text) return text.error();
    return std::vector{ChatTemplate{std::string(ChatTemplate::kDefault), *std::move(text)}};
  }
  auto templates = templates_in(folder / kTokenizerConfig);
  if (!templates || !templates->empty()) return templates;
  return templates_in(folder / kTemplateJson);
}

/// Those of a GGUF file.
[[nodiscard]] inline std::vector<ChatTemplate> templates_of_gguf(
    const mamba2::GgufMetadata& metadata) {
  std::vector<ChatTemplate> templates;
  metadata.for_each([&](std::string_view key, const mamba2::GgufValue& value) {
    const auto text = value.text();
    if (!key.starts_with(kGgufTemplate) || !text) return;
    key.remove_prefix(kGgufTemplate.size());
    if (key.empty()) templates.push_back({std::string(ChatTemplate::kDefault), std::string(*text)});
    if (key.starts_with('.')) templates.push_back({std::string(key.substr(1)), std::string(*text)});
  });
  return templates;
}

/// As "chat_template" of tokenizer_config.json.
[[nodiscard]] inline mamba2::detail::Json templates_json(
    const std::vector<ChatTemplate>& templates) {
  if (templates.size() == 1 && templates[0].name == ChatTemplate::kDefault) {
    return templates[0].text;
  }
  auto list = mamba2::detail::Json::array();
  for (const auto& [name, text] : templates) list.push_back({{"name", name}, {"template", text}});
  return list;
}

/// As keys of GGUF, under names that the format can have.
inline void set_gguf_templates(mamba2::GgufWriter& writer,
                               const std::vector<ChatTemplate>& templates) {
  std::vector<std::string> names;
  for (const auto& [name, text] : templates) {
    if (name == ChatTemplate::kDefault) {
      writer.set_text(kGgufTemplate, text);
      continue;
    }
    std::string& plain = names.emplace_back(name.substr(0, 64));
    for (char& c : plain) {
      const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
      if (!is_letter && !(c >= '0' && c <= '9')) c = '_';
    }
    writer.set_text(mamba2::detail::concat(kGgufTemplate, ".", plain), text);
  }
  if (!names.empty()) writer.set_texts(kGgufTemplates, names);
}

}  // namespace convert
