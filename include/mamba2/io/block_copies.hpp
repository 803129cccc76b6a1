// SPDX-License-Identifier: Apache-2.0
// Blocks that layers share, in checkpoints: which of the copies that may be there count.
#pragma once

#include <charconv>
#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "mamba2/core/mapped_file.hpp"
#include "mamba2/io/dialects/names.hpp"
#include "mamba2/io/printable.hpp"
#include "mamba2/io/tensor_view.hpp"
#include "mamba2/io/tied_head.hpp"
#include "mamba2/layers/config.hpp"
#include "mamba2/layers/shared_block.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// The same model where all layers have a place for a block of their own.
[[nodiscard]] inline Config with_own_blocks(Config config) {
  config.shared_block.num_blocks = config.count(LayerKind::shared_block);
  return config;
}

inline void note_passed_over(std::span<const std::string> names, const std::string& file,
                             std::string_view why, std::vector<std::string>& notes) {
  if (names.empty()) return;
  notes.push_back(
      concat(file, ": ", names.size(),
             names.size() == 1 ? " tensor is passed over, " : " tensors are passed over, ", why,
             ": ", in_quotes(names.front()), names.size() == 1 ? "" : ", ..."));
}

/// Of the adapters of one layer that layers hold, those that count are its own, or else those of
/// the first: takes the others out, and notes it. Names: without wrappers, in the dialect.
inline void drop_other_adapters(const DialectNames& names, const Config& config,
                                std::vector<TensorView>& tensors, std::vector<std::string>& notes) {
  if (!config.has(LayerKind::shared_block)) return;
  struct Best {
    std::size_t rank;  // 0: the layer's own; else 1 more than the number of the layer that has it
    std::size_t index;
  };
  std::map<std::string, Best> best;
  std::vector<bool> idle(tensors.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const auto found = find_rename(names, config, tensors[i].name);
    if (!found || !found->rename->of_use) continue;
    const Best here = {found->in == found->layer ? 0 : found->in + 1, i};
    const std::string key = canonical_names(names, config, tensors[i].name).names.front();
    Best& so_far = best.try_emplace(key, here).first->second;
    // Twice the same name is refused later.
    if (here.rank > so_far.rank) idle[i] = true;
    if (here.rank >= so_far.rank) continue;
    idle[so_far.index] = true;
    so_far = here;
  }
  std::vector<TensorView> left;
  std::vector<std::string> passed;
  std::string file;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (idle[i] && passed.empty()) file = tensors[i].file;
    if (idle[i]) passed.push_back(tensors[i].name);
    if (!idle[i]) left.push_back(std::move(tensors[i]));
  }
  tensors = std::move(left);
  note_passed_over(passed, file, "in place of which layers have their own", notes);
}

/// The canonical name of what a tensor of a block is a copy of, where the first `blocks` layers
/// that read one have theirs; nothing where it is no copy.
[[nodiscard]] inline std::optional<std::string> original_of(const Config& config,
                                                            std::size_t blocks,
                                                            std::string_view name) {
  constexpr std::string_view kLayers = "layers.";
  if (blocks == 0 || !name.starts_with(kLayers)) return std::nullopt;
  const std::string_view rest = name.substr(kLayers.size());
  std::size_t layer = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), layer);
  const auto dot = static_cast<std::size_t>(end - rest.data());
  if (error != std::errc() || dot == rest.size() || layer >= config.n_layer) return std::nullopt;
  if (config.kind(layer) != LayerKind::shared_block) return std::nullopt;
  const std::size_t use = config.use_of_block(layer);
  if (use < blocks) return std::nullopt;
  bool is_of_block = false;
  const SharedBlock block(config);
  block_tensors(config, block, [&](const Slot& slot, const auto&) {
    is_of_block = is_of_block || slot.name == rest.substr(dot + 1);
  });
  if (!is_of_block) return std::nullopt;
  return concat(kLayers, config.layer_of_use(use % blocks), rest.substr(dot));
}

/// Gives each layer a block of its own, with a note, where one has copies of other values than the
/// first layer's; else notes copies.
inline void decide_blocks(Config& config, const TensorTable& all, std::span<const MappedFile> files,
                          std::vector<std::string>& notes) {
  const SameValues same(files);
  std::vector<std::string> copies;
  std::string file;
  for (const TensorView& tensor : all.tensors()) {
    const auto original = original_of(config, config.shared_block.num_blocks, tensor.name);
    if (!original) continue;
    if (copies.empty()) file = tensor.file;
    copies.push_back(tensor.name);
    const TensorView* first = all.find(*original);
    if (first == nullptr || same(tensor, *first)) continue;
    config = with_own_blocks(std::move(config));
    notes.push_back(concat(tensor.file, ": tensors ", in_quotes(tensor.name), " and ",
                           in_quotes(*original),
                           " differ, though the config says that they are one: every layer has a "
                           "block of its own"));
    return;
  }
  note_passed_over(copies, file, "which the first layers have, too", notes);
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
