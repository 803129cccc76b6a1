// SPDX-License-Identifier: Apache-2.0
// config.json -> Config, in each of the dialects in which Mamba-2 checkpoints are published.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/io/eos_tokens.hpp"
#include "mamba2/io/json.hpp"
#include "mamba2/io/json_fields.hpp"
#include "mamba2/layers/config.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// Reads the hyper-parameters of a Mamba-2 language model from the text of its config.json, as
/// written by transformers (Mamba2ForCausalLM) or by the original code (state-spaces/mamba2-*), or
/// from Mistral's params.json. An absent key has the default that it has in the code that wrote it.
/// `name` is the file's, for messages. What ends no text is no reason to refuse a model: it is
/// passed over, and a line for it added to `notes`.
/// Errors: malformed (not JSON; a key with a wrong type or out of range), unsupported (another kind
/// of model, or a variant with attention, MLPs or LayerNorm), invalid_argument (Config::validate).
[[nodiscard]] Result<Config> parse_config(std::string_view json,
                                          std::string_view name = "config.json",
                                          std::vector<std::string>* notes = nullptr);

namespace detail {

/// int(expand * d_model), as both codes compute it. `expand` may have a fraction.
[[nodiscard]] inline std::size_t read_d_inner(JsonFields& fields, std::size_t d_model) {
  const double expand = fields.number("expand", 2.0);
  const double d_inner = expand * static_cast<double>(d_model);
  if (d_inner >= 1.0 && d_inner <= double{std::numeric_limits<std::int32_t>::max()}) {
    return static_cast<std::size_t>(d_inner);
  }
  fields.refuse("expand", "positive, with expand * d_model in 1..2^31-1", concat(expand));
  return d_model;
}

/// [min, max] of the step size; absent or null is the default (0, infinity).
inline void read_dt_limit(JsonFields& fields, std::string_view key, Config& config) {
  const Json* value = fields.find_value(key);
  if (value == nullptr) return;
  constexpr std::string_view kExpected = "two numbers [min, max], min finite";
  if (!value->is_array() || value->size() != 2) {
    return fields.refuse(key, kExpected, describe(*value));
  }
  const std::optional<double> min = number_of((*value)[0]);
  const std::optional<double> max = number_of((*value)[1]);
  if (!min || !max || !std::isfinite(static_cast<float>(*min))) {
    return fields.refuse(key, kExpected,
                         concat(describe((*value)[0]), " and ", describe((*value)[1])));
  }
  config.dt_min = static_cast<float>(*min);
  config.dt_max = static_cast<float>(*max);
}

/// The tokens that end a text, of a vocabulary that has been read; `fallback` where nothing is
/// said.
[[nodiscard]] inline std::vector<Token> read_eos(JsonFields& fields, std::size_t vocab_size,
                                                 Token fallback) {
  EosTokens tokens(vocab_size);
  const Json* value = fields.find(kEosKey);
  if (value != nullptr) {
    tokens.add(fields.name(), kEosKey, *value);
  } else {
    tokens.add(static_cast<std::uint64_t>(fallback));
  }
  for (const std::string& note : tokens.notes()) fields.note(note);
  return tokens.ids();
}

/// vocab_size rows, rounded up as the original code does before it makes the embedding.
[[nodiscard]] inline std::size_t read_padded_vocab(JsonFields& fields) {
  const std::size_t vocab_size = fields.integer("vocab_size", 50277);
  const std::size_t multiple = fields.integer("pad_vocab_size_multiple", 8);
  return (vocab_size + multiple - 1) / multiple * multiple;
}

/// Refuses the file as another kind of model unless `value`, found at `key`, is this text.
inline void require_text(JsonFields& fields, std::string_view key, const Json& value,
                         std::string_view text) {
  if (!is_text(value, text)) {
    fields.refuse(key, in_quotes(text), describe(value), ErrorCode::unsupported);
  }
}

/// Refuses what says of itself that it is another model.
inline void refuse_other_models(JsonFields& fields, std::string_view model_type) {
  if (const Json* type = fields.find_value("model_type")) {
    require_text(fields, "model_type", *type, model_type);
  }
  if (const Json* classes = fields.find_value("architectures")) {
    const auto* list = classes->get_ptr<const Json::array_t*>();
    if (list == nullptr) return fields.refuse("architectures", "a list", describe(*classes));
    for (const Json& name : *list) {
      // "Mamba2Model" is the same without the head, which is the embedding then.
      if (!is_text(name, "Mamba2Model"))
        require_text(fields, "architectures", name, "Mamba2ForCausalLM");
    }
  }
}

/// Refuses the parts of hybrid and older models that this library does not run.
inline void refuse_other_blocks(JsonFields& fields) {
  if (const Json* layers = fields.find_value("attn_layer_idx")) {
    if (!layers->is_array() || !layers->empty()) {
      fields.refuse("attn_layer_idx", "empty (attention is not supported)", describe(*layers),
                    ErrorCode::unsupported);
    }
  }
  const std::size_t d_intermediate = fields.integer("d_intermediate", 0, 0);
  if (d_intermediate > 0) {
    fields.refuse("d_intermediate", "0 (MLP layers are not supported)", concat(d_intermediate),
                  ErrorCode::unsupported);
  }
  if (!fields.flag("rms_norm", true)) {
    fields.refuse("rms_norm", "true (LayerNorm is not supported)", "false", ErrorCode::unsupported);
  }
}

/// The dialect of transformers' Mamba2Config. Its code reads no norm_before_gate, though published
/// configs carry the key: the gate comes first, whatever that says.
[[nodiscard]] inline Config read_transformers(JsonFields& fields) {
  refuse_other_models(fields, "mamba2");
  refuse_other_blocks(fields);
  if (const Json* act = fields.find("hidden_act"); act != nullptr && !is_text(*act, "swish")) {
    require_text(fields, "hidden_act", *act, "silu");  // "swish" is another name of it
  }
  Config config;
  config.d_model = fields.integer("hidden_size", 4096);
  config.n_layer = fields.integer("num_hidden_layers", 64);
  config.vocab_size = fields.integer("vocab_size", 32768);
  config.d_inner = read_d_inner(fields, config.d_model);
  config.d_ssm = config.d_inner;
  config.headdim = fields.integer("head_dim", 64);
  config.d_state = fields.integer("state_size", 128);
  config.ngroups = fields.integer("n_groups", 8);
  config.d_conv = fields.integer("conv_kernel", 4);
  config.norm_eps = static_cast<float>(fields.number("layer_norm_epsilon", 1e-5));
  read_dt_limit(fields, "time_step_limit", config);
  config.bias = fields.flag("use_bias", false);
  config.conv_bias = fields.flag("use_conv_bias", true);
  config.tie_embeddings = fields.flag("tie_word_embeddings", false);
  config.eos_token_ids = read_eos(fields, config.vocab_size, 2);
  const std::size_t num_heads = fields.integer("num_heads", 128);
  if (num_heads * config.headdim != config.d_inner) {
    fields.refuse("num_heads",
                  concat("expand * hidden_size / head_dim = ", config.d_inner, "/", config.headdim),
                  concat(num_heads, fields.find("num_heads") == nullptr ? " (the default)" : ""));
  }
  return config;
}

/// ssm_cfg: the arguments of the original Mamba2 module; those without effect here are passed over.
inline void read_ssm_cfg(JsonFields& fields, Config& config) {
  constexpr auto kKnown = std::to_array<std::string_view>(
      {"layer",         "d_state",          "d_conv",        "expand",
       "headdim",       "ngroups",          "d_ssm",         "D_has_hdim",
       "rmsnorm",       "norm_before_gate", "dt_limit",      "bias",
       "conv_bias",     "chunk_size",       "A_init_range",  "conv_init",
       "dt_min",        "dt_max",           "dt_init_floor", "use_mem_eff_path",
       "process_group", "sequence_parallel"});
  if (const Json* layer = fields.find("layer")) {
    require_text(fields, "layer", *layer, "Mamba2");
  } else {
    fields.refuse("layer", "\"Mamba2\"", "no such key, which means Mamba-1",
                  ErrorCode::unsupported);
  }
  for (const auto& [key, value] : fields.entries()) {
    if (std::find(kKnown.begin(), kKnown.end(), key) == kKnown.end()) {
      fields.refuse(in_quotes(key), "absent (unknown argument)", describe(value),
                    ErrorCode::unsupported);
    }
  }
  config.d_inner = read_d_inner(fields, config.d_model);
  config.d_ssm =
      fields.find_value("d_ssm") != nullptr ? fields.integer("d_ssm", 0) : config.d_inner;
  config.d_state = fields.integer("d_state", 128);
  config.d_conv = fields.integer("d_conv", 4);
  config.headdim = fields.integer("headdim", 64);
  config.ngroups = fields.integer("ngroups", 1);
  config.D_has_hdim = fields.flag("D_has_hdim", false);
  config.rmsnorm = fields.flag("rmsnorm", true);
  config.norm_before_gate = fields.flag("norm_before_gate", false);
  config.bias = fields.flag("bias", false);
  config.conv_bias = fields.flag("conv_bias", true);
  read_dt_limit(fields, "dt_limit", config);
}

/// The dialect of the original code's MambaConfig.
[[nodiscard]] inline Config read_state_spaces(JsonFields& fields) {
  refuse_other_models(fields, "mamba2");
  refuse_other_blocks(fields);
  Config config;
  config.d_model = fields.integer("d_model", 2560);
  config.n_layer = fields.integer("n_layer", 64);
  config.vocab_size = read_padded_vocab(fields);
  config.tie_embeddings = fields.flag("tie_embeddings", true);
  config.eos_token_ids = read_eos(fields, config.vocab_size, 0);
  const Json none(Json::value_t::object);
  const Json* arguments = fields.find("ssm_cfg");
  if (arguments != nullptr && !arguments->is_object()) {
    fields.refuse("ssm_cfg", "an object", describe(*arguments));
    arguments = nullptr;
  }
  JsonFields ssm_cfg(arguments != nullptr ? *arguments : none, fields.name(), "ssm_cfg.");
  read_ssm_cfg(ssm_cfg, config);
  fields.adopt(ssm_cfg);
  return config;
}

/// Mistral's params.json: the original module at its defaults, but for the number of groups.
[[nodiscard]] inline Config read_mistral(JsonFields& fields) {
  refuse_other_models(fields, "mamba");
  refuse_other_blocks(fields);
  fields.require({"vocab_size", "n_groups", "pad_vocab_size_multiple", "tie_embeddings"});
  Config config;
  config.d_model = fields.integer("dim", 4096);
  config.n_layer = fields.integer("n_layers", 64);
  config.vocab_size = read_padded_vocab(fields);
  config.d_inner = 2 * config.d_model;
  config.d_ssm = config.d_inner;
  config.ngroups = fields.integer("n_groups", 8);
  config.tie_embeddings = fields.flag("tie_embeddings", false);
  config.eos_token_ids = read_eos(fields, config.vocab_size, 2);
  return config;
}

/// The reader of the dialect whose keys the object has; nullptr if it has none of them. Converted
/// configs may keep keys of the original beside those of transformers, which then count.
[[nodiscard]] inline auto config_reader(const JsonFields& fields) -> Config (*)(JsonFields&) {
  const auto has = [&fields](std::string_view key) { return fields.find(key) != nullptr; };
  if (has("hidden_size")) return read_transformers;
  if (has("d_model") || has("n_layer") || has("ssm_cfg")) return read_state_spaces;
  if (has("dim") && has("n_layers")) return read_mistral;
  if (has("model_type") || has("architectures")) return read_transformers;
  return nullptr;
}

}  // namespace detail

inline Result<Config> parse_config(std::string_view json, std::string_view name,
                                   std::vector<std::string>* notes) {
  const Result<detail::Json> document = detail::parse_json(json, name);
  if (!document) return document.error();
  if (!document->is_object()) {
    return Error{ErrorCode::malformed, detail::concat(name, ": expected a JSON object, found ",
                                                      detail::describe(*document))};
  }
  detail::JsonFields fields(*document, name);
  const auto read = detail::config_reader(fields);
  if (read == nullptr) {
    return Error{ErrorCode::unsupported,
                 detail::concat(name,
                                ": expected the keys of a Mamba-2 config (hidden_size of "
                                "transformers, d_model of state-spaces), found neither")};
  }
  Config config = read(fields);
  if (fields.error()) return *fields.error();
  if (const Result<void> valid = config.validate(); !valid) {
    return Error{valid.error().code, detail::concat(name, ": ", valid.error().message)};
  }
  if (notes != nullptr) notes->insert(notes->end(), fields.notes().begin(), fields.notes().end());
  return config;
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2
