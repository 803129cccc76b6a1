// SPDX-License-Identifier: Apache-2.0
// Which files make up a checkpoint on disk.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "mamba2/core/linkage.hpp"
#include "mamba2/core/mapped_file.hpp"
#include "mamba2/core/result.hpp"
#include "mamba2/io/model_path.hpp"
#include "mamba2/io/printable.hpp"
#include "mamba2/io/shard_index.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

inline constexpr std::size_t kMaxConfigBytes = std::size_t{1} << 20;
inline constexpr std::size_t kMaxIndexBytes = std::size_t{1} << 23;

/// The parts of a checkpoint; with an index, the shards are in its order.
struct CheckpointFiles {
  std::filesystem::path single;  // one file that is all of it, GGUF or BitMamba-2's; else empty
  std::filesystem::path config;  // beside a file of BitMamba-2 it may be missing
  std::vector<std::filesystem::path> shards;
  std::filesystem::path index_file;
  std::optional<ShardIndex> index;
  std::vector<std::string> notes;  // what was decided
};

/// Whether a folder has an entry of that name, even if it is a link to nowhere: opening it says so.
[[nodiscard]] inline bool file_exists(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::exists(std::filesystem::symlink_status(path, ignored));
}

/// Finds the files of a checkpoint, given its directory, one of its files, or another file.
[[nodiscard]] Result<CheckpointFiles> locate_checkpoint(const std::filesystem::path& path);

#if MAMBA2_HAS_DEFINITIONS

/// What is in a directory, sorted.
[[nodiscard]] inline std::vector<std::filesystem::path> entries_of(
    const std::filesystem::path& directory) {
  std::vector<std::filesystem::path> entries;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    entries.push_back(entry->path());
  }
  std::sort(entries.begin(), entries.end());
  return entries;
}

/// Reads the index of a file.
[[nodiscard]] inline Result<ShardIndex> read_shard_index(const std::filesystem::path& file) {
  const Result<std::string> text = read_text_file(file, kMaxIndexBytes);
  if (!text) return text.error();
  return parse_shard_index(*text, file.native());
}

/// Adds an index and the shards beside it. Error io: one is not there.
[[nodiscard]] inline Result<void> add_indexed_shards(CheckpointFiles& files,
                                                     const std::filesystem::path& index_file,
                                                     Result<ShardIndex> index) {
  if (!index) return std::move(index).error();
  files.index_file = index_file;
  files.index = *std::move(index);
  std::size_t missing = 0;
  std::string first_missing;
  for (const std::string& shard : files.index->shards) {
    files.shards.push_back(index_file.parent_path() / shard);
    if (file_exists(files.shards.back())) continue;
    if (missing++ == 0) first_missing = in_quotes(shard);
  }
  if (missing == 0) return {};
  return Error{ErrorCode::io, concat(index_file.native(), ": expected the ", files.shards.size(),
                                     " files that it names beside it, found ",
                                     files.shards.size() - missing, ", without ", first_missing)};
}

[[nodiscard]] inline bool is_adapter_file(const std::filesystem::path& path) {
  return path.filename() == "adapter_model.safetensors";
}

[[nodiscard]] inline Error adapter_error(const std::filesystem::path& path) {
  return Error{ErrorCode::unsupported,
               concat(path.native(),
                      ": expected a model, found an adapter (LoRA), which must be "
                      "merged into its base model first")};
}

/// The error for a directory without weights, by what it has instead.
[[nodiscard]] inline Error no_weights(const std::filesystem::path& directory,
                                      std::span<const std::filesystem::path> entries,
                                      const std::string& expected) {
  if (file_exists(directory / "adapter_config.json")) return adapter_error(directory);
  const auto has_extension = [&entries](std::string_view extension) {
    return std::find_if(entries.begin(), entries.end(),
                        [extension](const auto& entry) { return entry.extension() == extension; });
  };
  if (const auto gguf = has_extension(".gguf"); gguf != entries.end()) {
    return Error{ErrorCode::io, concat(expected, gguf->filename().native(),
                                       ", which must be given by its own path")};
  }
  for (const std::string_view extension : {".bin", ".pt", ".pth"}) {
    if (const auto pickle = has_extension(extension); pickle != entries.end()) {
      if (is_bitmamba(*pickle)) {
        return Error{ErrorCode::io, concat(expected, pickle->filename().native(),
                                           ", which must be given by its own path")};
      }
      return Error{ErrorCode::unsupported,
                   concat(expected, pickle->filename().native(),
                          ", a pickle, which must be converted to safetensors first")};
    }
  }
  // One folder too high. Caches of downloads have each version of a model in "snapshots".
  for (const std::filesystem::path& above : {directory, directory / "snapshots"}) {
    for (const std::filesystem::path& folder : entries_of(above)) {
      if (!file_exists(folder / kConfigFile) && !file_exists(folder / kMistralFile)) continue;
      return Error{ErrorCode::io, concat(expected, "none, but a folder with a config: ",
                                         folder.lexically_relative(directory).native())};
    }
  }
  return Error{ErrorCode::io, expected + "none"};
}

