// SPDX-License-Identifier: Apache-2.0
// config.json -> Config, in each of the dialects in which models are published.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/io/dialects/dialect.hpp"
#include "mamba2/io/dialects/dialects.hpp"
#include "mamba2/io/eos_tokens.hpp"
#include "mamba2/io/json.hpp"
#include "mamba2/io/json_fields.hpp"
#include "mamba2/layers/config.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// Reads the hyper-parameters of a model from the text of its config.json, in the first of these
/// dialects that it is in, or of Mistral's params.json. An absent key has the default that it has
/// in the code that wrote it. `name` is the file's, for messages. What ends no text is no reason to
/// refuse a model: it is passed over, and a line for it added to `notes`.
/// Errors: malformed (not JSON; a key with a wrong type or out of range), unsupported (another kind
/// of model, or a variant that does not run here), invalid_argument (Config::validate).
[[nodiscard]] Result<Config> parse_config(
    std::string_view json, std::string_view name = "config.json",
    std::vector<std::string>* notes = nullptr,
    std::span<const Dialect* const> dialects = known_dialects());

namespace detail {

/// What a config.json says, and in which dialect.
struct ConfigRead {
  Config config;
  const Dialect* dialect;
};

/// The first dialect that a config.json, which is an object, is in; nullptr if there is none.
[[nodiscard]] inline const Dialect* dialect_of(const JsonFields& fields,
                                               std::span<const Dialect* const> dialects) {
  for (const Dialect* dialect : dialects) {
    if (dialect->is_spoken(fields)) return dialect;
  }
  return nullptr;
}

/// parse_config(), and the dialect.
[[nodiscard]] inline Result<ConfigRead> read_config(std::string_view json, std::string_view name,
                                                    std::vector<std::string>* notes,
                                                    std::span<const Dialect* const> dialects) {
  const Result<detail::Json> document = detail::parse_json(json, name);
  if (!document) return document.error();
  if (!document->is_object()) {
    return Error{ErrorCode::malformed, detail::concat(name, ": expected a JSON object, found ",
                                                      detail::describe(*document))};
  }
  detail::JsonFields fields(*document, name);
  const Dialect* dialect = dialect_of(fields, dialects);
  if (dialect == nullptr) {
    return Error{ErrorCode::unsupported,
                 detail::concat(name,
                                ": expected the keys of a Mamba-2 config (hidden_size of "
                                "transformers, d_model of state-spaces), found neither")};
  }
  Config config = dialect->read(fields);
  if (fields.error()) return *fields.error();
  if (const Result<void> valid = config.validate(); !valid) {
    return Error{valid.error().code, detail::concat(name, ": ", valid.error().message)};
  }
  if (notes != nullptr) notes->insert(notes->end(), fields.notes().begin(), fields.notes().end());
  return ConfigRead{std::move(config), dialect};
}

}  // namespace detail

inline Result<Config> parse_config(std::string_view json, std::string_view name,
                                   std::vector<std::string>* notes,
                                   std::span<const Dialect* const> dialects) {
  Result<detail::ConfigRead> read = detail::read_config(json, name, notes, dialects);
  if (!read) return std::move(read).error();
  return std::move(read->config);
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2
