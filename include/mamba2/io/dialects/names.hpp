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
  /// other. In either a '*' stands for the number of an expert; in `ours` alone it is a stack, of
  /// the matrices of all experts one after the other.
  std::string_view ours;
  /// Of a layer: which of the layers here that theirs is made of (see DialectNames::layers_in_one),
  /// and its kind; nothing: any.
  std::size_t branch = 0;
  std::optional<LayerKind> kind = {};
  /// Of an adapter of a block that layers share: the '*' of `theirs` is the number of the layer
  /// among those, whose tensor it is here. They have it in the first layer that reads the block.
  bool of_use = false;
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

/// What a '*' in a rename stands for: the number of an expert.
inline constexpr char kAnyExpert = '*';

/// A name with what follows the beginning of it.
struct Beginning {
  std::string_view rest;
  std::optional<std::size_t> expert;  ///< where the pattern has a '*'
};

/// Whether a name begins as a pattern says.
[[nodiscard]] inline std::optional<Beginning> begins(std::string_view name,
                                                     std::string_view pattern) {
  const std::size_t star = std::min(pattern.find(kAnyExpert), pattern.size());
  if (!name.starts_with(pattern.substr(0, star))) return std::nullopt;
  name.remove_prefix(star);
  if (star == pattern.size()) return Beginning{name, {}};
  std::size_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  const auto digits = static_cast<std::size_t>(end - name.data());
  const bool is_odd = digits > 1 && name.front() == '0';  // another name of the same number
  const std::string_view after = pattern.substr(star + 1);
  if (error != std::errc() || is_odd || !name.substr(digits).starts_with(after))
    return std::nullopt;
  return Beginning{name.substr(digits + after.size()), number};
}

/// A pattern with the number of an expert for its '*'.
[[nodiscard]] inline std::string of_expert(std::string_view pattern,
                                           std::optional<std::size_t> expert) {
  const std::size_t star = pattern.find(kAnyExpert);
  if (star == pattern.npos || !expert) return std::string(pattern);
  return concat(pattern.substr(0, star), *expert, pattern.substr(star + 1));
}

/// Calls each(part) for the parts between bars.
template <class Each>
void for_each_part(std::string_view ours, Each each) {
  for (;;) {
    const std::size_t bar = std::min(ours.find('|'), ours.size());
    each(ours.substr(0, bar));
    if (bar == ours.size()) return;
    ours.remove_prefix(bar + 1);
  }
}

/// Whether a tensor has the rows of all experts, one after the other: (experts, rows, columns).
[[nodiscard]] inline bool is_stack(const TensorRename& rename) {
  return rename.ours.find(kAnyExpert) != rename.ours.npos &&
         rename.theirs.find(kAnyExpert) == rename.theirs.npos;
}

/// A tensor's names here: one, or several for the rows of one below the other; of a stack those of
/// one expert after the other. expert: that of its name.
[[nodiscard]] inline std::vector<std::string> names_of(const TensorRename& rename,
                                                       const Config& config,
                                                       std::optional<std::size_t> expert,
                                                       std::string_view prefix,
                                                       std::string_view suffix) {
  std::vector<std::string> names;
  const auto add = [&](std::optional<std::size_t> number) {
    for_each_part(rename.ours, [&](std::string_view part) {
      names.push_back(concat(prefix, of_expert(part, number), suffix));
    });
  };
  if (!is_stack(rename)) add(expert);
  for (std::size_t e = 0; is_stack(rename) && e < config.moe.num_experts; ++e) add(e);
  return names;
}

/// What a tensor of a dialect is here.
struct CanonicalNames {
  std::vector<std::string> names;
  bool is_stack = false;
};

/// Which rename is a tensor's, and of what.
struct RenameFound {
  const TensorRename* rename;
  std::size_t in;     ///< the layer here that the name says, the first of those that theirs is
  std::size_t layer;  ///< the layer whose tensor it is
  Beginning beginning;
};

/// Of a tensor of a layer, whose name is one without wrappers; nothing where the dialect does not
/// know it.
[[nodiscard]] inline std::optional<RenameFound> find_rename(const DialectNames& dialect,
                                                            const Config& config,
                                                            std::string_view name) {
  constexpr std::string_view kLayers = "layers.";
  if (!name.starts_with(kLayers) || dialect.layers_in_one == nullptr) return std::nullopt;
  const std::size_t in_one = dialect.layers_in_one(config);
  const std::string_view rest = name.substr(kLayers.size());
  std::size_t number = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
  const auto dot = static_cast<std::size_t>(end - rest.data());
  const bool is_odd = dot > 1 && rest.front() == '0';  // another name of the same number
  if (error != std::errc() || is_odd || dot == rest.size() || number >= config.n_layer / in_one) {
    return std::nullopt;
  }
  for (const TensorRename& rename : dialect.of_layers) {
    std::size_t layer = number * in_one + rename.branch;
    if (rename.branch >= in_one) continue;
    if (rename.kind && config.kind(layer) != *rename.kind) continue;
    const auto beginning = begins(rest.substr(dot + 1), rename.theirs);
    if (!beginning) continue;
    if (rename.of_use) layer = config.layer_of_use(*beginning->expert);
    if (layer == config.n_layer) continue;
    return RenameFound{&rename, number * in_one, layer, *beginning};
  }
  return std::nullopt;
}

