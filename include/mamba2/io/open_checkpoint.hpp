// SPDX-License-Identifier: Apache-2.0
// How a Checkpoint comes from each kind of files, and what is added to one; part of checkpoint.hpp.
#pragma once

#include "mamba2/io/checkpoint.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

MAMBA2_FUNCTION Result<Checkpoint> Checkpoint::from_bytes(
    std::string_view config_json, std::span<const std::span<const std::byte>> shards,
    std::string_view generation_config_json, std::span<const Dialect* const> dialects) {
  std::vector<std::string> notes;
  Result<detail::ConfigRead> read =
      detail::read_config(config_json, "config.json", &notes, dialects);
  if (!read) return std::move(read).error();
  Config& config = read->config;
  if (!generation_config_json.empty()) {
    detail::add_generation_config(generation_config_json, "generation_config.json", config, notes);
  }
  const Result<Quantization> quantization = parse_quantization(config_json);
  if (!quantization) return quantization.error();
  std::vector<Safetensors> parsed;
  std::uint64_t file_bytes = 0;
  for (const std::span<const std::byte> bytes : shards) {
    Result<Safetensors> shard = Safetensors::parse(
        bytes, detail::concat("shard ", parsed.size() + 1, " of ", shards.size()));
    if (!shard) return shard.error();
    parsed.push_back(*std::move(shard));
    file_bytes += bytes.size();
  }
  const Result<TensorTable> tensors =
      detail::merge_shards(parsed, *read->dialect, config, *quantization, "config.json", notes);
  if (!tensors) return tensors.error();
  Result<Checkpoint> checkpoint =
      assemble(std::move(config), *tensors, "checkpoint", std::move(notes));
  if (checkpoint) {
    checkpoint->family_ = read->dialect->family;
    checkpoint->file_bytes_ = file_bytes;
  }
  return checkpoint;
}

MAMBA2_FUNCTION Result<Checkpoint> Checkpoint::open(const std::filesystem::path& path,
                                                    std::span<const Dialect* const> dialects) {
  const Result<detail::CheckpointFiles> files = detail::locate_checkpoint(path);
  if (!files) return files.error();
  if (!files->single.empty()) return open_single(files->single);
  const Result<std::string> text = read_text_file(files->config, detail::kMaxConfigBytes);
  if (!text) return text.error();
  std::vector<std::string> notes = files->notes;
  Result<detail::ConfigRead> read =
      detail::read_config(*text, files->config.native(), &notes, dialects);
  if (!read) return std::move(read).error();
  Config& config = read->config;
  detail::add_generation_config_beside(files->config, config, notes);
  // Before the weights, whose types may be unknown: it says why.
  const Result<Quantization> quantization = parse_quantization(*text, files->config.native());
  if (!quantization) return quantization.error();

  std::vector<MappedFile> mapped;
  std::vector<Safetensors> parsed;
  std::uint64_t file_bytes = 0;
  for (const std::filesystem::path& shard_path : files->shards) {
    Result<MappedFile> file = MappedFile::open(shard_path);
    if (!file) return file.error();
    Result<Safetensors> shard = Safetensors::parse(file->bytes(), shard_path.native());
    if (!shard) return shard.error();
    file_bytes += file->bytes().size();
    mapped.push_back(*std::move(file));
    parsed.push_back(*std::move(shard));
  }
  if (files->index) {
    const Result<void> consistent =
        detail::check_shards(*files->index, parsed, files->index_file.native());
    if (!consistent) return consistent.error();
  }
  const Result<TensorTable> tensors = detail::merge_shards(
      parsed, *read->dialect, config, *quantization, files->config.native(), notes);
  if (!tensors) return tensors.error();
  Result<Checkpoint> checkpoint =
      assemble(std::move(config), *tensors, path.native(), std::move(notes), mapped);
  if (checkpoint) {
    checkpoint->files_ = std::move(mapped);
    checkpoint->family_ = read->dialect->family;
    checkpoint->file_bytes_ = file_bytes;
  }
  return checkpoint;
}

MAMBA2_FUNCTION Result<Checkpoint> Checkpoint::from_gguf(std::span<const std::byte> gguf,
                                                         std::string_view name) {
  const GgufPart whole{gguf, std::string(name)};
  return from_gguf(std::span(&whole, 1));
}

