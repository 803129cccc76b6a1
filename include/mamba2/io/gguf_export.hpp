// SPDX-License-Identifier: Apache-2.0
// A model as a GGUF file: keys, names, shapes and types as llama.cpp's converter and quantizer
// write them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/linkage.hpp"
#include "mamba2/core/result.hpp"
#include "mamba2/io/export.hpp"
#include "mamba2/io/gguf_writer.hpp"
#include "mamba2/layers/config.hpp"

#if MAMBA2_HAS_DEFINITIONS
#include <algorithm>
#include <array>

#include "mamba2/io/dialects/gguf_falcon_h1_writing.hpp"
#include "mamba2/io/dialects/gguf_granite_writing.hpp"
#include "mamba2/io/dialects/gguf_lfm2_writing.hpp"
#include "mamba2/io/dialects/gguf_mamba2_writing.hpp"
#include "mamba2/io/dialects/gguf_nemotron_h_writing.hpp"
#include "mamba2/io/dialects/gguf_writing.hpp"
#include "mamba2/io/gguf_checkpoint.hpp"
#include "mamba2/io/tensor_names.hpp"
#include "mamba2/io/tied_head.hpp"
#endif

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// Whether the format, as llama.cpp reads it, can say what a model with this Config is: one of
/// Mamba-2 layers alone, or a hybrid like Granite 4.0-H, Nemotron-H without experts, or
/// Falcon-H1. Error unsupported, naming the option: biases of Mamba-2's projections, a convolution
/// without bias, limits of the step size, a gated MLP part, D per channel, norm before gate, or
/// none where that is usual, more than three end-of-text tokens; of hybrids: RoPE of a part of a
/// head, other orders of layers, other widths than llama.cpp takes for granted.
[[nodiscard]] Result<void> check_gguf_export(const Config& config);

/// Sets the keys of the architecture, and the special tokens. Comes after all other keys:
/// the context_length of another file stays, and without a tokenizer the file says that it has
/// none. `matrices` as in gguf_export.
void set_gguf_config(GgufWriter& writer, const Config& config, const SpecialTokens& special,
                     DType matrices);

/// All tensors, in the order of the network. `matrices` is the type of in_proj, out_proj, embedding
/// and head: F32, F16, BF16, Q8_0 or Q4_0; all else is F32. With Q4_0 the head, or the embedding
/// that serves as such, is Q6_K. A tied model has a head of its own where the file would not tell
/// the factors of embedding and head apart. Where rows are not whole blocks the type is Q8_0 in
/// place of Q6_K, else F16.
[[nodiscard]] std::vector<ExportedTensor> gguf_export(const Config& config, DType matrices);

#if MAMBA2_HAS_DEFINITIONS

namespace detail {

inline constexpr std::array<const GgufWriting*, 8> kGgufWritings = {
    &kGgufMamba2Writing,       &kGgufFalconH1Writing,     &kGgufNemotronHMoeWriting,
    &kGgufNemotronHWriting,    &kGgufLfm2MoeWriting,      &kGgufLfm2Writing,
    &kGgufGraniteDenseWriting, &kGgufGraniteHybridWriting};

/// How a model is written: the first that fits; the last, which refuses it, where none does.
[[nodiscard]] inline const GgufWriting& gguf_writing(const Config& c) noexcept {
  for (const GgufWriting* writing : kGgufWritings) {
    if (writing->fits(c)) return *writing;
  }
  return *kGgufWritings.back();
}

[[nodiscard]] inline DType gguf_matrix_type(const TensorSpec& spec, const Config& config,
                                            DType matrices) {
  const Role head = config.tie_embeddings ? Role::embedding : Role::head;
  const auto fits = [&](DType dtype) { return spec.shape.back() % dtype_block(dtype) == 0; };
  DType dtype = matrices;
  if (dtype == DType::Q4_0 && spec.role == head) dtype = DType::Q6_K;
  if (dtype == DType::Q6_K && !fits(dtype)) dtype = DType::Q8_0;
  return fits(dtype) ? dtype : DType::F16;
}

/// Nothing for what comes with another: the matrices of experts are one tensor.
[[nodiscard]] inline std::optional<ExportedTensor> gguf_tensor(const TensorSpec& spec,
                                                               const Config& config,
                                                               DType matrices) {
  constexpr std::string_view kLog = "_log";
  ExportedTensor tensor{"", spec.name, spec.shape, DType::F32, spec.role};
  if (is_matrix(spec.role)) tensor.dtype = gguf_matrix_type(spec, config, matrices);
  if (spec.role == Role::decay) tensor.canonical.resize(spec.name.size() - kLog.size());
  if (spec.role == Role::decay || spec.role == Role::skip) {
    tensor.shape = {config.nheads(), 1};
  } else if (spec.role == Role::taps) {
    tensor.shape = {spec.shape.front(), spec.shape.back()};
  } else if (spec.role == Role::grouped_norm) {
    tensor.shape = {config.ngroups, config.d_ssm / config.ngroups};
  }
  const GgufWriting& writing = gguf_writing(config);
  set_qk_order(tensor, config, writing.interleaves_qk);
  auto named = gguf_name(*writing.dialect, config, tensor.canonical);
  if (!named) return tensor;
  if (named->canonical.front() != tensor.canonical) return std::nullopt;
  tensor.name = std::move(named->name);
  tensor.shape.front() *= named->canonical.size();
  tensor.below.assign(named->canonical.begin() + 1, named->canonical.end());
  tensor.stack(named->experts);
  if (writing.scale != nullptr) writing.scale(tensor, config);
  return tensor;
}

/// general.file_type: what most of the tensors are.
[[nodiscard]] inline std::uint32_t gguf_file_type(DType matrices) noexcept {
  switch (matrices) {
    case DType::F16:
      return 1;
    case DType::Q4_0:
      return 2;
    case DType::Q8_0:
      return 7;
    case DType::BF16:
      return 32;
    default:
      return 0;
  }
}

inline void set_gguf_tokens(GgufWriter& writer, const Config& c, const SpecialTokens& special) {
  const auto set = [&](std::string_view key, std::optional<Token> id) {
    if (id) writer.set_integer(gguf_token_key(key), static_cast<std::uint32_t>(*id));
  };
  set("bos", special.bos);
  set("padding", special.pad);
  set("unknown", special.unknown);
  for (std::size_t i = 0; i < std::min(c.eos_token_ids.size(), kGgufEnds.size()); ++i) {
    set(kGgufEnds[i], c.eos_token_ids[i]);
  }
}

}  // namespace detail

