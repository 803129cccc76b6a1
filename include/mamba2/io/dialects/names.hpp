// SPDX-License-Identifier: Apache-2.0
// The names of tensors in a dialect.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <limits>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/io/printable.hpp"
#include "mamba2/io/tensor_names.hpp"
#include "mamba2/io/tensor_view.hpp"
#include "mamba2/layers/config.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// A name, or what names begin with, in a dialect and here.
struct TensorRename {
  std::string_view theirs;
  /// Several, with '|' between them, for a tensor that has the rows of several, one below the
  /// other.
  std::string_view ours;
  /// Of a layer: which of the layers here that theirs is made of (see DialectNames::layers_in_one),
  /// and its kind; nothing: any.
  std::size_t branch = 0;
  std::optional<LayerKind> kind = {};
};

/// What a dialect calls its tensors. Names are looked up without wrappers of training and without
/// "model." and "backbone." in front (canonical_name()).
struct DialectNames {
  /// Names outside of layers, whole.
  std::span<const TensorRename> outer = {};
  /// Layers that one of theirs, "layers.N.", is made of.
  std::size_t (*layers_in_one)(const Config&) = nullptr;
  /// Beginnings of names after "layers.N."; the first that fits counts.
  std::span<const TensorRename> of_layers = {};
  /// The beginning of names that are passed over; empty: none.
  std::string_view passed_over = {};
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
[[nodiscard]] inline std::vector<std::string> canonical_names(const DialectNames& dialect,
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
  const bool is_odd = dot > 1 && rest.front() == '0';  // another name of the same number
  if (error != std::errc() || is_odd || dot == rest.size() || number >= config.n_layer / in_one) {
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

/// A tensor of a dialect, and what it has the rows of.
struct DialectTensor {
  std::string name;
  std::vector<std::string> canonical;
};

/// The tensor of a dialect that has the rows of a canonical one, alone or with others; the first of
/// the dialect's names that does. Nothing if none has. max_parts: of how many it may have rows.
[[nodiscard]] inline std::optional<DialectTensor> tensor_in(
    const DialectNames& dialect, const Config& config, std::string_view canonical,
    std::size_t max_parts = std::numeric_limits<std::size_t>::max()) {
  constexpr std::string_view kLayers = "layers.";
  for (const TensorRename& rename : dialect.outer) {
    if (canonical == rename.ours)
      return DialectTensor{std::string(rename.theirs), {std::string(canonical)}};
  }
  if (!canonical.starts_with(kLayers)) return std::nullopt;
  const std::string_view rest = canonical.substr(kLayers.size());
  std::size_t layer = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), layer);
  const auto dot = static_cast<std::size_t>(end - rest.data());
  if (error != std::errc() || dot == rest.size() || layer >= config.n_layer) return std::nullopt;
  const std::size_t in_one = dialect.layers_in_one(config);
  const std::string_view local = rest.substr(dot + 1);
  for (const TensorRename& rename : dialect.of_layers) {
    if (rename.branch != layer % in_one) continue;
    if (rename.kind && config.kind(layer) != *rename.kind) continue;
    for (const std::string& ours : names_of(rename.ours, "", "")) {
      if (!local.starts_with(ours)) continue;
      const std::string_view suffix = local.substr(ours.size());
      auto parts = names_of(rename.ours, concat(kLayers, layer, "."), suffix);
      if (parts.size() > max_parts) continue;
      return DialectTensor{concat(kLayers, layer / in_one, ".", rename.theirs, suffix),
                           std::move(parts)};
    }
  }
  return std::nullopt;
}

/// The name in a dialect of a canonical one; empty if it has none that is a tensor's alone.
[[nodiscard]] inline std::string name_in(const DialectNames& dialect, const Config& config,
                                         std::string_view canonical) {
  auto tensor = tensor_in(dialect, config, canonical, 1);
  return tensor ? std::move(tensor->name) : std::string();
}

/// Adds a tensor, whose name is one without wrappers, under its canonical names. Error mismatch:
/// rows of several tensors that do not add up to its own.
[[nodiscard]] inline Result<void> add_renamed(const DialectNames& dialect, const Config& config,
                                              TensorView tensor, std::vector<TensorView>& tensors) {
  const std::vector<std::string> names = canonical_names(dialect, config, tensor.name);
  if (names.size() == 1) {
    tensor.name = names.front();
    tensors.push_back(std::move(tensor));
    return {};
  }
  std::vector<std::size_t> rows;
  for (const std::string& name : names) {
    // Of scales, the rows are those of the matrix.
    constexpr std::string_view kScale = "_scale";
    const std::size_t scale = name.ends_with(kScale) ? kScale.size() : 0;
    const auto spec =
        expected_tensor(config, std::string_view(name).substr(0, name.size() - scale));
    rows.push_back(spec ? spec->shape.front() : 0);
  }
  const std::size_t all = std::accumulate(rows.begin(), rows.end(), std::size_t{0});
  if (tensor.shape.empty() || tensor.shape.front() != all || all == 0) {
    return Error{ErrorCode::mismatch,
                 concat(tensor.file, ": tensor ", in_quotes(tensor.name), " must have ", all,
                        " rows, found the shape ", shape_text(tensor.shape))};
  }
  const std::size_t row_bytes = tensor.data.size() / all;
  std::size_t first = 0;
  for (std::size_t i = 0; i < names.size(); ++i) {
    TensorView& part = tensors.emplace_back(tensor);
    part.name = names[i];
    part.shape.front() = rows[i];
    part.data = tensor.data.subspan(first * row_bytes, rows[i] * row_bytes);
    first += rows[i];
  }
  return {};
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
