// SPDX-License-Identifier: Apache-2.0
// A Config as JSON: what matters for the layers that the model has.
#pragma once

#include <array>
#include <cmath>
#include <mamba2/mamba2.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <type_traits>

namespace inspect {

using Json = nlohmann::ordered_json;

/// A float as the number that people wrote: 1e-05, not 9.99999975e-06. JSON has no infinity.
[[nodiscard]] inline Json decimal(float value) {
  if (std::isinf(value)) return "Infinity";
  return Json::parse(mamba2::detail::concat(value));
}

[[nodiscard]] inline std::string_view name_of(mamba2::MlpActivation activation) {
  if (activation == mamba2::MlpActivation::relu2) return "relu2";
  return activation == mamba2::MlpActivation::geglu ? "geglu" : "swiglu";
}

/// Whether a member of a Config is about layers that the model has.
[[nodiscard]] inline bool is_used(std::string_view member, const mamba2::Config& config) {
  using mamba2::LayerKind;
  constexpr std::string_view kOfMamba2[] = {
      "d_inner", "d_ssm", "headdim", "d_state",   "ngroups",    "d_conv", "dt_min",
      "dt_max",  "bias",  "rmsnorm", "conv_bias", "D_has_hdim", "nheads", "norm_before_gate"};
  for (const std::string_view name : kOfMamba2) {
    if (member == name) return config.has(LayerKind::mamba2);
  }
  if (member.starts_with("attention.")) return config.has(LayerKind::attention);
  if (member.starts_with("mlp.")) return config.has(LayerKind::mlp);
  return true;
}

[[nodiscard]] inline Json config_json(const mamba2::Config& config) {
  Json json = Json::object();
  const auto set = [&]<class Member>(std::string_view name, const Member& member) {
    if (!is_used(name, config)) return;
    if constexpr (std::is_same_v<Member, float>) {
      json[std::string(name)] = decimal(member);
    } else if constexpr (std::is_enum_v<Member>) {
      json[std::string(name)] = name_of(member);
    } else {
      json[std::string(name)] = member;
    }
  };
  mamba2::fields(config, set);
  set("nheads", config.nheads());
  if (config.is_hybrid()) mamba2::hybrid_fields(config, set);
  mamba2::changed_fields(config, set);
  if (config.is_hybrid()) json["context"] = config.default_context();
  return json;
}

}  // namespace inspect