MAMBA2_FUNCTION Result<void> check_gguf_export(const Config& c) {
  constexpr float kBeyondReach = 1e6F;  // no step is as large: configs write it for infinity
  detail::ExportCheck check("a GGUF file");
  check.require("the layers", !c.has(LayerKind::shared_block), "of kinds that llama.cpp has",
                "shared blocks (Zamba2)");
  check.require_flag("bias", false, c.bias);
  check.require_flag("conv_bias", true, c.conv_bias);
  check.require("dt_limit", c.dt_min == 0.0F && c.dt_max >= kBeyondReach, "none (0..infinity)",
                detail::concat(c.dt_min, "..", c.dt_max));
  check.require("eos_token_id", c.eos_token_ids.size() <= detail::kGgufEnds.size(),
                "at most three ids", c.eos_token_ids.size());
  detail::gguf_writing(c).check(check, c);
  return check.outcome();
}

MAMBA2_FUNCTION void set_gguf_config(GgufWriter& writer, const Config& c,
                                     const SpecialTokens& special, DType matrices) {
  constexpr std::uint32_t kQuantizationVersion = 2;
  constexpr std::string_view kTokenizer = "tokenizer.ggml.model";
  constexpr std::size_t kAnyContext = std::size_t{1} << 20;
  const GgufWriting& writing = detail::gguf_writing(c);
  const detail::GgufKeys keys{writer, writing.architecture};
  writer.set_text("general.architecture", keys.arch);
  writer.set_text("general.type", "model");
  writer.set_integer("general.file_type", detail::gguf_file_type(matrices));
  writer.set_integer("general.quantization_version", kQuantizationVersion);
  if (!writer.has_key(keys.key("context_length"))) {
    // A state space model has no such limit.
    const std::size_t context = c.max_position_embeddings;
    keys.set("context_length", context == 0 ? kAnyContext : context);
  }
  keys.set("embedding_length", c.d_model);
  keys.set("block_count", c.n_layer / writing.dialect->names.layers_in_one(c));
  keys.set_number("attention.layer_norm_rms_epsilon", c.norm_eps);
  writing.set_keys(keys, c);
  if (!writer.has_key(kTokenizer)) {
    writer.set_text(kTokenizer, "none");
    keys.set("vocab_size", c.vocab_size);
  }
  detail::set_gguf_tokens(writer, c, special);
}

MAMBA2_FUNCTION std::vector<ExportedTensor> gguf_export(const Config& config, DType matrices) {
  const GgufWriting& writing = detail::gguf_writing(config);
  Config written = config;
  const bool gets_head =
      config.tie_embeddings && writing.needs_head != nullptr && writing.needs_head(config);
  if (gets_head) written.tie_embeddings = false;
  std::vector<ExportedTensor> tensors;
  (void)expected_tensors(written, [&](const TensorSpec& spec) {
    if (auto tensor = detail::gguf_tensor(spec, written, matrices)) {
      if (gets_head && spec.role == Role::head) tensor->canonical = detail::kEmbeddingName;
      tensors.push_back(*std::move(tensor));
    }
    return Result<void>();
  });
  return tensors;
}

#endif

}  // namespace MAMBA2_ISA
}  // namespace mamba2
