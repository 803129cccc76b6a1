// SPDX-License-Identifier: Apache-2.0
// A model as a checkpoint of Hugging Face transformers (Mamba2ForCausalLM).
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
#include <nlohmann/json.hpp>

#include "mamba2/io/eos_tokens.hpp"
#include "mamba2/io/tensor_names.hpp"
#endif

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// Whether transformers' Mamba2Config can say what a model with this Config is. Error unsupported,
/// naming the option: a gated MLP part, D per channel, norm before gate or none.
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
[[nodiscard]] inline nlohmann::ordered_json expand_factor(const Config& c) {
  if (c.d_inner % c.d_model == 0) return c.d_inner / c.d_model;
  const auto d_model = static_cast<double>(c.d_model);
  double expand = static_cast<double>(c.d_inner) / d_model;
  if (expand * d_model < static_cast<double>(c.d_inner)) {
    expand = std::nextafter(expand, std::numeric_limits<double>::infinity());
  }
  return expand;
}

/// A float as the number that people wrote: 1e-05, not 9.99999975e-06.
[[nodiscard]] inline double shortest(float value) {
  return nlohmann::json::parse(concat(value)).get<double>();
}

}  // namespace detail

MAMBA2_FUNCTION Result<void> check_transformers_export(const Config& config) {
  detail::ExportCheck check("a checkpoint of transformers");
  check.require_plain_block(config);
  return check.outcome();
}

MAMBA2_FUNCTION std::string transformers_config(const Config& c, const SpecialTokens& special,
                                                DType matrices) {
  nlohmann::ordered_json json = {{"architectures", {"Mamba2ForCausalLM"}},
                                 {"model_type", "mamba2"},
                                 {"hidden_size", c.d_model},
                                 {"num_hidden_layers", c.n_layer},
                                 {"vocab_size", c.vocab_size},
                                 {"expand", detail::expand_factor(c)},
                                 {"head_dim", c.headdim},
                                 {"num_heads", c.nheads()},
                                 {"state_size", c.d_state},
                                 {"n_groups", c.ngroups},
                                 {"conv_kernel", c.d_conv},
                                 {"chunk_size", 256},
                                 {"use_bias", c.bias},
                                 {"use_conv_bias", c.conv_bias},
                                 {"hidden_act", "silu"},
                                 {"layer_norm_epsilon", detail::shortest(c.norm_eps)},
                                 {"rms_norm", true},
                                 {"residual_in_fp32", true},
                                 {"tie_word_embeddings", c.tie_embeddings}};
  if (c.dt_min > 0.0F || !std::isinf(c.dt_max)) {  // else the default; JSON has no infinity
    const float most = std::min(c.dt_max, std::numeric_limits<float>::max());
    json["time_step_limit"] = {detail::shortest(c.dt_min), detail::shortest(most)};
  }
  const auto set_token = [&json](std::string_view key, std::optional<Token> id) {
    json[std::string(key)] = id ? nlohmann::ordered_json(*id) : nlohmann::ordered_json();
  };
  set_token("bos_token_id", special.bos);
  set_token("pad_token_id", special.pad);
  json[std::string(detail::kEosKey)] = detail::eos_json(c.eos_token_ids);
  json["torch_dtype"] = matrices == DType::F16    ? "float16"
                        : matrices == DType::BF16 ? "bfloat16"
                                                  : "float32";
  return json.dump(2) + "\n";
}

MAMBA2_FUNCTION std::vector<ExportedTensor> transformers_export(const Config& config,
                                                                DType matrices) {
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
