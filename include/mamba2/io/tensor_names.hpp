// SPDX-License-Identifier: Apache-2.0
// Which tensors a Mamba-2 model consists of, under which names.
#pragma once

#include <charconv>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/layers/config.hpp"
#include "mamba2/layers/slot.hpp"
#include "mamba2/layers/weights.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// A tensor that a model needs: its canonical name and its row-major shape.
struct TensorSpec {
  std::string name;
  std::vector<std::size_t> shape;
  Role role;
  bool may_rotate = false;  ///< see Slot
};

namespace detail {

/// A name without the components that wrappers for training put before those of the module in them:
/// DistributedDataParallel, torch.compile, fully sharded data parallelism and checkpointing of
/// activations, of the model or of a part of it.
[[nodiscard]] inline std::string unwrapped_name(std::string_view name) {
  std::string unwrapped;
  while (!name.empty()) {
    const std::string_view component = name.substr(0, name.find('.'));
    const std::string_view with_dot = name.substr(0, component.size() + 1);
    name.remove_prefix(with_dot.size());
    const bool is_wrapper = component == "module" || component == "_orig_mod" ||
                            component == "_fsdp_wrapped_module" ||
                            component == "_checkpoint_wrapped_module";
    if (!is_wrapper || name.empty()) unwrapped += with_dot;
  }
  return unwrapped;
}

}  // namespace detail

/// The one name that this library uses for a tensor of a checkpoint: without the components of
/// wrappers for training ("module.", "_orig_mod."), without the prefixes "model." and "backbone.",
/// and with "embedding" for transformers' "embeddings".
[[nodiscard]] inline std::string canonical_name(std::string_view full_name) {
  constexpr std::string_view kEmbeddings = "embeddings.weight";
  const std::string unwrapped = detail::unwrapped_name(full_name);
  std::string_view name = unwrapped;
  for (const std::string_view prefix : {"model.", "backbone."}) {
    if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
  }
  if (!name.starts_with(kEmbeddings)) return std::string(name);  // it, or its scales
  return detail::concat("embedding.weight", name.substr(kEmbeddings.size()));
}

/// The name of a tensor in checkpoints of transformers, from its canonical one.
[[nodiscard]] inline std::string transformers_name(std::string_view canonical) {
  constexpr std::string_view kEmbedding = "embedding.";
  if (canonical.starts_with("lm_head.")) return std::string(canonical);
  if (!canonical.starts_with(kEmbedding)) return detail::concat("backbone.", canonical);
  return detail::concat("backbone.embeddings.", canonical.substr(kEmbedding.size()));
}

namespace detail {

[[nodiscard]] inline TensorSpec spec_of(const Slot& slot) {
  return {slot.full_name(), slot.shape(), slot.role, slot.may_rotate};
}

}  // namespace detail

/// The tensor of a canonical name; nothing if a model of this Config has none of that name.
[[nodiscard]] inline std::optional<TensorSpec> expected_tensor(const Config& config,
                                                               std::string_view name) {
  constexpr std::string_view kLayers = "layers.";
  std::optional<TensorSpec> spec;
  if (!name.starts_with(kLayers)) {
    Weights weights;
    outer_tensors(config, weights, [&](const Slot& slot, const auto&) {
      if (slot.is_stored && slot.name == name) spec = detail::spec_of(slot);
    });
    return spec;
  }
  const std::string_view rest = name.substr(kLayers.size());
  std::size_t index = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), index);
  const std::string_view local = rest.substr(static_cast<std::size_t>(end - rest.data()));
  const bool is_odd = end - rest.data() > 1 && rest.front() == '0';  // another name of the number
  if (error != std::errc() || is_odd || index >= config.n_layer || !local.starts_with('.')) {
    return spec;
  }
  // All experts are alike: one is enough to look at.
  const auto in_expert = expert_name(local.substr(1));
  if (in_expert && in_expert->expert >= config.moe.num_experts) return spec;
  LayerWeights layer(config, index, 1);
  layer_tensors(config, index, layer, [&](const Slot& slot, const auto&) {
    const bool of_expert = slot.expert != Slot::kNoExpert;
    if (!slot.is_stored || of_expert != in_expert.has_value()) return;
    if (slot.name == (of_expert ? in_expert->name : local.substr(1))) spec = detail::spec_of(slot);
  });
  if (spec) spec->name = std::string(name);
  return spec;
}

/// Calls visit(const TensorSpec&) -> Result<void> for every tensor that a model of this (valid)
/// Config needs, in the order of the network, until a visit answers an error, which it returns.
/// The specs are made one layer at a time: a config that claims many layers costs nothing before
/// they are visited.
template <class Visit>
[[nodiscard]] Result<void> expected_tensors(const Config& config, Visit&& visit) {
  Result<void> result;
  const auto visit_slot = [&](const Slot& slot) {
    if (!result || !slot.is_stored) return;
    result = visit(detail::spec_of(slot));
  };
  Weights weights;
  const auto visit_outer = [&](bool is_first) {
    outer_tensors(config, weights, [&](const Slot& slot, const auto&) {
      if ((slot.role == Role::embedding) == is_first) visit_slot(slot);
    });
  };
  visit_outer(true);
  for (std::size_t i = 0; result && i < config.n_layer; ++i) {
    LayerWeights layer(config, i);
    layer_tensors(config, i, layer, [&](const Slot& slot, const auto&) { visit_slot(slot); });
  }
  visit_outer(false);
  return result;
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2
