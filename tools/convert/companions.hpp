// SPDX-License-Identifier: Apache-2.0
// What lies beside a model's weights: its tokenizer, special tokens, and the metadata of GGUF.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <mamba2/export.hpp>
#include <mamba2/io/checkpoint_files.hpp>
#include <mamba2/io/gguf_checkpoint.hpp>
#include <mamba2/io/gguf_parts.hpp>
#include <mamba2/io/json.hpp>
#include <mamba2/io/json_fields.hpp>
#include <mamba2/io/stand_in.hpp>
#include <mamba2/mamba2.hpp>
#include <mamba2/tokenizer/tokenizer_gguf.hpp>
#include <mamba2/tokenizer/tokenizer_source.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace convert {

/// The path of a checkpoint, as far as it is not its tensors. Made for none (random weights), it
/// has nothing.
class Companions {
 public:
  Companions() = default;

  /// Errors: io, malformed.
  [[nodiscard]] static mamba2::Result<Companions> open(const std::filesystem::path& path) {
    const auto files = mamba2::detail::locate_checkpoint(path);
    if (!files) return files.error();
    Companions companions;
    const auto read = !files->single.empty() && !mamba2::detail::is_bitmamba(files->single)
                          ? companions.read_gguf(files->single)
                          : companions.read_folder(files->config, files->single.empty());
    if (!read) return read.error();
    return companions;
  }

  [[nodiscard]] const mamba2::SpecialTokens& special() const noexcept { return special_; }

  /// The metadata, if the checkpoint is GGUF; else nullptr.
  [[nodiscard]] const mamba2::GgufMetadata* metadata() const noexcept {
    return metadata_ ? &*metadata_ : nullptr;
  }

  /// Where config.json lies; empty if the checkpoint is GGUF.
  [[nodiscard]] const std::filesystem::path& folder() const noexcept { return folder_; }

  /// The text of config.json; empty if the checkpoint is GGUF.
  [[nodiscard]] const std::string& config_text() const noexcept { return config_text_; }

  /// Whether there is a tokenizer, and what the file with it is called.
  [[nodiscard]] bool has_tokenizer() const noexcept { return !tokenizer_.empty(); }
  [[nodiscard]] const std::string& tokenizer_file() const noexcept { return tokenizer_.native(); }
  /// Forgets the tokenizer.
  void drop_tokenizer() { tokenizer_.clear(); }

  /// Errors: those of the readers.
  [[nodiscard]] mamba2::Result<mamba2::detail::TokenizerFile> tokenizer() const {
    auto file = read_tokenizer();
    if (!file) return with_hint(std::move(file).error());
    return file;
  }

  /// The text of tokenizer.json: the file's, or one made of another form. Errors: those of the
  /// readers; unsupported, for what tokenizer.json cannot say.
  [[nodiscard]] mamba2::Result<std::string> tokenizer_text() const {
    if (is_tokenizer_json()) {
      auto text = read_text();
      return text ? text : with_hint(std::move(text).error());
    }
    const auto file = tokenizer();
    if (!file) return file.error();
    auto text = mamba2::detail::tokenizer_json(*file, tokenizer_.native());
    return text ? text : with_hint(std::move(text).error());
  }

  /// The way out, where a tokenizer cannot be had; said once.
  [[nodiscard]] static mamba2::Error with_hint(mamba2::Error error) {
    constexpr std::string_view kHint = " (--no-tokenizer leaves it out)";
    if (!error.message.ends_with(kHint)) error.message += kHint;
    return error;
  }

 private:
  [[nodiscard]] mamba2::Result<std::string> read_text() const {
    constexpr std::size_t kMaxBytes = std::size_t{1} << 28;
    auto text = mamba2::read_text_file(tokenizer_, kMaxBytes);
    if (!text) return text;
    const std::string_view instead = mamba2::detail::stand_in(*text);
    if (instead.empty()) return text;
    return mamba2::Error{mamba2::ErrorCode::malformed,
                         mamba2::detail::concat(tokenizer_.native(), ": ", instead)};
  }

  [[nodiscard]] bool is_tokenizer_json() const {
    return !metadata_ && tokenizer_.extension() == ".json" &&
           tokenizer_.filename() != mamba2::detail::kTekkenFile;
  }

  [[nodiscard]] mamba2::Result<mamba2::detail::TokenizerFile> read_tokenizer() const {
    if (metadata_) return mamba2::detail::read_tokenizer_gguf(file_->bytes(), tokenizer_.native());
    const auto file = mamba2::MappedFile::open(tokenizer_);
    if (!file) return file.error();
    return mamba2::detail::read_tokenizer(file->bytes(), tokenizer_);
  }

  /// The token of an id that was found, unless there can be none.
  [[nodiscard]] static std::optional<mamba2::Token> token_of(std::optional<std::uint64_t> id) {
    constexpr std::uint64_t kMaxId = mamba2::detail::TokenizerFile::kMaxId;
    if (!id || *id > kMaxId) return std::nullopt;
    return static_cast<mamba2::Token>(*id);
  }

  mamba2::Result<void> read_gguf(const std::filesystem::path& model) {
    const std::filesystem::path path = mamba2::detail::first_gguf_part(model);
    auto file = mamba2::MappedFile::open(path);
    if (!file) return file.error();
    auto metadata = mamba2::GgufMetadata::parse(file->bytes(), path.native());
    if (!metadata) return metadata.error();
    file_ = *std::move(file);
    metadata_ = *std::move(metadata);
    const auto token = [&](std::string_view name) {
      const auto* value = metadata_->find(mamba2::detail::gguf_token_key(name));
      return token_of(value != nullptr ? value->integer() : std::nullopt);
    };
    special_ = {token("bos"), token("padding"), token("unknown")};
    if (metadata_->find(mamba2::detail::kGgufTokens) != nullptr) tokenizer_ = path;
    return {};
  }

  /// config: of BitMamba-2 there need be none.
  mamba2::Result<void> read_folder(const std::filesystem::path& config, bool is_needed) {
    folder_ = config.parent_path().empty() ? "." : config.parent_path();
    const auto tokenizer = mamba2::detail::tokenizer_in(folder_);
    if (mamba2::detail::file_exists(tokenizer)) tokenizer_ = tokenizer;
    if (!is_needed && !mamba2::detail::file_exists(config)) return {};
    const auto text = mamba2::read_text_file(config, mamba2::detail::kMaxConfigBytes);
    if (!text) return text.error();
    const auto json = mamba2::detail::parse_json(*text, config.native());
    if (!json) return json.error();
    const mamba2::detail::JsonFields fields(*json, config.native());
    const auto token = [&](std::string_view key) -> std::optional<mamba2::Token> {
      const auto* value = fields.find(key);
      const auto* id = value == nullptr ? nullptr : value->get_ptr<const std::uint64_t*>();
      return token_of(id != nullptr ? std::optional(*id) : std::nullopt);
    };
    config_text_ = *text;
    special_ = {token("bos_token_id"), token("pad_token_id"), std::nullopt};
    return {};
  }

  mamba2::SpecialTokens special_;
  std::filesystem::path folder_;
  std::string config_text_;
  std::filesystem::path tokenizer_;  // the file that has it; empty: there is none
  std::optional<mamba2::MappedFile> file_;
  std::optional<mamba2::GgufMetadata> metadata_;
};

}  // namespace convert