/// The weights of a directory: model.safetensors, else the shards of model.safetensors.index.json,
/// else the only *.safetensors.
[[nodiscard]] inline Result<void> add_weights_of_folder(CheckpointFiles& files,
                                                        const std::filesystem::path& directory) {
  const std::filesystem::path whole = directory / kWholeFile;
  const std::filesystem::path index_file = directory / kIndexFile;
  if (file_exists(whole)) {
    files.shards.push_back(whole);
    if (file_exists(index_file)) {
      files.notes.push_back(
          concat(index_file.native(), ": is passed over, as ", kWholeFile, " is there, too"));
    }
    return {};
  }
  if (file_exists(index_file)) {
    return add_indexed_shards(files, index_file, read_shard_index(index_file));
  }
  const std::vector<std::filesystem::path> entries = entries_of(directory);
  std::copy_if(entries.begin(), entries.end(), std::back_inserter(files.shards),
               [](const auto& entry) { return entry.extension() == ".safetensors"; });
  if (files.shards.size() == 1) {
    if (is_adapter_file(files.shards[0])) return adapter_error(directory);
    return {};
  }
  const std::string expected = concat(directory.native(), ": expected ", kWholeFile, ", ",
                                      kIndexFile, " or one other .safetensors file, found ");
  if (files.shards.empty()) return no_weights(directory, entries, expected);
  return Error{ErrorCode::io, concat(expected, files.shards.size(), " without an index")};
}

/// Whether a folder has no weights but those of BitMamba-2.
[[nodiscard]] inline bool has_bitmamba_only(const std::filesystem::path& folder) {
  return is_bitmamba(folder / kBitMambaFile) && !file_exists(folder / kWholeFile) &&
         !file_exists(folder / kIndexFile);
}

/// The weights of a .safetensors file: the shards of the index beside it that names it as one, else
/// the file.
[[nodiscard]] inline Result<void> add_weights_of_file(CheckpointFiles& files,
                                                      const std::filesystem::path& file) {
  const std::filesystem::path index_file = file.parent_path() / kIndexFile;
  if (is_adapter_file(file)) return adapter_error(file);
  if (file.filename() != kWholeFile && file_exists(index_file)) {
    Result<ShardIndex> index = read_shard_index(index_file);
    if (!index) return std::move(index).error();
    if (std::binary_search(index->shards.begin(), index->shards.end(), file.filename().native())) {
      return add_indexed_shards(files, index_file, std::move(index));
    }
  }
  files.shards.push_back(file);
  return {};
}

MAMBA2_FUNCTION Result<CheckpointFiles> locate_checkpoint(const std::filesystem::path& path) {
  CheckpointFiles files;
  std::error_code error;
  const bool is_directory = std::filesystem::is_directory(path, error);
  if (error) return Error{ErrorCode::io, concat(path.native(), ": ", errno_text(error.value()))};
  const std::optional<std::filesystem::path> folder = checkpoint_folder(path);
  if (!folder) {
    files.single = path;
    return files;
  }
  if (!is_directory ? is_bitmamba(path) : has_bitmamba_only(*folder)) {
    files.single = is_directory ? *folder / kBitMambaFile : path;
    files.config = *folder / kConfigFile;  // need not be there
    return files;
  }
  files.config = *folder / kConfigFile;
  const std::filesystem::path mistral = *folder / kMistralFile;
  if (!file_exists(files.config) && file_exists(mistral)) files.config = mistral;
  Result<void> weights;
  if (!is_directory && is_config_file(path)) {
    files.config = path;
    weights = add_weights_of_folder(files, *folder);
  } else if (is_directory) {
    weights = add_weights_of_folder(files, *folder);
  } else if (is_index_file(path)) {
    weights = add_indexed_shards(files, path, read_shard_index(path));
  } else {
    weights = add_weights_of_file(files, path);
  }
  if (!weights) return weights.error();
  return files;
}

#endif

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
