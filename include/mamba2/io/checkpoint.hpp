// SPDX-License-Identifier: Apache-2.0
// A checkpoint: the config and all tensors of a model, complete and of the right shapes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/linkage.hpp"
#include "mamba2/core/mapped_file.hpp"
#include "mamba2/core/result.hpp"
#include "mamba2/io/dialects/dialects.hpp"
#include "mamba2/io/tensor_names.hpp"
#include "mamba2/io/tensor_view.hpp"
#include "mamba2/layers/config.hpp"

#if MAMBA2_HAS_DEFINITIONS
#include "mamba2/io/bitmamba_file.hpp"
#include "mamba2/io/block_copies.hpp"
#include "mamba2/io/checkpoint_files.hpp"
#include "mamba2/io/config_json.hpp"
#include "mamba2/io/generation_config.hpp"
#include "mamba2/io/gguf.hpp"
#include "mamba2/io/gguf_checkpoint.hpp"
#include "mamba2/io/gguf_parts.hpp"
#include "mamba2/io/lora_file.hpp"
#include "mamba2/io/model_path.hpp"
#include "mamba2/io/needed_tensors.hpp"
#include "mamba2/io/packed_file.hpp"
#include "mamba2/io/printable.hpp"
#include "mamba2/io/quantization.hpp"
#include "mamba2/io/safetensors.hpp"
#include "mamba2/io/shard_index.hpp"
#include "mamba2/io/shard_tensors.hpp"
#include "mamba2/io/tied_head.hpp"
#endif

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// The layers first..last run `count` times more, right after themselves, each time with states of
/// their own and the same weights.
struct LayerRepeat {
  std::size_t first = 0;
  std::size_t last = 0;
  std::size_t count = 0;
};

/// The weights of a language model in safetensors, GGUF or a file of BitMamba-2, and its Config.
/// Once made, it holds exactly the tensors that the Config needs, under their canonical names
/// ("embedding.weight", "layers.3.mixer.in_proj.weight", "norm_f.weight", "lm_head.weight"), each
/// of the right shape and of a type that read_floats reads; quantized matrices (quantization.hpp)
/// with their scales. A tied model has no lm_head.weight; it is tied if no head is stored, or the
/// config says so and the head is the same as the embedding, which either then stands for. A
/// model from GGUF has "mixer.A" = -exp(A_log), as it is stored there, in place of "mixer.A_log".
/// Movable; views stay valid.
class Checkpoint {
 public:
  /// Opens a directory (config.json or params.json, and model.safetensors, or the shards of
  /// model.safetensors.index.json, or one other .safetensors file), or one of these files, with the
  /// others beside it (a shard stands for all), or a GGUF file (of several parts any), or one of
  /// BitMamba-2 or a directory with its model.bin; a config.json beside that may say what ends a
  /// text. A generation_config.json beside the config may name more tokens that do. The files stay
  /// mapped and must not change meanwhile. Errors: io (a file is missing or unreadable), malformed,
  /// unsupported (another kind of model or of file), mismatch (tensors that do not fit the config),
  /// invalid_argument (the config). dialects: those that a config.json may be in.
  [[nodiscard]] static Result<Checkpoint> open(
      const std::filesystem::path& path,
      std::span<const Dialect* const> dialects = known_dialects());

  /// A checkpoint in memory: the text of its config, its safetensors files, which must outlive it,
  /// and the text of its generation_config.json, if there is one. Errors as open.
  [[nodiscard]] static Result<Checkpoint> from_bytes(
      std::string_view config_json, std::span<const std::span<const std::byte>> shards,
      std::string_view generation_config_json = {},
      std::span<const Dialect* const> dialects = known_dialects());

  /// A checkpoint in memory: a GGUF file, which must outlive it. `name` stands for the file in
  /// messages. Errors as open.
  [[nodiscard]] static Result<Checkpoint> from_gguf(std::span<const std::byte> gguf,
                                                    std::string_view name = "gguf");

  /// A file of several that are a checkpoint together.
  struct GgufPart {
    std::span<const std::byte> bytes;
    std::string name;
  };
  /// The same in several files, in their order.
  [[nodiscard]] static Result<Checkpoint> from_gguf(std::span<const GgufPart> parts);

  /// A checkpoint in memory: a file of BitMamba-2, which must outlive it. Errors as open.
  [[nodiscard]] static Result<Checkpoint> from_bitmamba(std::span<const std::byte> file,
                                                        std::string_view name = "model.bin");

  /// Adds the adapter of a file (io/lora_file.hpp), which stays mapped and must not change. Errors:
  /// io; malformed; mismatch, for an adapter of another model.
  [[nodiscard]] Result<void> add_lora(const std::filesystem::path& path);
  /// The same of a file in memory, which must outlive the checkpoint.
  [[nodiscard]] Result<void> add_lora(std::span<const std::byte> file, std::string_view name);
  /// Lets layers run more than once. Error: invalid_argument.
  [[nodiscard]] Result<void> repeat(const LayerRepeat& layers);

