// SPDX-License-Identifier: Apache-2.0
// generation_config.json, which may lie beside config.json: more tokens that end a text.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/core/mapped_file.hpp"
#include "mamba2/core/result.hpp"
#include "mamba2/io/checkpoint_files.hpp"
#include "mamba2/io/eos_tokens.hpp"
#include "mamba2/io/json.hpp"
#include "mamba2/io/json_fields.hpp"
#include "mamba2/layers/config.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// Adds the tokens of the text of a generation_config.json to those of a valid Config. A model runs
/// without: what is wrong is passed over, with a note.
inline void add_generation_config(std::string_view json, std::string_view name, Config& config,
                                  std::vector<std::string>& notes) {
  const Result<Json> document = parse_json(json, name);
  if (!document || !document->is_object()) {
    const std::string reason =
        document ? concat(name, ": expected a JSON object, found ", describe(*document))
                 : document.error().message;
    notes.push_back(concat(reason, ": passed over"));
    return;
  }
  const Json* value = JsonFields(*document, name).find(kEosKey);
  if (value == nullptr) return;
  EosTokens tokens(config.vocab_size);
  for (const Token id : config.eos_token_ids) tokens.add(static_cast<std::uint64_t>(id));
  tokens.add(name, kEosKey, *value);
  config.eos_token_ids = tokens.ids();
  notes.insert(notes.end(), tokens.notes().begin(), tokens.notes().end());
}

/// The same of a file, if it is there.
inline void add_eos_tokens_of(const std::filesystem::path& file, Config& config,
                              std::vector<std::string>& notes) {
  if (!file_exists(file)) return;
  const Result<std::string> text = read_text_file(file, kMaxConfigBytes);
  if (text) return add_generation_config(*text, file.native(), config, notes);
  notes.push_back(concat(text.error().message, ": passed over"));
}

/// The same of the file beside a config.json, if there is one.
inline void add_generation_config_beside(const std::filesystem::path& config_file, Config& config,
                                         std::vector<std::string>& notes) {
  add_eos_tokens_of(config_file.parent_path() / "generation_config.json", config, notes);
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
