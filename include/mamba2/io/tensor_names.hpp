// SPDX-License-Identifier: Apache-2.0
// Which tensors a Mamba-2 model consists of, under which names.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/layers/config.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// A tensor that a model needs: its canonical name and its row-major shape.
struct TensorSpec {
  std::string name;
  std::vector<std::size_t> shape;
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

/// Whether a tensor is one of the large matrices, which may be stored with less precision.
[[nodiscard]] inline bool is_matrix(std::string_view canonical) {
  return canonical.ends_with("_proj.weight") || canonical == "embedding.weight" ||
         canonical == "lm_head.weight";
}

/// The tensors of block `layer`.
[[nodiscard]] inline std::vector<TensorSpec> layer_tensors(const Config& config,
                                                           std::size_t layer) {
  const std::string block = concat("layers.", layer, ".");
  const std::string mixer = block + "mixer.";
  std::vector<TensorSpec> specs;
  specs.push_back({block + "norm.weight", {config.d_model}});
  specs.push_back({mixer + "in_proj.weight", {config.d_in_proj(), config.d_model}});
  if (config.bias) specs.push_back({mixer + "in_proj.bias", {config.d_in_proj()}});
  specs.push_back({mixer + "conv1d.weight", {config.conv_dim(), 1, config.d_conv}});
  if (config.conv_bias) specs.push_back({mixer + "conv1d.bias", {config.conv_dim()}});
  specs.push_back({mixer + "dt_bias", {config.nheads()}});
  specs.push_back({mixer + "A_log", {config.nheads()}});
  specs.push_back({mixer + "D", {config.D_has_hdim ? config.d_ssm : config.nheads()}});
  if (config.rmsnorm) specs.push_back({mixer + "norm.weight", {config.d_ssm}});
  specs.push_back({mixer + "out_proj.weight", {config.d_model, config.d_inner}});
  if (config.bias) specs.push_back({mixer + "out_proj.bias", {config.d_model}});
  return specs;
}

}  // namespace detail

/// Calls visit(const TensorSpec&) -> Result<void> for every tensor that a model of this (valid)
/// Config needs, in the order of the network, until a visit answers an error, which it returns.
/// The specs are made one layer at a time: a config that claims many layers costs nothing before
/// they are visited.
template <class Visit>
[[nodiscard]] Result<void> expected_tensors(const Config& config, Visit&& visit) {
  Result<void> result = visit(TensorSpec{"embedding.weight", {config.vocab_size, config.d_model}});
  for (std::size_t layer = 0; result && layer < config.n_layer; ++layer) {
    for (const TensorSpec& spec : detail::layer_tensors(config, layer)) {
      if (result = visit(spec); !result) return result;
    }
  }
  if (result) result = visit(TensorSpec{"norm_f.weight", {config.d_model}});
  if (result && !config.tie_embeddings) {
    result = visit(TensorSpec{"lm_head.weight", {config.vocab_size, config.d_model}});
  }
  return result;
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2
