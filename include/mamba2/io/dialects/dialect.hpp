// SPDX-License-Identifier: Apache-2.0
// What a dialect is: how one writer of checkpoints says what a model is, and names its tensors.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/io/json_fields.hpp"
#include "mamba2/layers/config.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// A name, or what names begin with, in a dialect and here.
struct TensorRename {
  std::string_view theirs;
  /// Several, with '|' between them, for a tensor that has the rows of several, one below the
  /// other.
  std::string_view ours;
  /// Of a layer: which of the layers here that theirs is made of (see Dialect::layers_in_one), and
  /// its kind; nothing: any.
  std::size_t branch = 0;
  std::optional<LayerKind> kind = {};
};

/// A dialect: it computes nothing. Names are looked up without wrappers of training and without
/// "model." and "backbone." in front (canonical_name()).
struct Dialect {
  std::string_view name;
  /// Whether a config.json, which is an object, is in this dialect.
  bool (*is_spoken)(const detail::JsonFields& config);
  /// The Config; what is wrong, or not supported, is refused in the fields.
  Config (*read)(detail::JsonFields& config);
  /// The key that says whether the head is the embedding.
  std::string_view tie_key = "tie_word_embeddings";
  /// Names outside of layers, whole.
  std::span<const TensorRename> outer = {};
  /// Layers that one of theirs, "layers.N.", is made of.
  std::size_t (*layers_in_one)(const Config&) = nullptr;
  /// Beginnings of names after "layers.N."; the first that fits counts.
  std::span<const TensorRename> of_layers = {};
};

namespace detail {

/// What begins the names of tensors that are canonical ones, in any dialect: files of this library
/// where that has no names for them, as of matrices that are rows of one in the dialect.
inline constexpr std::string_view kOwnNames = "mamba2.";

/// A tensor's names here: one, or several for the rows of one below the other.
[[nodiscard]] inline std::vector<std::string> names_of(std::string_view ours,
                                                       std::string_view prefix,
                                                       std::string_view suffix) {
  std::vector<std::string> names;
  for (;;) {
    const std::size_t bar = std::min(ours.find('|'), ours.size());
    names.push_back(concat(prefix, ours.substr(0, bar), suffix));
    if (bar == ours.size()) return names;
    ours.remove_prefix(bar + 1);
  }
}

/// The canonical names of a tensor of a dialect; its own where the dialect does not know it.
[[nodiscard]] inline std::vector<std::string> canonical_names(const Dialect& dialect,
                                                              const Config& config,
                                                              std::string_view name) {
  constexpr std::string_view kLayers = "layers.";
  if (name.starts_with(kOwnNames)) return {std::string(name.substr(kOwnNames.size()))};
  for (const TensorRename& rename : dialect.outer) {
    if (name == rename.theirs) return names_of(rename.ours, "", "");
  }
  if (!name.starts_with(kLayers) || dialect.layers_in_one == nullptr) return {std::string(name)};
  const std::size_t in_one = dialect.layers_in_one(config);
  const std::string_view rest = name.substr(kLayers.size());
  std::size_t number = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
  const auto dot = static_cast<std::size_t>(end - rest.data());
  if (error != std::errc() || dot == rest.size() || number >= config.n_layer / in_one) {
    return {std::string(name)};
  }
  const std::string_view local = rest.substr(dot + 1);
  for (const TensorRename& rename : dialect.of_layers) {
    const std::size_t layer = number * in_one + rename.branch;
    if (rename.branch >= in_one || !local.starts_with(rename.theirs)) continue;
    if (rename.kind && config.kind(layer) != *rename.kind) continue;
    return names_of(rename.ours, concat(kLayers, layer, "."), local.substr(rename.theirs.size()));
  }
  return {std::string(name)};
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