  Checkpoint(Checkpoint&&) = default;
  Checkpoint& operator=(Checkpoint&&) = default;

  [[nodiscard]] const Config& config() const noexcept { return config_; }

  /// What models of this kind are called: "Mamba-2", "Zamba2", as the file tells.
  [[nodiscard]] const std::string& family() const noexcept { return family_; }

  /// The tensor of a canonical name that the config needs; of any other one that has no name and no
  /// elements. Valid as long as the checkpoint is here.
  [[nodiscard]] const TensorView& tensor(std::string_view name) const {
    const TensorView* found = find(name);
    return found != nullptr ? *found : none_;
  }

  /// The tensor of a canonical name; nullptr if the model has none of that name. conv1d.weight is
  /// (conv_dim, 1, d_conv) or, with the same bytes, (conv_dim, d_conv).
  [[nodiscard]] const TensorView* find(std::string_view name) const { return table_.find(name); }

  /// All tensors, in the order of the network.
  [[nodiscard]] std::span<const TensorView> tensors() const noexcept { return table_.tensors(); }

  /// Gives back the memory that reading this part of a tensor's data took; it can be read again.
  /// Without effect on a checkpoint that was given as bytes.
  void release(std::span<const std::byte> part) const noexcept { release_part(files_, part); }

  /// Bytes of all files of weights together.
  [[nodiscard]] std::uint64_t file_bytes() const noexcept { return file_bytes_; }

  /// What was passed over or decided while opening that somebody may not expect: a line each, with
  /// the file and the tensor or key.
  [[nodiscard]] std::span<const std::string> notes() const noexcept { return notes_; }

 private:
  explicit Checkpoint(Config config) : config_(std::move(config)) {}

  [[nodiscard]] static Result<Checkpoint> open_single(const std::filesystem::path& path);
  [[nodiscard]] static Result<Checkpoint> open_bitmamba(const std::filesystem::path& path,
                                                        MappedFile file);
  [[nodiscard]] static Result<Checkpoint> assemble(Config config, const TensorTable& all,
                                                   std::string_view name,
                                                   std::vector<std::string> notes,
                                                   std::span<const MappedFile> files = {});

  Config config_;
  std::string family_;
  TensorTable table_;
  TensorView none_;
  std::vector<MappedFile> files_;
  std::uint64_t file_bytes_ = 0;
  std::vector<std::string> notes_;
};

#if MAMBA2_HAS_DEFINITIONS

MAMBA2_FUNCTION Result<Checkpoint> Checkpoint::assemble(Config config, const TensorTable& all,
                                                        std::string_view name,
                                                        std::vector<std::string> notes,
                                                        std::span<const MappedFile> files) {
  detail::decide_head(config, all, files, notes);
  const std::size_t blocks = config.shared_block.num_blocks;
  detail::decide_blocks(config, all, files, notes);
  const TensorView* head = all.find(detail::kHeadName);

  std::vector<TensorView> needed;
  const Result<void> complete = expected_tensors(config, [&](const TensorSpec& spec) {
    const TensorView* tensor = detail::find_needed(all, spec.name);
    // Of a tied model either may be left out.
    if (tensor == nullptr && spec.name == detail::kEmbeddingName && config.tie_embeddings) {
      tensor = head;
    }
    // Of a block that layers share, each may have its own.
    const auto original = tensor == nullptr ? detail::original_of(config, blocks, spec.name)
                                            : std::optional<std::string>();
    if (original) tensor = all.find(*original);
    if (tensor == nullptr) {
      return Result<void>(Error{ErrorCode::mismatch,
                                detail::concat(name, ": tensor ", detail::in_quotes(spec.name),
                                               " must be there with shape ",
                                               detail::shape_text(spec.shape), ", found none")});
    }
    Result<void> fits = detail::check_tensor(*tensor, spec);
    if (fits) needed.push_back(*tensor);
    if (fits && (tensor == head || original)) needed.back().name = spec.name;
    return fits;
  });
  if (!complete) return complete.error();

  Checkpoint checkpoint(std::move(config));
  checkpoint.table_ = TensorTable(std::move(needed));
  checkpoint.notes_ = std::move(notes);
  for (const TensorView& tensor : all.tensors()) {
    const bool is_ignored =
        (tensor.name == detail::kHeadName && checkpoint.config_.tie_embeddings) ||
        detail::original_of(checkpoint.config_, blocks, tensor.name);
    if (!is_ignored && checkpoint.find(tensor.name) == nullptr) {
      return Error{ErrorCode::mismatch,
                   detail::concat(tensor.file, ": expected the tensors of the config only, found ",
                                  detail::in_quotes(tensor.name))};
    }
  }
  return checkpoint;
}

#endif

}  // namespace MAMBA2_ISA
}  // namespace mamba2

#if MAMBA2_HAS_DEFINITIONS
#include "mamba2/io/open_checkpoint.hpp"
#endif
