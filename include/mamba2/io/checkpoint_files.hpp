// SPDX-License-Identifier: Apache-2.0
// Which files make up a checkpoint on disk.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "mamba2/core/linkage.hpp"
#include "mamba2/core/mapped_file.hpp"
#include "mamba2/core/result.hpp"
#include "mamba2/io/shard_index.hpp"

namespace mamba2::inline MAMBA2_ISA {
namespace detail {

inline constexpr std::size_t kMaxConfigBytes = std::size_t{1} << 20;
inline constexpr std::size_t kMaxIndexBytes = std::size_t{1} << 23;

/// The parts of a checkpoint; with an index, the shards are in its order.
struct CheckpointFiles {
  bool is_single = false;  // one file that must be all of it: GGUF
  std::filesystem::path config;
  std::vector<std::filesystem::path> shards;
  std::filesystem::path index_file;
  std::optional<ShardIndex> index;
};

[[nodiscard]] inline bool file_exists(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

/// Finds the files of a checkpoint, given its directory, its only .safetensors file, or another
/// file.
[[nodiscard]] Result<CheckpointFiles> locate_checkpoint(const std::filesystem::path& path);

#if MAMBA2_HAS_DEFINITIONS

/// The files of a directory whose names end so, sorted.
[[nodiscard]] inline std::vector<std::filesystem::path> files_with_extension(
    const std::filesystem::path& directory, std::string_view extension) {
  std::vector<std::filesystem::path> files;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->path().extension() == extension) files.push_back(entry->path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

/// Reads the index and names the shards beside it.
[[nodiscard]] inline Result<void> add_indexed_shards(CheckpointFiles& files) {
  const Result<std::string> text = read_text_file(files.index_file, kMaxIndexBytes);
  if (!text) return text.error();
  Result<ShardIndex> index = parse_shard_index(*text, files.index_file.native());
  if (!index) return index.error();
  files.index = *std::move(index);
  for (const std::string& shard : files.index->shards) {
    files.shards.push_back(files.index_file.parent_path() / shard);
  }
  return {};
}

/// The weights of a directory: model.safetensors, else the shards of model.safetensors.index.json,
/// else the only *.safetensors.
[[nodiscard]] inline Result<void> add_weights(CheckpointFiles& files,
                                              const std::filesystem::path& directory) {
  const std::filesystem::path whole = directory / "model.safetensors";
  if (file_exists(whole)) {
    files.shards.push_back(whole);
    return {};
  }
  files.index_file = directory / "model.safetensors.index.json";
  if (file_exists(files.index_file)) return add_indexed_shards(files);

  files.shards = files_with_extension(directory, ".safetensors");
  if (files.shards.size() == 1) return {};
  const std::string expected =
      concat(directory.native(),
             ": expected model.safetensors, model.safetensors.index.json or "
             "one other .safetensors file, found ");
  if (!files.shards.empty()) {
    return Error{ErrorCode::io, concat(expected, files.shards.size(), " without an index")};
  }
  const std::vector<std::filesystem::path> ggufs = files_with_extension(directory, ".gguf");
  if (!ggufs.empty()) {
    return Error{ErrorCode::io, concat(expected, ggufs.front().filename().native(),
                                       ", which must be given by its own path")};
  }
  const std::vector<std::filesystem::path> pickles = files_with_extension(directory, ".bin");
  if (pickles.empty()) return Error{ErrorCode::io, expected + "none"};
  return Error{ErrorCode::unsupported,
               concat(expected, pickles.front().filename().native(),
                      ", a pickle, which must be converted to safetensors first")};
}

MAMBA2_FUNCTION Result<CheckpointFiles> locate_checkpoint(const std::filesystem::path& path) {
  CheckpointFiles files;
  std::error_code error;
  const bool is_directory = std::filesystem::is_directory(path, error);
  if (error) return Error{ErrorCode::io, concat(path.native(), ": ", errno_text(error.value()))};
  files.is_single = !is_directory && path.extension() != ".safetensors";
  if (files.is_single) return files;
  const std::filesystem::path directory = is_directory ? path : path.parent_path();
  files.config = directory / "config.json";
  const std::filesystem::path mistral = directory / "params.json";
  if (!file_exists(files.config) && file_exists(mistral)) files.config = mistral;
  if (is_directory) {
    if (const Result<void> weights = add_weights(files, directory); !weights) {
      return weights.error();
    }
  } else {
    files.shards.push_back(path);
  }
  return files;
}

#endif

}  // namespace detail
}  // namespace mamba2::inline MAMBA2_ISA
