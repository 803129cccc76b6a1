// SPDX-License-Identifier: Apache-2.0
// The chat templates of a model: where folders have them, where GGUF has them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/mapped_file.hpp"
#include "mamba2/core/result.hpp"
#include "mamba2/io/checkpoint_files.hpp"
#include "mamba2/io/gguf_metadata.hpp"
#include "mamba2/io/gguf_parts.hpp"
#include "mamba2/io/gguf_value.hpp"
#include "mamba2/io/json.hpp"
#include "mamba2/io/json_fields.hpp"
#include "mamba2/io/model_path.hpp"
#include "mamba2/io/packed_file.hpp"
#include "mamba2/io/stand_in.hpp"
#include "mamba2/text/chat/recognise.hpp"
#include "mamba2/tokenizer/tokenizer_config.hpp"
#include "mamba2/tokenizer/tokenizer_gguf.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

inline constexpr std::string_view kTemplateFile = "chat_template.jinja";
inline constexpr std::string_view kTemplateJson = "chat_template.json";
inline constexpr std::string_view kTemplateKey = "chat_template";

inline constexpr std::string_view kGgufTemplate = "tokenizer.chat_template";
inline constexpr std::string_view kGgufTemplates = "tokenizer.chat_templates";  // names of others

/// A template; the one that is used where none is asked for is called "default".
struct TemplateFile {
  static constexpr std::string_view kDefault = "default";
  std::string name, text;
};

/// The templates at "chat_template" in an object out of a file: a text, or a list of names and
/// texts; none if it is not there. Error malformed: something else.
[[nodiscard]] inline Result<std::vector<TemplateFile>> templates_in(const Json& json,
                                                                    std::string_view name) {
  std::vector<TemplateFile> templates;
  JsonFields fields(json, name);
  const auto* value = fields.find_value(kTemplateKey);
  if (value == nullptr) return templates;
  if (const auto* only = value->get_ptr<const std::string*>()) {
    templates.push_back({std::string(TemplateFile::kDefault), *only});
  }
  for (std::size_t i = 0; value->is_array() && i < value->size(); ++i) {
    const auto* own_name = get_if<std::string>((*value)[i], "name");
    const auto* body = get_if<std::string>((*value)[i], "template");
    if (own_name != nullptr && body != nullptr) templates.push_back({*own_name, *body});
  }
  if (templates.size() == (value->is_array() ? value->size() : 1)) return templates;
  fields.refuse(kTemplateKey, "a text, or a list of objects with name and template",
                describe(*value));
  return *fields.error();
}

/// Those of a file, if it is there. Errors: io, malformed.
[[nodiscard]] inline Result<std::vector<TemplateFile>> templates_of_file(
    const std::filesystem::path& file) {
  if (!file_exists(file)) return std::vector<TemplateFile>();
  const auto read = JsonFile::read(file);
  if (!read) return read.error();
  return templates_in(read->json, file.native());
}

/// Those of a folder, of the first of the places in which transformers looks. Errors: io,
/// malformed.
[[nodiscard]] inline Result<std::vector<TemplateFile>> templates_of_folder(
    const std::filesystem::path& folder) {
  if (const auto file = folder / kTemplateFile; file_exists(file)) {
    auto text = read_utf8(file);
    if (!text) return text.error();
    return std::vector{TemplateFile{std::string(TemplateFile::kDefault), *std::move(text)}};
  }
  auto templates = templates_of_file(folder / kTokenizerConfig);
  if (!templates || !templates->empty()) return templates;
  return templates_of_file(folder / kTemplateJson);
}

/// Those of a GGUF file.
[[nodiscard]] inline std::vector<TemplateFile> templates_of_gguf(const GgufMetadata& metadata) {
  std::vector<TemplateFile> templates;
  metadata.for_each([&](std::string_view key, const GgufValue& value) {
    const auto text = value.text();
    if (!key.starts_with(kGgufTemplate) || !text) return;
    key.remove_prefix(kGgufTemplate.size());
    if (key.empty()) templates.push_back({std::string(TemplateFile::kDefault), std::string(*text)});
    if (key.starts_with('.')) templates.push_back({std::string(key.substr(1)), std::string(*text)});
  });
  return templates;
}

/// The token whose number a GGUF file has at a key.
[[nodiscard]] inline std::string gguf_token_text(const GgufMetadata& metadata,
                                                 std::string_view key) {
  const GgufValue* id = metadata.find(key);
  const GgufValue* tokens = metadata.find(kGgufTokens);
  const auto wanted = id == nullptr ? std::nullopt : id->integer();
  std::string found;
  const bool is_list = tokens != nullptr && tokens->is_array && tokens->type == GgufType::string;
  if (!wanted || !is_list) return found;
  std::uint64_t i = 0;
  tokens->for_each_string([&](std::string_view text) {
    if (i++ == *wanted) found = text;
  });
  return found;
}

/// The templates of a model, and the tokens that they may name.
struct ModelTemplates {
  std::vector<TemplateFile> templates = {};
  ChatTokens tokens = {};
  std::string place = {};  // of the templates, for messages

  /// Those of a folder (or of one of its files), a GGUF file or a packed model, which has none.
  /// Errors: io, malformed.
  [[nodiscard]] static Result<ModelTemplates> read(const std::filesystem::path& model) {
    ModelTemplates out;
    if (const auto folder = checkpoint_folder(model)) return read_folder(*folder);
    const auto file = MappedFile::open(first_gguf_part(model));
    if (!file) return file.error();
    if (!is_gguf(file->bytes())) return out;
    const auto metadata = GgufMetadata::parse(file->bytes(), first_gguf_part(model).native());
    if (!metadata) return metadata.error();
    out.templates = templates_of_gguf(*metadata);
    out.place = concat(metadata->file(), ": ", kGgufTemplate);
    out.tokens = {gguf_token_text(*metadata, "tokenizer.ggml.bos_token_id"),
                  gguf_token_text(*metadata, "tokenizer.ggml.eos_token_id")};
    return out;
  }

  /// The one that is called "default", or else the first; nullptr if there is none.
  [[nodiscard]] const TemplateFile* chosen() const {
    for (const TemplateFile& file : templates) {
      if (file.name == TemplateFile::kDefault) return &file;
    }
    return templates.empty() ? nullptr : templates.data();
  }

 private:
  [[nodiscard]] static Result<ModelTemplates> read_folder(const std::filesystem::path& folder) {
    ModelTemplates out;
    auto templates = templates_of_folder(folder);
    if (!templates) return std::move(templates).error();
    out.templates = *std::move(templates);
    out.place = concat(folder.native(), ": chat_template");
    const auto config = folder / kTokenizerConfig;
    if (out.templates.empty() || !file_exists(config)) return out;
    const auto read = JsonFile::read(config);
    if (!read) return read.error();
    out.tokens = {token_text(read->json, "bos_token"), token_text(read->json, "eos_token")};
    return out;
  }
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
