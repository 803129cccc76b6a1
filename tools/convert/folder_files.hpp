// SPDX-License-Identifier: Apache-2.0
// What lies beside config.json and model.safetensors in a folder of transformers.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <mamba2/export.hpp>
#include <mamba2/io/eos_tokens.hpp>
#include <mamba2/io/json_writer.hpp>
#include <mamba2/mamba2.hpp>
#include <mamba2/tokenizer/tokenizer_events.hpp>
#include <mamba2/tokenizer/tokenizer_file.hpp>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tools/convert/chat_templates.hpp"
#include "tools/convert/companions.hpp"

namespace convert {

/// A file of text in a folder.
struct TextFile {
  std::string name, text;
};

inline constexpr std::string_view kTokenizerFile = "tokenizer.json";
inline constexpr std::string_view kGenerationConfig = "generation_config.json";

/// All that there may be: what a folder has of these belongs to its model.
inline constexpr std::array<std::string_view, 6> kFolderFiles = {
    kTokenizerFile, kTokenizerConfig, "special_tokens_map.json",
    kTemplateFile,  kTemplateJson,    kGenerationConfig};

/// The special tokens that a tokenizer.json adds, by id. Error: malformed, for what is no JSON.
[[nodiscard]] inline mamba2::Result<std::map<mamba2::Token, std::string>> special_texts(
    std::string_view tokenizer, std::string_view name) {
  mamba2::detail::TokenizerFile lists;
  mamba2::detail::TokenizerEvents events(tokenizer, name, lists);
  if (!mamba2::detail::read_json(tokenizer, events)) {
    return mamba2::Error{mamba2::ErrorCode::malformed, std::move(events.error)};
  }
  std::map<mamba2::Token, std::string> texts;
  using Json = mamba2::detail::Json;
  const auto* added = get_if<Json::array_t>(events.document, "added_tokens");
  if (added == nullptr) return texts;
  for (const Json& token : *added) {
    const auto* id = get_if<std::uint64_t>(token, "id");
    const auto* text = get_if<std::string>(token, "content");
    const auto* special = get_if<bool>(token, "special");
    const bool fits = id != nullptr && *id <= mamba2::detail::TokenizerFile::kMaxId;
    if (!fits || text == nullptr || special == nullptr || !*special) continue;
    texts[static_cast<mamba2::Token>(*id)] = *text;
  }
  return texts;
}

/// The text of a tokenizer_config.json by which transformers takes tokenizer.json as it is; where
/// there is none, it builds another tokenizer, by the kind of the model. Only tokens that are
/// special already are named, as what is named becomes special.
[[nodiscard]] inline std::string tokenizer_config(const std::map<mamba2::Token, std::string>& texts,
                                                  const mamba2::SpecialTokens& special,
                                                  const std::vector<mamba2::Token>& eos,
                                                  const std::vector<ChatTemplate>& templates) {
  mamba2::detail::JsonWriter json;
  json.start_object();
  json.member("tokenizer_class", "PreTrainedTokenizerFast");
  const auto name_token = [&](std::string_view key, std::optional<mamba2::Token> id) {
    if (const auto found = id ? texts.find(*id) : texts.end(); found != texts.end()) {
      json.member(key, found->second);
    }
  };
  name_token("bos_token", special.bos);
  const auto end = std::ranges::find_if(eos, [&](mamba2::Token id) { return texts.contains(id); });
  if (end != eos.end()) name_token("eos_token", *end);
  name_token("unk_token", special.unknown);
  name_token("pad_token", special.pad);
  json.member("clean_up_tokenization_spaces", false);  // which would change what is decoded
  if (!templates.empty()) json.member(kTemplateKey, templates_json(templates));
  json.end_object();
  return std::move(json).text() + "\n";
}

/// The text of a generation_config.json; empty where there is nothing to say.
[[nodiscard]] inline std::string generation_config(const mamba2::SpecialTokens& special,
                                                   const std::vector<mamba2::Token>& eos) {
  if (!special.bos && eos.empty() && !special.pad) return "";
  mamba2::detail::JsonWriter json;
  json.start_object();
  if (special.bos) json.member("bos_token_id", *special.bos);
  if (!eos.empty()) json.member(mamba2::detail::kEosKey, mamba2::detail::eos_json(eos));
  if (special.pad) json.member("pad_token_id", *special.pad);
  json.end_object();
  return std::move(json).text() + "\n";
}

/// The text of a file that is copied as it is, if it is what its name says. Errors: io, malformed.
[[nodiscard]] inline mamba2::Result<std::string> read_companion(const std::filesystem::path& file) {
  if (file.filename() == kTemplateFile) return read_utf8(file);
  auto read = JsonFile::read(file);
  if (!read) return read.error();
  return std::move(read->text);
}

/// Adds tokenizer.json and what goes with it.
[[nodiscard]] inline mamba2::Result<void> add_tokenizer(const Companions& companions,
                                                        const mamba2::Config& config,
                                                        std::vector<TextFile>& files) {
  auto tokenizer = companions.tokenizer_text();
  if (!tokenizer) return tokenizer.error();
  const auto texts = special_texts(*tokenizer, companions.tokenizer_file());
  if (!texts) return texts.error();
  files.push_back({std::string(kTokenizerFile), *std::move(tokenizer)});
  bool has_config = false;
  for (const std::string_view name : kFolderFiles) {
    const auto file = companions.folder() / name;
    const bool is_other = name == kTokenizerFile || name == kGenerationConfig;
    if (is_other || companions.folder().empty() || !mamba2::detail::file_exists(file)) continue;
    auto text = read_companion(file);
    if (!text) return text.error();
    files.push_back({std::string(name), *std::move(text)});
    has_config = has_config || name == kTokenizerConfig;
  }
  if (has_config) return {};
  std::vector<ChatTemplate> templates;
  if (companions.metadata() != nullptr) templates = templates_of_gguf(*companions.metadata());
  files.push_back(
      {std::string(kTokenizerConfig),
       tokenizer_config(*texts, companions.special(), config.eos_token_ids, templates)});
  return {};
}

/// The files of a folder but for config.json and the weights: the source's own, as they are, or
/// such as say what it does. Errors: io; malformed (a file of the source is not what its name
/// says).
[[nodiscard]] inline mamba2::Result<std::vector<TextFile>> folder_files(
    const Companions& companions, const mamba2::Config& config) {
  std::vector<TextFile> files;
  if (companions.has_tokenizer()) {
    if (auto added = add_tokenizer(companions, config, files); !added) {
      return Companions::with_hint(std::move(added).error());
    }
  }
  const auto own = companions.folder() / kGenerationConfig;
  mamba2::Result<std::string> generation =
      generation_config(companions.special(), config.eos_token_ids);
  if (!companions.folder().empty() && mamba2::detail::file_exists(own)) {
    generation = read_companion(own);
  }
  if (!generation) return generation.error();
  if (!generation->empty()) {
    files.push_back({std::string(kGenerationConfig), *std::move(generation)});
  }
  return files;
}

}  // namespace convert
