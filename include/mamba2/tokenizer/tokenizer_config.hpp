// SPDX-License-Identifier: Apache-2.0
// A tokenizer_config.json: what it says that SentencePiece's files do not.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "mamba2/core/mapped_file.hpp"
#include "mamba2/core/result.hpp"
#include "mamba2/io/checkpoint_files.hpp"
#include "mamba2/io/json.hpp"
#include "mamba2/io/json_fields.hpp"
#include "mamba2/io/stand_in.hpp"
#include "mamba2/tokenizer/sentencepiece.hpp"
#include "mamba2/unicode/utf8.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

inline constexpr std::string_view kTokenizerConfig = "tokenizer_config.json";

/// The text of a file, which is valid UTF-8, and no empty one. Errors: io, malformed.
[[nodiscard]] inline Result<std::string> read_utf8(const std::filesystem::path& file) {
  constexpr std::size_t kMaxBytes = std::size_t{1} << 24;
  auto text = read_text_file(file, kMaxBytes);
  if (!text) return text;
  const auto malformed = [&file](const auto&... what) {
    return Error{ErrorCode::malformed, concat(file.native(), ": ", what...)};
  };
  const std::string_view instead = stand_in(*text);
  if (!instead.empty()) return malformed(instead);
  const std::size_t valid = valid_utf8_prefix(*text);
  if (valid < text->size()) return malformed("must be UTF-8, found something else at byte ", valid);
  return text;
}

/// A file that is a JSON object, and its text. Errors: io, malformed.
struct JsonFile {
  std::string text;
  Json json;

  [[nodiscard]] static Result<JsonFile> read(const std::filesystem::path& file) {
    auto text = read_utf8(file);
    if (!text) return text.error();
    auto json = parse_json(*text, file.native());
    if (!json) return json.error();
    if (json->is_object()) return JsonFile{*std::move(text), *std::move(json)};
    return Error{ErrorCode::malformed,
                 concat(file.native(), ": expected a JSON object, found ", describe(*json))};
  }
};

/// What an object has at a key, if it is a Value; else nullptr.
template <class Value>
[[nodiscard]] const Value* get_if(const Json& object, std::string_view key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found == object.end() ? nullptr : found->template get_ptr<const Value*>();
}

/// The text of a token in a tokenizer_config.json: a text, or an object with "content".
[[nodiscard]] inline std::string token_text(const Json& config, std::string_view key) {
  if (const auto* text = get_if<std::string>(config, key)) return *text;
  const auto found = config.find(key);
  if (found == config.end()) return "";
  const auto* content = get_if<std::string>(*found, "content");
  return content == nullptr ? "" : *content;
}

/// The tokens around texts by the tokenizer_config.json of a folder. Where it is not there, or does
/// not say whether one is added, that is as SentencePieceAround has it. Errors: io, malformed.
[[nodiscard]] inline Result<SentencePieceAround> read_sentencepiece_around(
    const std::filesystem::path& folder) {
  SentencePieceAround around;
  const auto path = folder / kTokenizerConfig;
  if (!file_exists(path)) return around;
  const auto read = JsonFile::read(path);
  if (!read) return read.error();
  JsonFields fields(read->json, path.native());
  const auto read_one = [&](std::string_view flag, std::string_view token,
                            SentencePieceAround::One& out) {
    if (fields.find_value(flag) == nullptr) return;
    out = {fields.flag(flag, false), concat(path.native(), ": ", flag),
           token_text(read->json, token)};
  };
  read_one("add_bos_token", "bos_token", around.bos);
  read_one("add_eos_token", "eos_token", around.eos);
  if (fields.error()) return *fields.error();
  return around;
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
