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

#include "mamba2/io/gguf_checkpoint.hpp"
#include "mamba2/io/tensor_names.hpp"
#endif

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// Whether the format, as llama.cpp reads it, can say what a model with this Config is. Error
/// unsupported, naming the option: biases of the projections, a convolution without bias, limits of
/// the step size, a gated MLP part, D per channel, norm before gate or none, more than three
/// end-of-text tokens.
[[nodiscard]] Result<void> check_gguf_export(const Config& config);

/// Sets the keys of the architecture, and the special tokens. Comes after all other keys:
/// mamba2.context_length, which Mamba-2 does not need, stays if it is set, and without a tokenizer
/// the file says that it has none. `matrices` as in gguf_export.
void set_gguf_config(GgufWriter& writer, const Config& config, const SpecialTokens& special,
                     DType matrices);

/// All tensors, in the order of the network. `matrices` is the type of in_proj, out_proj, embedding
/// and head: F32, F16, BF16, Q8_0 or Q4_0; all else is F32. With Q4_0 the head, or the embedding
/// that serves as such, is Q6_K. Where rows are not whole blocks the type is Q8_0 in place of Q6_K,
/// else F16.
[[nodiscard]] std::vector<ExportedTensor> gguf_export(const Config& config, DType matrices);

#if MAMBA2_HAS_DEFINITIONS

namespace detail {

[[nodiscard]] inline DType gguf_matrix_type(const TensorSpec& spec, const Config& config,
                                            DType matrices) {
  const Role head = config.tie_embeddings ? Role::embedding : Role::head;
  const auto fits = [&](DType dtype) { return spec.shape.back() % dtype_block(dtype) == 0; };
  DType dtype = matrices;
  if (dtype == DType::Q4_0 && spec.role == head) dtype = DType::Q6_K;
  if (dtype == DType::Q6_K && !fits(dtype)) dtype = DType::Q8_0;
  return fits(dtype) ? dtype : DType::F16;
}

[[nodiscard]] inline ExportedTensor gguf_tensor(const TensorSpec& spec, const Config& config,
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
  tensor.name = gguf_name(config, tensor.canonical);
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

}  // namespace detail

MAMBA2_FUNCTION Result<void> check_gguf_export(const Config& c) {
  constexpr float kBeyondReach = 1e6F;  // no step is as large: configs write it for infinity
  detail::ExportCheck check("a GGUF file");
  check.require_plain_block(c);
  check.require_flag("bias", false, c.bias);
  check.require_flag("conv_bias", true, c.conv_bias);
  check.require("dt_limit", c.dt_min == 0.0F && c.dt_max >= kBeyondReach, "none (0..infinity)",
                detail::concat(c.dt_min, "..", c.dt_max));
  check.require("eos_token_id", c.eos_token_ids.size() <= detail::kGgufEnds.size(),
                "at most three ids", c.eos_token_ids.size());
  return check.outcome();
}

MAMBA2_FUNCTION void set_gguf_config(GgufWriter& writer, const Config& c,
                                     const SpecialTokens& special, DType matrices) {
  constexpr std::uint32_t kQuantizationVersion = 2;
  const auto set = [&writer](std::string_view key, std::size_t value) {
    writer.set_integer(key, static_cast<std::uint32_t>(value));
  };
  writer.set_text("general.architecture", "mamba2");
  writer.set_text("general.type", "model");
  set("general.file_type", detail::gguf_file_type(matrices));
  set("general.quantization_version", kQuantizationVersion);
  // Any number: a state space model has no such limit.
  if (!writer.has_key("mamba2.context_length")) set("mamba2.context_length", 1U << 20);
  set("mamba2.embedding_length", c.d_model);
  set("mamba2.feed_forward_length", 0);
  set("mamba2.attention.head_count", 0);
  set("mamba2.block_count", c.n_layer);
  set("mamba2.ssm.conv_kernel", c.d_conv);
  set("mamba2.ssm.inner_size", c.d_inner);
  set("mamba2.ssm.state_size", c.d_state);
  set("mamba2.ssm.time_step_rank", c.nheads());
  set("mamba2.ssm.group_count", c.ngroups);
  writer.set_number("mamba2.attention.layer_norm_rms_epsilon", c.norm_eps);
  if (constexpr std::string_view kTokenizer = "tokenizer.ggml.model"; !writer.has_key(kTokenizer)) {
    writer.set_text(kTokenizer, "none");
    set("mamba2.vocab_size", c.vocab_size);
  }
  const auto set_token = [&](std::string_view key, std::optional<Token> id) {
    if (id) set(detail::gguf_token_key(key), static_cast<std::size_t>(*id));
  };
  set_token("bos", special.bos);
  set_token("padding", special.pad);
  set_token("unknown", special.unknown);
  for (std::size_t i = 0; i < std::min(c.eos_token_ids.size(), detail::kGgufEnds.size()); ++i) {
    set_token(detail::kGgufEnds[i], c.eos_token_ids[i]);
  }
}

MAMBA2_FUNCTION std::vector<ExportedTensor> gguf_export(const Config& config, DType matrices) {
  std::vector<ExportedTensor> tensors;
  (void)expected_tensors(config, [&](const TensorSpec& spec) {
    tensors.push_back(detail::gguf_tensor(spec, config, matrices));
    return Result<void>();
  });
  return tensors;
}

#endif

}  // namespace MAMBA2_ISA
}  // namespace mamba2