/// The canonical names of a tensor of a dialect; its own where the dialect does not know it.
[[nodiscard]] inline CanonicalNames canonical_names(const DialectNames& dialect,
                                                    const Config& config, std::string_view name) {
  const auto only = [](std::string_view one) { return CanonicalNames{{std::string(one)}}; };
  if (name.starts_with(kOwnNames)) return only(name.substr(kOwnNames.size()));
  for (const TensorRename& rename : dialect.outer) {
    if (name == rename.theirs) return only(rename.ours);
  }
  const auto found = find_rename(dialect, config, name);
  if (!found) return only(name);
  const auto& [rename, in, layer, beginning] = *found;
  return {
      names_of(*rename, config, beginning.expert, concat("layers.", layer, "."), beginning.rest),
      is_stack(*rename)};
}

/// A tensor of a dialect, and what it has the rows of.
struct DialectTensor {
  std::string name;
  std::vector<std::string> canonical;  ///< of a stack, but for its first name: that one alone
  std::size_t experts = 0;             ///< of a stack
};

/// The tensor of a dialect that has the rows of a canonical one, alone or with others; the first of
/// the dialect's names that does. Nothing if none has. max_parts: of how many it may have rows, a
/// stack's experts apart.
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
  const std::string prefix = concat(kLayers, layer, ".");
  std::optional<DialectTensor> found;
  for (const TensorRename& rename : dialect.of_layers) {
    if (found || rename.branch != layer % in_one) continue;
    if (rename.kind && config.kind(layer) != *rename.kind) continue;
    const auto parts = static_cast<std::size_t>(1 + std::ranges::count(rename.ours, '|'));
    if (parts > max_parts) continue;
    for_each_part(rename.ours, [&](std::string_view part) {
      const auto beginning = begins(local, part);
      if (!beginning || found) return;
      const bool stack = is_stack(rename);
      const bool is_first = !stack || (beginning->expert == 0U && rename.ours.starts_with(part));
      const std::string first = concat(
          prefix, of_expert(rename.ours.substr(0, rename.ours.find('|')), 0), beginning->rest);
      const std::size_t use = rename.of_use ? config.use_of_block(layer) : 0;
      const std::size_t in =
          rename.of_use ? config.layer_of_use(use % config.shared_block.num_blocks) : layer;
      found = DialectTensor{
          concat(kLayers, in / in_one, ".",
                 of_expert(rename.theirs, rename.of_use ? use : beginning->expert),
                 beginning->rest),
          is_first ? names_of(rename, config, beginning->expert, prefix, beginning->rest)
                   : std::vector{first},
          stack ? config.moe.num_experts : 0};
    });
  }
  return found;
}

/// Adds a tensor, whose name is one without wrappers, under its canonical names. Error mismatch:
/// rows of several tensors that do not add up to its own, or a stack of other than all experts.
[[nodiscard]] inline Result<void> add_renamed(const DialectNames& dialect, const Config& config,
                                              TensorView tensor, std::vector<TensorView>& tensors) {
  const auto [names, is_stack] = canonical_names(dialect, config, tensor.name);
  const auto mismatch = [&](const auto&... expected) {
    return Error{ErrorCode::mismatch,
                 concat(tensor.file, ": tensor ", in_quotes(tensor.name), " must have ",
                        expected..., ", found the shape ", shape_text(tensor.shape))};
  };
  if (names.size() == 1 && !is_stack) {
    tensor.name = names.front();
    tensors.push_back(std::move(tensor));
    return {};
  }
  if (is_stack && (tensor.shape.size() != 3 || tensor.shape[0] != config.moe.num_experts)) {
    return mismatch("the matrices of ", config.moe.num_experts, " experts");
  }
  std::vector<std::size_t> shape = tensor.shape;
  if (is_stack) shape = {shape[0] * shape[1], shape[2]};
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
  if (shape.empty() || shape.front() != all || all == 0) {
    if (is_stack) return mismatch(all / config.moe.num_experts, " rows to an expert");
    return mismatch(all, " rows");
  }
  tensor.shape = shape;
  std::size_t first = 0;
  for (std::size_t i = 0; i < names.size(); ++i) {
    TensorView& part = tensors.emplace_back(tensor.row_range(first, rows[i]));
    part.name = names[i];
    first += rows[i];
  }
  return {};
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
