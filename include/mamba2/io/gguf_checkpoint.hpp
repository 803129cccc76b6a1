// SPDX-License-Identifier: Apache-2.0
// A Mamba-2 model in GGUF: its Config, and its tensors under this library's names. Keys, names and
// shapes as llama.cpp's converter writes them.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/io/eos_tokens.hpp"
#include "mamba2/io/gguf.hpp"
#include "mamba2/io/gguf_fields.hpp"
#include "mamba2/io/printable.hpp"
#include "mamba2/io/tensor_view.hpp"
#include "mamba2/layers/config.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// Whether a file is a whole Mamba-2 model. Errors: unsupported (another architecture, a hybrid, or
/// a part of a model), malformed.
[[nodiscard]] Result<void> check_gguf_model(const GgufMetadata& metadata);

/// The hyper-parameters of a Mamba-2 model, from the metadata of its file and the number of rows of
/// its embedding. What can end no text is passed over, and a line for it added to `notes`. Errors:
/// malformed (a key that is missing or wrong), mismatch (no embedding),
/// invalid_argument (Config::validate).
[[nodiscard]] Result<Config> gguf_config(const Gguf& gguf,
                                         std::vector<std::string>* notes = nullptr);

/// All tensors under their canonical names, in the shapes that the model needs; the data is the
/// file's. A_log is there as "A", which is -exp(A_log). Error unsupported: a tensor that Mamba-2
/// does not have.
[[nodiscard]] Result<TensorTable> gguf_tensors(const Gguf& gguf);

namespace detail {

inline constexpr std::string_view kGgufEmbedding = "token_embd.weight";
inline constexpr std::string_view kGgufHead = "output.weight";

inline constexpr std::string_view kGgufBlock = "blk.";

/// The tokens that end a text, or a message: all that the metadata can name.
inline constexpr std::array<std::string_view, 3> kGgufEnds = {"eos", "eot", "eom"};

/// The key of such a token, or another with a meaning.
[[nodiscard]] inline std::string gguf_token_key(std::string_view name) {
  return concat("tokenizer.ggml.", name, "_token_id");
}

/// A name in GGUF and here; of a tensor of a block without the prefix.
struct GgufName {
  std::string_view gguf;
  std::string_view canonical;
  bool is_vector = false;  // its shape has other dimensions in files of other times
};

inline constexpr std::array<GgufName, 3> kGgufNames = {{
    {kGgufEmbedding, "embedding.weight"},
    {"output_norm.weight", "norm_f.weight"},
    {kGgufHead, "lm_head.weight"},
}};

inline constexpr std::array<GgufName, 9> kGgufBlockNames = {{
    {"attn_norm.weight", "norm.weight"},
    {"ssm_in.weight", "mixer.in_proj.weight"},
    {"ssm_conv1d.weight", "mixer.conv1d.weight"},
    {"ssm_conv1d.bias", "mixer.conv1d.bias"},
    {"ssm_dt.bias", "mixer.dt_bias"},
    {"ssm_a", "mixer.A", true},
    {"ssm_d", "mixer.D", true},
    {"ssm_norm.weight", "mixer.norm.weight", true},
    {"ssm_out.weight", "mixer.out_proj.weight"},
}};

/// Gives a tensor its canonical name and shape; false if Mamba-2 has none of its name.
[[nodiscard]] inline bool rename_gguf_tensor(TensorView& tensor) {
  std::string_view name = tensor.name;
  for (const GgufName& known : kGgufNames) {
    if (name == known.gguf) {
      tensor.name = known.canonical;
      return true;
    }
  }
  if (!name.starts_with(kGgufBlock)) return false;
  name.remove_prefix(kGgufBlock.size());
  const std::size_t dot = name.find('.');
  if (dot == std::string_view::npos) return false;
  for (const GgufName& known : kGgufBlockNames) {
    if (name.substr(dot + 1) == known.gguf) {
      if (known.is_vector) tensor.shape = {tensor.elements()};
      tensor.name = concat("layers.", name.substr(0, dot), ".", known.canonical);
      return true;
    }
  }
  return false;
}

/// The name in GGUF of a tensor with this canonical name; empty if GGUF has none.
[[nodiscard]] inline std::string gguf_name(std::string_view canonical) {
  constexpr std::string_view kLayers = "layers.";
  for (const GgufName& known : kGgufNames) {
    if (canonical == known.canonical) return std::string(known.gguf);
  }
  if (!canonical.starts_with(kLayers)) return {};
  canonical.remove_prefix(kLayers.size());
  const std::size_t dot = canonical.find('.');
  for (const GgufName& known : kGgufBlockNames) {
    if (canonical.substr(dot + 1) == known.canonical) {
      return concat(kGgufBlock, canonical.substr(0, dot), ".", known.gguf);
    }
  }
  return {};
}

}  // namespace detail

inline Result<void> check_gguf_model(const GgufMetadata& metadata) {
  detail::GgufFields fields(metadata);
  fields.require_text("general.architecture", "mamba2");
  for (const std::string_view key : {"mamba2.feed_forward_length", "mamba2.attention.head_count"}) {
    const GgufValue* value = fields.find(key);
    if (value != nullptr && value->integer() != 0) {
      fields.refuse(key, "0", detail::describe(*value), ErrorCode::unsupported);
    }
  }
  if (fields.integer_if("split.count").value_or(0) > 1) {
    fields.refuse("split.count", "1 (the parts must be merged to one file)",
                  fields.found("split.count"), ErrorCode::unsupported);
  }
  if (fields.error()) return *fields.error();
  return {};
}

inline Result<Config> gguf_config(const Gguf& gguf, std::vector<std::string>* notes) {
  detail::GgufFields fields(gguf.metadata());
  Config config;
  config.d_model = fields.integer("mamba2.embedding_length");
  config.n_layer = fields.integer("mamba2.block_count");
  config.d_conv = fields.integer("mamba2.ssm.conv_kernel");
  config.d_inner = fields.integer("mamba2.ssm.inner_size");
  config.d_ssm = config.d_inner;
  config.d_state = fields.integer("mamba2.ssm.state_size");
  config.ngroups = fields.integer("mamba2.ssm.group_count");
  config.norm_eps = static_cast<float>(fields.number("mamba2.attention.layer_norm_rms_epsilon"));
  constexpr std::string_view kHeads = "mamba2.ssm.time_step_rank";
  const std::size_t nheads = fields.integer(kHeads);
  config.headdim = config.d_inner / nheads;
  if (config.headdim * nheads != config.d_inner) {
    fields.refuse(kHeads, detail::concat("a divisor of mamba2.ssm.inner_size ", config.d_inner),
                  detail::concat(nheads));
  }
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
  if (notes != nullptr) notes->insert(notes->end(), tokens.notes().begin(), tokens.notes().end());
  return config;
}

inline Result<TensorTable> gguf_tensors(const Gguf& gguf) {
  std::vector<TensorView> tensors(gguf.tensors().begin(), gguf.tensors().end());
  for (TensorView& tensor : tensors) {
    if (detail::rename_gguf_tensor(tensor)) continue;
    return Error{ErrorCode::unsupported,
                 detail::concat(tensor.file, ": expected the tensors of Mamba-2 only, found ",
                                detail::in_quotes(tensor.name))};
  }
  return TensorTable(std::move(tensors));
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2
