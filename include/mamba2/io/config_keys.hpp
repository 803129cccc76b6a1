// SPDX-License-Identifier: Apache-2.0
// Keys that the configs of several writers have.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/io/eos_tokens.hpp"
#include "mamba2/io/json.hpp"
#include "mamba2/io/json_fields.hpp"
#include "mamba2/layers/config.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
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

/// How many layers there are: no more than any Config may have.
[[nodiscard]] inline std::size_t read_layer_count(JsonFields& fields, std::string_view key,
                                                  std::size_t fallback) {
  const std::size_t count = fields.integer(key, fallback);
  if (count <= Config::kMaxLayers) return count;
  fields.refuse(key, concat("in 1..", Config::kMaxLayers), concat(count));
  return 1;
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

/// Refuses what says of itself that it is another model. known: what model_type may be, if other
/// dialects read other ones.
inline void refuse_other_models(JsonFields& fields, std::string_view model_type,
                                std::string_view known = {}) {
  const Json* type = fields.find_value("model_type");
  if (type != nullptr && !is_text(*type, model_type)) {
    fields.refuse("model_type", known.empty() ? in_quotes(model_type) : std::string(known),
                  describe(*type), ErrorCode::unsupported);
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

inline void refuse_layer_norm(JsonFields& fields) {
  if (!fields.flag("rms_norm", true)) {
    fields.refuse("rms_norm", "true (LayerNorm is not supported)", "false", ErrorCode::unsupported);
  }
}

/// Refuses the parts of hybrid and older models that this dialect does not have.
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
  refuse_layer_norm(fields);
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
