// SPDX-License-Identifier: Apache-2.0
// A Mamba-2 model in GGUF: its Config, and its tensors under this library's names. Keys, names and
// shapes as llama.cpp's converter writes them.
#pragma once

#include <array>
#include <charconv>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/io/dialects/gguf_dialects.hpp"
#include "mamba2/io/dialects/names.hpp"
#include "mamba2/io/eos_tokens.hpp"
#include "mamba2/io/gguf.hpp"
#include "mamba2/io/gguf_fields.hpp"
#include "mamba2/io/printable.hpp"
#include "mamba2/io/tensor_names.hpp"
#include "mamba2/io/tensor_view.hpp"
#include "mamba2/layers/config.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// Whether a file is a whole Mamba-2 model. Errors: unsupported (another architecture, or a
/// hybrid), malformed.
[[nodiscard]] Result<void> check_gguf_model(const GgufMetadata& metadata);

/// The hyper-parameters of a Mamba-2 model, from the metadata of its file and the number of rows of
/// its embedding. What can end no text is passed over, and a line for it added to `notes`. Errors:
/// malformed (a key that is missing or wrong), mismatch (no embedding),
/// invalid_argument (Config::validate).
[[nodiscard]] Result<Config> gguf_config(const Gguf& gguf,
                                         std::vector<std::string>* notes = nullptr);

/// All tensors under their canonical names, in the shapes that the model needs; the data is the
/// file's. A_log is there as "A", which is -exp(A_log). Error unsupported: a tensor that the
/// model does not have. Error malformed: one twice.
[[nodiscard]] Result<TensorTable> gguf_tensors(const Gguf& gguf, const Config& config);

namespace detail {

inline constexpr std::string_view kGgufBlock = "blk.";

/// The tokens that end a text, or a message: all that the metadata can name.
inline constexpr std::array<std::string_view, 3> kGgufEnds = {"eos", "eot", "eom"};

/// The key of such a token, or another with a meaning.
[[nodiscard]] inline std::string gguf_token_key(std::string_view name) {
  return concat("tokenizer.ggml.", name, "_token_id");
}

/// general.architecture; nothing where there is no such text.
[[nodiscard]] inline std::optional<std::string_view> gguf_architecture(
    const GgufMetadata& metadata) {
  const GgufValue* value = metadata.find("general.architecture");
  return value == nullptr ? std::nullopt : value->text();
}

/// The tensor of a dialect that is the one of a canonical name, or a stack of that of all experts;
/// nothing if it has none.
[[nodiscard]] inline std::optional<DialectTensor> gguf_name(const GgufDialect& dialect,
                                                            const Config& config,
                                                            std::string_view canonical) {
  constexpr std::string_view kLayers = "layers.";
  auto tensor = tensor_in(dialect.names, config, canonical, 1);
  if (tensor && tensor->name.starts_with(kLayers)) {
    tensor->name.replace(0, kLayers.size(), kGgufBlock);
  }
  return tensor;
}

/// The number of the block that a tensor is of; nothing where its name has none.
[[nodiscard]] inline std::optional<std::size_t> gguf_block_of(std::string_view name) {
  if (!name.starts_with(kGgufBlock)) return std::nullopt;
  name.remove_prefix(kGgufBlock.size());
  std::size_t block = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), block);
  return error == std::errc() ? std::optional(block) : std::nullopt;
}

/// Gives a vector the one dimension that it has here: in GGUF it has others, which differ with the
/// time of the converter. A is there in place of A_log. False: the model has no such tensor.
[[nodiscard]] inline bool shape_as_expected(TensorView& tensor, const Config& config) {
  auto spec = expected_tensor(config, tensor.name);
  if (!spec) spec = expected_tensor(config, tensor.name + "_log");
  if (!spec) return false;
  if (!has_columns(spec->role) && spec->role != Role::taps) tensor.shape = {tensor.elements()};
  return true;
}

}  // namespace detail

