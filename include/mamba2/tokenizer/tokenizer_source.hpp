// SPDX-License-Identifier: Apache-2.0
// Where a tokenizer lies, and in which of the forms.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "mamba2/core/result.hpp"
#include "mamba2/io/gguf_metadata.hpp"
#include "mamba2/io/model_path.hpp"
#include "mamba2/io/packed_file.hpp"
#include "mamba2/io/stand_in.hpp"
#include "mamba2/tokenizer/sentencepiece.hpp"
#include "mamba2/tokenizer/tekken.hpp"
#include "mamba2/tokenizer/tokenizer_config.hpp"
#include "mamba2/tokenizer/tokenizer_file.hpp"
#include "mamba2/tokenizer/tokenizer_gguf.hpp"
#include "mamba2/tokenizer/tokenizer_json.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

inline constexpr std::string_view kTekkenFile = "tekken.json";

/// The file of a folder that has the tokenizer: tokenizer.json, or else the last by name of
/// tokenizer.model, tokenizer.model.v3 and the like, or else tekken.json. Where there is none, what
/// should be there: tokenizer.json.
[[nodiscard]] inline std::filesystem::path tokenizer_in(const std::filesystem::path& folder) {
  std::error_code error;
  const auto exists = [&](std::string_view name) {
    return std::filesystem::exists(folder / name, error);
  };
  if (exists("tokenizer.json")) return folder / "tokenizer.json";
  std::string best;
  for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename().native();
    if (name.starts_with("tokenizer.model") && name > best) best = name;
  }
  if (!best.empty()) return folder / best;
  return folder / (exists(kTekkenFile) ? kTekkenFile : "tokenizer.json");
}

/// Whether a file is named as those of SentencePiece are.
[[nodiscard]] inline bool is_sentencepiece_name(const std::filesystem::path& path) {
  return path.filename().native().find(".model") != std::string::npos;
}

/// A tokenizer.json or a tekken.json. Errors: malformed, unsupported.
[[nodiscard]] inline Result<TokenizerFile> read_any_json(std::string_view json,
                                                         std::string_view name) {
  return looks_like_tekken(json) ? read_tekken(json, name) : read_tokenizer_json(json, name);
}

/// The tokenizer in the bytes of a file in any form. Errors: malformed, unsupported; io, of the
/// tokenizer_config.json beside a file of SentencePiece.
[[nodiscard]] inline Result<TokenizerFile> read_tokenizer(std::span<const std::byte> bytes,
                                                          const std::filesystem::path& path) {
  const std::string& name = path.native();
  if (is_gguf(bytes)) return read_tokenizer_gguf(bytes, name);
  if (is_packed(bytes)) {
    const auto packed = PackedFile::parse(bytes, name);
    if (!packed) return packed.error();
    return read_tokenizer_json(packed->tokenizer_json, name);
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const std::string_view instead = stand_in(bytes);
  if (is_sentencepiece_name(path) && instead.empty()) {
    auto around = read_sentencepiece_around(path.parent_path());
    if (!around) return std::move(around).error();
    return read_sentencepiece(text, name, *std::move(around));
  }
  const bool is_json =
      path.extension() == ".json" ||
      text.substr(std::min(text.find_first_not_of(" \t\r\n"), text.size())).starts_with('{');
  if (!is_json) return no_model(path, bytes, "a tokenizer.json, ");
  return read_any_json(text, name);
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
