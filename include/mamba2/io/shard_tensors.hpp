// SPDX-License-Identifier: Apache-2.0
// The tensors of all safetensors files of a checkpoint under this library's names, without those
// that change nothing.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/io/block_copies.hpp"
#include "mamba2/io/dialects/dialect.hpp"
#include "mamba2/io/foreign_scales.hpp"
#include "mamba2/io/printable.hpp"
#include "mamba2/io/quantization.hpp"
#include "mamba2/io/safetensors.hpp"
#include "mamba2/io/tensor_names.hpp"
#include "mamba2/io/tensor_view.hpp"
#include "mamba2/layers/config.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// Gives the filters of the convolution the shape that they have in PyTorch, (channels, 1, taps).
/// MLX has the middle dimension last and some writers drop it: the same bytes, a filter after the
/// other.
inline void normalize_filters(TensorView& tensor, const Config& config) {
  const auto spec = expected_tensor(config, tensor.name);
  if (!spec || spec->role != Role::taps) return;
  const std::size_t channels = spec->shape.front();
  const std::size_t taps = spec->shape.back();
  const bool is_other = tensor.shape == std::vector{channels, taps} ||
                        tensor.shape == std::vector{channels, taps, std::size_t{1}};
  if (is_other) tensor.shape = spec->shape;
}

/// Whether a model would be the same with and without a tensor, which the config does not ask for:
///
/// * Buffers of constants that the layers with the parameters would have made themselves: the
///   frequencies of rotary embeddings and the counter of batch normalization. Such a layer is no
///   part of Mamba-2, and its parameters are refused.
/// * Zeros to add: the bias of a linear layer or of the convolution. The bias of a norm is none of
///   these, as norms that have one (LayerNorm) are computed otherwise.
///
/// * What the dialect passes over.
///
/// Anything else might be meant to count, copies of the weights by optimizers and averages among
/// it: only who made the file knows which are to run.
[[nodiscard]] inline bool changes_nothing(const TensorView& tensor, const Config& config,
                                          std::string_view passed_over) {
  const std::string_view name = tensor.name;
  if (!passed_over.empty() && name.starts_with(passed_over)) return true;
  if (name.ends_with(".inv_freq") || name.ends_with(".num_batches_tracked")) return true;
  Config with_biases = config;
  with_biases.bias = with_biases.conv_bias = with_biases.mlp.bias = true;
  with_biases.short_conv.bias = true;
  with_biases.attention.qkv_proj_bias = with_biases.attention.out_proj_bias = true;
  const auto spec = expected_tensor(with_biases, name);
  const bool is_bias = name == "lm_head.bias" ||
                       (spec && spec->role == Role::bias && !expected_tensor(config, name));
  return is_bias && std::all_of(tensor.data.begin(), tensor.data.end(),
                                [](std::byte byte) { return byte == std::byte{0}; });
}

/// Takes the tensors out that change nothing, and notes it.
inline void drop_idle_tensors(std::vector<TensorView>& tensors, const Config& config,
                              std::string_view passed_over, std::vector<std::string>& notes) {
  const auto idle = std::stable_partition(
      tensors.begin(), tensors.end(),
      [&](const TensorView& tensor) { return !changes_nothing(tensor, config, passed_over); });
  const auto count = tensors.end() - idle;
  if (count == 0) return;
  const std::string first = in_quotes(idle->name);
  notes.push_back(concat(
      idle->file, ": ",
      count == 1
          ? concat("tensor ", first, " is passed over, as it changes nothing")
          : concat(count, " tensors are passed over, as they change nothing, the first ", first)));
  tensors.erase(idle, tensors.end());
}

/// All tensors of all shards under their canonical names, the filters of convolutions in one shape,
/// quantized matrices as config.json says, or as their tensors do (foreign_scales.hpp).
/// What is passed over is noted. `config_name` is the name of config.json, for messages. Errors:
/// malformed (two tensors of one name), those of add_renamed, check_quantization and join_scales.
[[nodiscard]] inline Result<TensorTable> merge_shards(std::span<const Safetensors> shards,
                                                      const Dialect& dialect, const Config& config,
                                                      const Quantization& quantization,
                                                      std::string_view config_name,
                                                      std::vector<std::string>& notes) {
  std::vector<TensorView> stored;
  for (const Safetensors& shard : shards) {
    stored.insert(stored.end(), shard.tensors().begin(), shard.tensors().end());
  }
  Result<std::vector<TensorView>> whole = join_foreign_scales(std::move(stored));
  if (!whole) return std::move(whole).error();
  for (TensorView& tensor : *whole) tensor.name = canonical_name(tensor.name);
  drop_other_adapters(dialect.names, config, *whole, notes);
  // Blocks that layers share may be there several times.
  const Config named_in = with_own_blocks(config);
  std::vector<TensorView> tensors;
  for (TensorView& tensor : *whole) {
    const Result<void> added = add_renamed(dialect.names, named_in, std::move(tensor), tensors);
    if (!added) return added.error();
    normalize_filters(tensors.back(), named_in);
  }
  drop_idle_tensors(tensors, named_in, dialect.names.passed_over, notes);
  const Result<void> named = check_quantization(quantization, config, config_name);
  if (!named) return named.error();
  TensorTable table(std::move(tensors));
  if (const TensorView* twice = table.duplicate()) {
    return Error{ErrorCode::malformed,
                 concat(twice->file, ": tensor ", in_quotes(twice->name),
                        " must occur once under one of its names, found it also in ",
                        table.find(twice->name)->file)};
  }
  return join_scales(std::move(table), quantization, config_name);
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