inline Result<void> check_gguf_model(const GgufMetadata& metadata) {
  detail::GgufFields fields(metadata);
  if (detail::find_gguf_dialect(detail::gguf_architecture(metadata)) == nullptr) {
    fields.require_text("general.architecture", detail::kGgufMamba2Only);
  }
  for (const std::string_view key : {"mamba2.feed_forward_length", "mamba2.attention.head_count"}) {
    const GgufValue* value = fields.find(key);
    if (value != nullptr && value->integer() != 0) {
      fields.refuse(key, "0", detail::describe(*value), ErrorCode::unsupported);
    }
  }
  if (fields.error()) return *fields.error();
  return {};
}

inline Result<Config> gguf_config(const Gguf& gguf, std::vector<std::string>* notes) {
  detail::GgufFields fields(gguf.metadata());
  const auto architecture = detail::gguf_architecture(gguf.metadata());
  const GgufDialect* dialect = detail::find_gguf_dialect(architecture);
  if (dialect == nullptr) return check_gguf_model(gguf.metadata()).error();
  Config config = dialect->read(fields, std::string(*architecture), gguf);
  config.tie_embeddings = gguf.find(detail::kGgufHead) == nullptr;
  if (fields.error()) return *fields.error();

  const TensorView* embedding = gguf.find(detail::kGgufEmbedding);
  if (embedding == nullptr || embedding->shape.size() != 2) {
    return Error{
        ErrorCode::mismatch,
        detail::concat(fields.file(), ": tensor ", detail::in_quotes(detail::kGgufEmbedding),
                       " must be there with two dimensions, found ",
                       embedding == nullptr ? "none" : detail::shape_text(embedding->shape))};
  }
  config.vocab_size = embedding->shape[0];
  detail::EosTokens tokens(config.vocab_size);
  for (const std::string_view name : detail::kGgufEnds) {
    const std::string key = detail::gguf_token_key(name);
    if (const GgufValue* id = fields.find(key)) tokens.add(fields.file(), key, *id);
  }
  config.eos_token_ids = tokens.ids();
  if (const Result<void> valid = config.validate(); !valid) {
    return Error{valid.error().code, detail::concat(fields.file(), ": ", valid.error().message)};
  }
  if (notes != nullptr) {
    for (const auto& some : {tokens.notes(), fields.notes()}) {
      notes->insert(notes->end(), some.begin(), some.end());
    }
  }
  return config;
}

inline Result<TensorTable> gguf_tensors(const Gguf& gguf, const Config& config) {
  const GgufDialect* dialect =
      detail::find_gguf_dialect(detail::gguf_architecture(gguf.metadata()));
  if (dialect == nullptr) return check_gguf_model(gguf.metadata()).error();
  detail::GgufFields fields(gguf.metadata());
  const std::string architecture(detail::gguf_architecture(gguf.metadata()).value_or(""));
  const std::size_t blocks = config.n_layer / dialect->names.layers_in_one(config);
  const std::size_t end = blocks + detail::gguf_blocks_passed_over(fields, architecture);
  std::vector<TensorView> tensors;
  for (const TensorView& stored : gguf.tensors()) {
    TensorView tensor = stored;
    const std::string_view name = stored.name;
    const auto block = detail::gguf_block_of(name);
    if (block && *block >= blocks && *block < end) continue;
    if (name.starts_with(detail::kGgufBlock)) {
      tensor.name = detail::concat("layers.", name.substr(detail::kGgufBlock.size()));
    }
    const std::size_t first = tensors.size();
    const auto added = detail::add_renamed(dialect->names, config, std::move(tensor), tensors);
    if (!added) return added.error();
    for (std::size_t i = first; i < tensors.size(); ++i) {
      if (detail::shape_as_expected(tensors[i], config) && tensors[i].name != name) continue;
      return Error{ErrorCode::unsupported,
                   detail::concat(stored.file, ": expected the tensors of the model only, found ",
                                  detail::in_quotes(name))};
    }
  }
  TensorTable table(std::move(tensors));
  if (const TensorView* twice = table.duplicate()) {
    return Error{ErrorCode::malformed,
                 detail::concat(twice->file, ": tensor ", detail::in_quotes(twice->name),
                                " must occur once under one of its names, found it twice")};
  }
  return table;
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2