MAMBA2_FUNCTION Result<Checkpoint> Checkpoint::from_gguf(std::span<const GgufPart> parts) {
  std::vector<Gguf> files;
  std::uint64_t file_bytes = 0;
  for (const GgufPart& part : parts) {
    Result<GgufMetadata> metadata = GgufMetadata::parse(part.bytes, part.name);
    if (!metadata) return std::move(metadata).error();
    // First: a file of another architecture may have types of tensors that are unknown here.
    if (files.empty()) {
      if (const Result<void> model = check_gguf_model(*metadata); !model) return model.error();
    }
    Result<Gguf> file = Gguf::parse(part.bytes, *std::move(metadata));
    if (!file) return std::move(file).error();
    files.push_back(*std::move(file));
    file_bytes += part.bytes.size();
  }
  const Result<Gguf> parsed = join_gguf_parts(std::move(files));
  if (!parsed) return parsed.error();
  const std::string& name = parsed->metadata().file();
  std::vector<std::string> notes;
  Result<Config> config = gguf_config(*parsed, &notes);
  if (!config) return config.error();
  const Result<TensorTable> tensors = gguf_tensors(*parsed, *config);
  if (!tensors) return tensors.error();
  Result<Checkpoint> checkpoint = assemble(*std::move(config), *tensors, name, std::move(notes));
  if (checkpoint) {
    const auto architecture = detail::gguf_architecture(parsed->metadata());
    checkpoint->family_ = detail::find_gguf_dialect(architecture)->family;
    checkpoint->file_bytes_ = file_bytes;
  }
  return checkpoint;
}

MAMBA2_FUNCTION Result<Checkpoint> Checkpoint::from_bitmamba(std::span<const std::byte> file,
                                                             std::string_view name) {
  Result<BitMambaFile> parsed = BitMambaFile::parse(file, name);
  if (!parsed) return std::move(parsed).error();
  Result<Checkpoint> checkpoint = assemble(std::move(parsed->config), parsed->tensors, name, {});
  if (checkpoint) {
    checkpoint->family_ = "BitMamba-2";
    checkpoint->file_bytes_ = file.size();
  }
  return checkpoint;
}

MAMBA2_FUNCTION Result<void> Checkpoint::add_lora(std::span<const std::byte> file,
                                                  std::string_view name) {
  Result<LoraFile> lora = LoraFile::parse(file, name, config_);
  if (!lora) return std::move(lora).error();
  std::vector<TensorView>& tensors = lora->tensors;
  tensors.insert(tensors.begin(), table_.tensors().begin(), table_.tensors().end());
  Result<Checkpoint> both =
      assemble(std::move(lora->config), TensorTable(std::move(tensors)), name, notes_);
  if (!both) return std::move(both).error();
  both->files_ = std::move(files_);
  both->family_ = std::move(family_);
  both->file_bytes_ = file_bytes_ + file.size();
  *this = *std::move(both);
  return {};
}

MAMBA2_FUNCTION Result<void> Checkpoint::add_lora(const std::filesystem::path& path) {
  Result<MappedFile> file = MappedFile::open(path);
  if (!file) return std::move(file).error();
  Result<void> added = add_lora(file->bytes(), path.native());
  if (added) files_.push_back(*std::move(file));
  return added;
}

MAMBA2_FUNCTION Result<void> Checkpoint::repeat(const LayerRepeat& layers) {
  if (layers.count == 0) return {};
  Config repeated = config_;
  repeated.repeat_start = layers.first;
  repeated.repeat_end = layers.last;
  repeated.repeat_count = layers.count;
  if (Result<void> valid = repeated.validate(); !valid) return valid;
  config_ = std::move(repeated);
  return {};
}

MAMBA2_FUNCTION Result<Checkpoint> Checkpoint::open_single(const std::filesystem::path& path) {
  const auto paths = detail::gguf_files(path);
  if (!paths) return paths.error();
  std::vector<MappedFile> files;
  std::vector<GgufPart> parts;
  for (const std::filesystem::path& part : *paths) {
    Result<MappedFile> file = MappedFile::open(part);
    if (!file) return file.error();
    if (is_packed(file->bytes())) {
      return Error{ErrorCode::unsupported,
                   detail::concat(part.native(),
                                  ": is a packed model, which runs but holds no tensors to look at "
                                  "or to convert; give the model that it was packed from")};
    }
    if (detail::is_bitmamba(file->bytes())) return open_bitmamba(part, *std::move(file));
    if (!is_gguf(file->bytes())) return detail::no_model(part, file->bytes());
    parts.push_back({file->bytes(), part.native()});
    files.push_back(*std::move(file));
  }
  Result<Checkpoint> checkpoint = from_gguf(parts);
  if (checkpoint) checkpoint->files_ = std::move(files);
  return checkpoint;
}

MAMBA2_FUNCTION Result<Checkpoint> Checkpoint::open_bitmamba(const std::filesystem::path& path,
                                                             MappedFile file) {
  Result<Checkpoint> checkpoint = from_bitmamba(file.bytes(), path.native());
  if (!checkpoint) return checkpoint;
  const auto config = path.parent_path() / detail::kConfigFile;
  detail::add_eos_tokens_of(config, checkpoint->config_, checkpoint->notes_);
  detail::add_generation_config_beside(config, checkpoint->config_, checkpoint->notes_);
  checkpoint->files_.push_back(std::move(file));
  return checkpoint;
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2
