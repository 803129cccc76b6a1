// SPDX-License-Identifier: Apache-2.0
// Checkpoints that other programs have quantized, which are told by their config.json: those that
// are read (foreign_scales.hpp), and all others, which are refused by name.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "mamba2/core/result.hpp"
#include "mamba2/io/json.hpp"
#include "mamba2/io/json_fields.hpp"
#include "mamba2/io/printable.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

inline constexpr std::string_view kQuantizationKey = "quantization_config";
inline constexpr std::string_view kQuantMethod = "mamba2";

/// Who quantized the weights, as the value of a key about quantization says; empty if it does not.
/// quant_method is the usual word for it; the writers that leave it out have other keys.
[[nodiscard]] inline std::string quantizer_of(const JsonFields& fields) {
  for (const std::string_view key : {"quant_method", "quant_algo"}) {
    const Json* value = fields.find(key);
    const auto* text = value == nullptr ? nullptr : value->get_ptr<const std::string*>();
    if (text == nullptr || text->empty()) continue;
    const std::string quoted = in_quotes(*text);
    return quoted.substr(1, quoted.size() - 2);
  }
  const auto has = [&fields](std::string_view key) { return fields.find(key) != nullptr; };
  if (has("load_in_8bit") || has("load_in_4bit")) return "bitsandbytes";
  if (has("config_groups")) return "compressed-tensors";
  if (has("group_size") && has("bits")) return "MLX";
  return {};
}

/// What is not as it must be for weights to be read; empty if all is.
using ForeignFault = std::string;

/// Of a text, at a key that must be there.
[[nodiscard]] inline ForeignFault unless_one_of(const JsonFields& fields, std::string_view key,
                                                std::initializer_list<std::string_view> known) {
  const Json* value = fields.find(key);
  for (const std::string_view text : known) {
    if (value != nullptr && is_text(*value, text)) return {};
  }
  return concat(key, " ", value == nullptr ? "none" : describe(*value));
}

/// Of the rows and columns that share a scale.
[[nodiscard]] inline ForeignFault unless_block(const JsonFields& fields, std::string_view key) {
  const Json* value = fields.find(key);
  if (value == nullptr || value->is_null()) return {};
  if (*value == Json::array({128, 128})) return {};
  return concat(key, " ", describe(*value));
}

/// Of the weights of a group of matrices.
[[nodiscard]] inline ForeignFault unless_known_weights(const Json& weights, std::string_view name,
                                                       bool packed) {
  if (!weights.is_object()) return concat("weights ", describe(weights));
  const JsonFields fields(weights, name);
  const auto is = [&fields](std::string_view key, const Json& wanted) {
    const Json* value = fields.find(key);
    return value != nullptr && *value == wanted;
  };
  if (!packed && is("num_bits", 8) && is("type", "float")) {
    return unless_block(fields, "block_structure");
  }
  // The order of columns ("actorder") leaves a tensor of its own where it matters.
  if (packed && is("num_bits", 4) && is("type", "int") && is("symmetric", true)) return {};
  std::string found;
  for (const std::string_view key : {"num_bits", "type", "symmetric"}) {
    const Json* value = fields.find(key);
    append(found, concat(found.empty() ? "" : ", ", key, " ",
                         value == nullptr ? "none" : describe(*value)));
  }
  return concat("weights of ", found);
}

/// Of compressed-tensors.
[[nodiscard]] inline ForeignFault compressed_tensors_fault(const JsonFields& fields) {
  ForeignFault fault = unless_one_of(fields, "format", {"float-quantized", "pack-quantized"});
  if (!fault.empty()) return fault;
  const Json* groups = fields.find("config_groups");
  if (groups == nullptr || !groups->is_object() || groups->empty()) return "no config_groups";
  const bool packed = is_text(*fields.find("format"), "pack-quantized");
  for (const auto& entry : groups->items()) {
    const Json* weights = nullptr;
    if (entry.value().is_object()) {
      weights = JsonFields(entry.value(), fields.name()).find("weights");
    }
    if (weights == nullptr) return concat("no weights in group ", in_quotes(entry.key()));
    fault = unless_known_weights(*weights, fields.name(), packed);
    if (!fault.empty()) return fault;
  }
  return {};
}

/// What keeps weights from being read that this program has quantized; nothing if they are read.
[[nodiscard]] inline std::optional<ForeignFault> foreign_fault(const JsonFields& fields,
                                                               std::string_view quantizer) {
  ForeignFault fault;
  if (quantizer == "compressed-tensors") {
    fault = compressed_tensors_fault(fields);
  } else if (quantizer == "fp8") {
    fault = unless_block(fields, "weight_block_size");
  } else if (quantizer == "modelopt") {
    fault = unless_one_of(fields, "quant_algo", {"FP8", "FP8_PER_CHANNEL_PER_TOKEN", "FP8_PB_WO"});
  } else if (quantizer != "fbgemm_fp8") {
    return ForeignFault();
  }
  if (fault.empty()) return std::nullopt;
  return fault;
}

/// Whether weights are ones that another program has quantized, and that are read as they are.
/// Error unsupported: they are not, with the name of what they were quantized by.
[[nodiscard]] inline Result<bool> read_foreign_quantization(const JsonFields& config) {
  bool found = false;
  for (const std::string_view key : {std::string_view("quantization"), kQuantizationKey,
                                     std::string_view("compression_config")}) {
    const Json* value = config.find(key);
    if (value == nullptr || !value->is_object() || value->empty()) continue;
    const JsonFields fields(*value, config.name());
    std::string quantizer = quantizer_of(fields);
    // What has no name there is no quantization_config of this library either: it says what is not.
    if (key == kQuantizationKey && (quantizer.empty() || quantizer == kQuantMethod)) continue;
    const auto fault = foreign_fault(fields, quantizer);
    if (!fault) {
      found = true;
      continue;
    }
    if (quantizer.empty()) quantizer = "another program";
    if (!fault->empty()) quantizer = concat(quantizer, " (", *fault, ")");
    return Error{ErrorCode::unsupported,
                 concat(config.name(), ": the weights are quantized by ", quantizer,
                        ", which is not supported; expected no ", key,
                        " (mamba2-quantize makes INT8 and INT4 of the original weights)")};
  }
  return found;
}

/// Whether the text of a config.json is one of weights that another program has quantized, and that
/// are read.
[[nodiscard]] inline bool is_quantized_by_others(std::string_view json) {
  const Result<Json> document = parse_json(json, "config.json");
  if (!document || !document->is_object()) return false;
  const Result<bool> foreign = read_foreign_quantization(JsonFields(*document, "config.json"));
  return foreign && *foreign;
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
