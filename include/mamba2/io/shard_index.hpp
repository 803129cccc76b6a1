// SPDX-License-Identifier: Apache-2.0
// model.safetensors.index.json: which file of a sharded checkpoint holds which tensor.
#pragma once

#include <algorithm>
#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/io/json.hpp"
#include "mamba2/io/json_fields.hpp"
#include "mamba2/io/printable.hpp"
#include "mamba2/io/safetensors.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// The weight_map of an index.
struct ShardIndex {
  std::map<std::string, std::string> shard_of;  ///< by the name of the tensor, as in the files
  std::vector<std::string> shards;              ///< their file names, each once, sorted
};

/// Whether a name from an index is one of a plain file beside it.
[[nodiscard]] inline bool is_plain_file_name(std::string_view name) {
  const bool has_bad_byte = std::any_of(name.begin(), name.end(), [](char c) {
    return c == '/' || c == '\\' || static_cast<unsigned char>(c) < 0x20U;
  });
  return !name.empty() && name != "." && !has_bad_byte && name.find("..") == std::string_view::npos;
}

/// Parses an index. metadata.total_size is informational and not looked at. `file` is the name of
/// the index, for messages. Error malformed: not the form of an index, or a shard outside of its
/// directory.
[[nodiscard]] inline Result<ShardIndex> parse_shard_index(std::string_view json,
                                                          std::string_view file) {
  const Result<Json> document = parse_json(json, file);
  if (!document) return document.error();
  const auto failure = [file](const auto&... reason) {
    return Error{ErrorCode::malformed, concat(file, ": ", reason...)};
  };
  if (!document->is_object()) return failure("expected an object, found ", describe(*document));
  const Json* map = JsonFields(*document, file).find("weight_map");
  if (map == nullptr || !map->is_object()) {
    return failure("weight_map must be an object, found ",
                   map == nullptr ? "no such key" : describe(*map));
  }
  ShardIndex index;
  for (const auto& [tensor, value] : JsonFields(*map, file).entries()) {
    const auto* shard = value.get_ptr<const std::string*>();
    if (shard == nullptr || !is_plain_file_name(*shard)) {
      return failure("weight_map: tensor ", in_quotes(tensor),
                     " must be in a file beside the index, found ", describe(value));
    }
    index.shard_of.emplace(tensor, *shard);
    index.shards.push_back(*shard);
  }
  std::sort(index.shards.begin(), index.shards.end());
  index.shards.erase(std::unique(index.shards.begin(), index.shards.end()), index.shards.end());
  return index;
}

/// Checks that the shards (in the order of index.shards) hold what the index says and nothing else.
[[nodiscard]] inline Result<void> check_shards(const ShardIndex& index,
                                               std::span<const Safetensors> shards,
                                               std::string_view file) {
  std::size_t found = 0;
  for (std::size_t i = 0; i < shards.size(); ++i) {
    for (const TensorView& tensor : shards[i].tensors()) {
      const auto entry = index.shard_of.find(tensor.name);
      if (entry == index.shard_of.end() || entry->second != index.shards[i]) {
        return Error{ErrorCode::malformed,
                     concat(tensor.file, ": tensor ", in_quotes(tensor.name), " must be where ",
                            file, " says, in ",
                            entry == index.shard_of.end() ? "no file" : in_quotes(entry->second),
                            ", found it here")};
      }
      ++found;
    }
  }
  if (found == index.shard_of.size()) return {};
  for (const auto& [tensor, shard] : index.shard_of) {
    const auto at = std::lower_bound(index.shards.begin(), index.shards.end(), shard);
    const auto i = static_cast<std::size_t>(at - index.shards.begin());
    if (shards[i].find(tensor) == nullptr) {
      return Error{ErrorCode::malformed,
                   concat(file, ": tensor ", in_quotes(tensor), " must be in ", in_quotes(shard),
                          ", found no such tensor there")};
    }
  }
  return {};
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
