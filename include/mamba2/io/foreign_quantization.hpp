// SPDX-License-Identifier: Apache-2.0
// Checkpoints that other programs have quantized, which are told by their config.json.
#pragma once

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

/// Refuses a config.json of weights that another program has quantized. Error unsupported, with the
/// name of what it was quantized by.
[[nodiscard]] inline Result<void> refuse_foreign_quantization(const JsonFields& config) {
  for (const std::string_view key : {std::string_view("quantization"), kQuantizationKey,
                                     std::string_view("compression_config")}) {
    const Json* value = config.find(key);
    if (value == nullptr || !value->is_object() || value->empty()) continue;
    std::string quantizer = quantizer_of(JsonFields(*value, config.name()));
    // What has no name there is no quantization_config of this library either: it says what is not.
    if (key == kQuantizationKey && (quantizer.empty() || quantizer == kQuantMethod)) continue;
    if (quantizer.empty()) quantizer = "another program";
    return Error{ErrorCode::unsupported,
                 concat(config.name(), ": the weights are quantized by ", quantizer,
                        ", which is not supported; expected no ", key,
                        " (mamba2-quantize makes INT8 and INT4 of the original weights)")};
  }
  return {};
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
