// SPDX-License-Identifier: Apache-2.0
// A model as a checkpoint of Hugging Face transformers: Mamba2ForCausalLM, or a hybrid.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/core/linkage.hpp"
#include "mamba2/core/result.hpp"
#include "mamba2/io/export.hpp"
#include "mamba2/layers/config.hpp"

#if MAMBA2_HAS_DEFINITIONS
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "mamba2/io/eos_tokens.hpp"
#include "mamba2/io/hybrid_export.hpp"
#include "mamba2/io/json.hpp"
#include "mamba2/io/json_writer.hpp"
#include "mamba2/io/tensor_names.hpp"
#endif

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// Whether transformers can say what a model with this Config is, as mamba2 or one of the hybrids.
/// Error unsupported, naming the option: a gated MLP part, D per channel, norm before gate or none;
/// of hybrids: other orders of layers, a convolution over queries, other RoPE.
[[nodiscard]] Result<void> check_transformers_export(const Config& config);

/// The text of config.json. `matrices` as in transformers_export.
[[nodiscard]] std::string transformers_config(const Config& config, const SpecialTokens& special,
                                              DType matrices);

/// All tensors, in the order of the network. `matrices` is the type of in_proj, out_proj, embedding
/// and head: F32, F16 or BF16; all else is F32.
[[nodiscard]] std::vector<ExportedTensor> transformers_export(const Config& config, DType matrices);

#if MAMBA2_HAS_DEFINITIONS

namespace detail {

/// `expand`, from which transformers computes int(expand * hidden_size).
[[nodiscard]] inline Json expand_factor(const Config& c) {
  if (c.d_inner % c.d_model == 0) return c.d_inner / c.d_model;
  const auto d_model = static_cast<double>(c.d_model);
  double expand = static_cast<double>(c.d_inner) / d_model;
  if (expand * d_model < static_cast<double>(c.d_inner)) {
    expand = std::nextafter(expand, std::numeric_limits<double>::infinity());
  }
  return expand;
}

/// The keys of Mamba2Config but for those that all models have.
inline void write_mamba2_keys(JsonWriter& json, const Config& c) {
  json.member("architectures", Json::array({"Mamba2ForCausalLM"}));
  json.member("model_type", "mamba2");
  json.member("num_hidden_layers", c.n_layer);
  json.member("expand", expand_factor(c));
  json.member("head_dim", c.headdim);
  json.member("num_heads", c.nheads());
  json.member("state_size", c.d_state);
  json.member("n_groups", c.ngroups);
  json.member("conv_kernel", c.d_conv);
  json.member("chunk_size", 256);
  json.member("use_bias", c.bias);
  json.member("use_conv_bias", c.conv_bias);
  json.member("layer_norm_epsilon", shortest(c.norm_eps));
  json.member("rms_norm", true);
  json.member("residual_in_fp32", true);
}

}  // namespace detail

MAMBA2_FUNCTION Result<void> check_transformers_export(const Config& config) {
  detail::ExportCheck check("a checkpoint of transformers");
  if (config.is_hybrid()) {
    detail::dialect_writing(config).check(check, config);
  } else {
    check.require_plain_block(config);
  }
  return check.outcome();
}

MAMBA2_FUNCTION std::string transformers_config(const Config& c, const SpecialTokens& special,
                                                DType matrices) {
  detail::JsonWriter json;
  json.start_object();
  if (c.is_hybrid()) {
    detail::write_hybrid_keys(json, c);
  } else {
    detail::write_mamba2_keys(json, c);
  }
  json.member("hidden_size", c.d_model);
  json.member("vocab_size", c.vocab_size);
  const bool is_gelu = c.has(LayerKind::mlp) && c.mlp.activation == MlpActivation::geglu;
  json.member("hidden_act", is_gelu ? "gelu" : "silu");
  json.member("tie_word_embeddings", c.tie_embeddings);
  if (c.dt_min > 0.0F || !std::isinf(c.dt_max)) {  // else the default; JSON has no infinity
    const float most = std::min(c.dt_max, std::numeric_limits<float>::max());
    json.member("time_step_limit", {detail::shortest(c.dt_min), detail::shortest(most)});
  }
  const auto token = [](std::optional<Token> id) {
    return id ? detail::Json(*id) : detail::Json();
  };
  json.member("bos_token_id", token(special.bos));
  json.member("pad_token_id", token(special.pad));
  json.member(detail::kEosKey, detail::eos_json(c.eos_token_ids));
  json.member("torch_dtype", matrices == DType::F16    ? "float16"
                             : matrices == DType::BF16 ? "bfloat16"
                                                       : "float32");
  json.end_object();
  return std::move(json).text() + "\n";
}

MAMBA2_FUNCTION std::vector<ExportedTensor> transformers_export(const Config& config,
                                                                DType matrices) {
  if (config.is_hybrid()) return detail::hybrid_export(config, matrices);
  std::vector<ExportedTensor> tensors;
  (void)expected_tensors(config, [&](const TensorSpec& spec) {
    tensors.push_back({transformers_name(spec.name), spec.name, spec.shape,
                       is_matrix(spec.role) ? matrices : DType::F32, spec.role});
    return Result<void>();
  });
  return tensors;
}

#endif

}  // namespace MAMBA2_ISA
}  // namespace mamba2
