// SPDX-License-Identifier: Apache-2.0
// What a model may be given as: the one list of it, and the folder that such a path stands for.
#pragma once

#include <cstddef>
#include <cstring>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include "mamba2/core/mapped_file.hpp"
#include "mamba2/core/result.hpp"
#include "mamba2/io/stand_in.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// The list, for messages.
inline constexpr std::string_view kModelForms =
    "a folder with config.json and *.safetensors, one of these files, a GGUF file, a model.bin of "
    "BitMamba-2 or a packed file of mamba2-quantize --pack";

inline constexpr std::string_view kWholeFile = "model.safetensors";
inline constexpr std::string_view kIndexFile = "model.safetensors.index.json";
inline constexpr std::string_view kConfigFile = "config.json";
inline constexpr std::string_view kMistralFile = "params.json";
inline constexpr std::string_view kBitMambaFile = "model.bin";

[[nodiscard]] inline bool is_config_file(const std::filesystem::path& path) {
  return path.filename() == kConfigFile || path.filename() == kMistralFile;
}

[[nodiscard]] inline bool is_index_file(const std::filesystem::path& path) {
  return path.filename().native().ends_with(".safetensors.index.json");
}

/// Whether a file is one of BitMamba-2, by its first bytes.
[[nodiscard]] inline bool is_bitmamba(std::span<const std::byte> file) noexcept {
  constexpr std::string_view kMagic = "2TIB";
  return file.size() >= kMagic.size() && std::memcmp(file.data(), kMagic.data(), 4) == 0;
}
[[nodiscard]] inline bool is_bitmamba(const std::filesystem::path& path) {
  const Result<MappedFile> file = MappedFile::open(path);
  return file && is_bitmamba(file->bytes());
}

/// The folder of weights, config and tokenizer that a path stands for: the folder itself, or that
/// of its config, of its index, of one of its *.safetensors or of a file of BitMamba-2. Nothing for
/// any other file, and for one that is not there.
[[nodiscard]] inline std::optional<std::filesystem::path> checkpoint_folder(
    const std::filesystem::path& path) {
  std::error_code ignored;
  const std::filesystem::file_status status = std::filesystem::status(path, ignored);
  if (std::filesystem::is_directory(status)) return path;
  if (!std::filesystem::exists(status) ||
      (path.extension() != ".safetensors" && !is_index_file(path) && !is_config_file(path) &&
       !is_bitmamba(path))) {
    return std::nullopt;
  }
  const std::filesystem::path folder = path.parent_path();
  return folder.empty() ? "." : folder;
}

/// The error for a file that is no model, by its bytes. `also` comes before the list of what may be
/// given.
[[nodiscard]] inline Error no_model(const std::filesystem::path& path,
                                    std::span<const std::byte> bytes, std::string_view also = "") {
  const std::string_view instead = stand_in(bytes);
  if (!instead.empty()) {
    return Error{ErrorCode::malformed, concat(path.native(), ": ", instead)};
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const bool is_pickle = text.starts_with("PK\x03\x04") || text.starts_with("\x80\x02");
  return Error{
      ErrorCode::unsupported,
      concat(path.native(), ": expected ", also, kModelForms,
             is_pickle ? ", found a pickle, which must be converted to safetensors first" : "")};
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
