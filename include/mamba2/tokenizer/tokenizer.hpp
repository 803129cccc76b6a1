// SPDX-License-Identifier: Apache-2.0
// Text to tokens and back: byte-level BPE as in GPT-2 and GPT-NeoX, from a tokenizer.json or a GGUF
// file.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/linkage.hpp"
#include "mamba2/core/result.hpp"
#include "mamba2/layers/config.hpp"
#include "mamba2/tokenizer/added_tokens.hpp"
#include "mamba2/tokenizer/bpe.hpp"
#include "mamba2/tokenizer/vocabulary.hpp"
#include "mamba2/unicode/utf8.hpp"

#if MAMBA2_HAS_DEFINITIONS
#include "mamba2/core/mapped_file.hpp"
#include "mamba2/io/gguf_metadata.hpp"
#include "mamba2/io/model_path.hpp"
#include "mamba2/io/packed_file.hpp"
#include "mamba2/tokenizer/normalize.hpp"
#include "mamba2/tokenizer/pretokenize.hpp"
#include "mamba2/tokenizer/tokenizer_gguf.hpp"
#include "mamba2/tokenizer/tokenizer_json.hpp"
#endif

namespace mamba2 {
inline namespace MAMBA2_ISA {

namespace detail {
struct TokenizerFile;
}

struct DecodeOptions {
  bool skip_special = true;  ///< leave out special tokens, such as <|endoftext|>
};

/// A vocabulary and the rules for using it: gives the same ids and the same text as the Hugging
/// Face `tokenizers` package does for the same tokenizer.json. Supported are models of type BPE
/// with the ByteLevel pre-tokenizer and decoder, the NFC normalizer or none, added tokens, and
/// post-processors that add nothing (so that no text begins with a token that it does not contain);
/// and their form in GGUF files, tokenizer.ggml.model "gpt2" with pre "gpt-2", "mpt" or "olmo". Any
/// other file is refused by a message that names what is not supported. Immutable: safe to use from
/// many threads.
class Tokenizer {
 public:
  /// Loads a tokenizer.json, or the one in a directory or beside the .safetensors file (or its
  /// index, or the config) of a checkpoint, or the tokenizer of a GGUF file or of a packed model.
  /// Errors: io, malformed, unsupported.
  [[nodiscard]] static Result<Tokenizer> load(const std::filesystem::path& path);

  /// Reads the text of a tokenizer.json; `name` stands for the file in messages.
  /// Errors: malformed, unsupported.
  [[nodiscard]] static Result<Tokenizer> from_json(std::string_view json,
                                                   std::string_view name = "tokenizer.json");

  /// Reads the metadata of a GGUF file; `name` stands for the file in messages.
  /// Errors: malformed, unsupported.
  [[nodiscard]] static Result<Tokenizer> from_gguf(std::span<const std::byte> gguf,
                                                   std::string_view name = "gguf");

  /// The tokens of a text. Each maximal invalid part of its UTF-8 counts as U+FFFD, as Python's
  /// bytes.decode("utf-8", "replace") has it. The names of special tokens in the text become those
  /// tokens. Bytes for which the vocabulary has no token are left out; vocabularies have them all
  /// as a rule.
  [[nodiscard]] std::vector<Token> encode(std::string_view text) const;

  /// The text of some tokens: valid UTF-8, with U+FFFD for each maximal part that is not. Unknown
  /// ids are left out.
  [[nodiscard]] std::string decode(std::span<const Token> tokens, DecodeOptions options = {}) const;

  /// The bytes of a token, which need not be UTF-8; empty for an unknown id.
  [[nodiscard]] std::string_view token_bytes(Token id) const noexcept {
    return vocabulary_.bytes(id);
  }

  /// The largest id + 1. Ids without a token may lie below it.
  [[nodiscard]] std::size_t vocab_size() const noexcept { return vocabulary_.size(); }

  /// Whether a token is no part of the text, such as <|endoftext|>.
  [[nodiscard]] bool is_special(Token id) const noexcept { return vocabulary_.is_special(id); }

  /// The added token of this name ("<|endoftext|>"), or else the token of these bytes (" the").
  [[nodiscard]] std::optional<Token> find(std::string_view text) const;

 private:
  Tokenizer(const detail::TokenizerFile& file, detail::Vocabulary vocabulary, detail::Bpe bpe,
            detail::AddedTokens raw, detail::AddedTokens normalized);

  [[nodiscard]] static Result<Tokenizer> from_file(const Result<detail::TokenizerFile>& file,
                                                   std::string_view name);

  class Encoder;

  std::vector<bool> whole_pieces_;  // by id: whether a piece of these bytes is this token
  detail::Vocabulary vocabulary_;
  detail::Bpe bpe_;
  detail::AddedTokens raw_added_tokens_;
  detail::AddedTokens normalized_added_tokens_;
  bool nfc_;
  bool add_prefix_space_;
  bool use_regex_;
};

/// Decodes tokens one at a time and gives out whole UTF-8 sequences only: what the calls return,
/// put together, is what Tokenizer::decode returns for all tokens with the same options. The
/// tokenizer must outlive it. StoppingDecoder ends at a text, too.
class StreamingDecoder {
 public:
  explicit StreamingDecoder(const Tokenizer& tokenizer, DecodeOptions options = {})
      : tokenizer_(&tokenizer), options_(options) {}

  /// The text that is complete with this token, perhaps none; valid until the next call.
  [[nodiscard]] std::string_view push(Token token) {
    if (options_.skip_special && tokenizer_->is_special(token)) return {};
    return text_.push(tokenizer_->token_bytes(token));
  }

  /// The end: U+FFFD for an incomplete sequence, if there is one. The decoder is as new afterwards.
  [[nodiscard]] std::string_view finish() { return text_.finish(); }

 private:
  const Tokenizer* tokenizer_;
  DecodeOptions options_;
  detail::Utf8Stream text_;
};

#if MAMBA2_HAS_DEFINITIONS

MAMBA2_FUNCTION Tokenizer::Tokenizer(const detail::TokenizerFile& file,
                                     detail::Vocabulary vocabulary, detail::Bpe bpe,
                                     detail::AddedTokens raw, detail::AddedTokens normalized)
    : whole_pieces_(detail::find_whole_pieces(file, vocabulary, bpe)),
      vocabulary_(std::move(vocabulary)),
      bpe_(std::move(bpe)),
      raw_added_tokens_(std::move(raw)),
      normalized_added_tokens_(std::move(normalized)),
      nfc_(file.nfc),
      add_prefix_space_(file.add_prefix_space),
      use_regex_(file.use_regex) {}

MAMBA2_FUNCTION Result<Tokenizer> Tokenizer::load(const std::filesystem::path& path) {
  const std::optional<std::filesystem::path> folder = detail::checkpoint_folder(path);
  const std::filesystem::path file_path = folder ? *folder / "tokenizer.json" : path;
  const Result<MappedFile> file = MappedFile::open(file_path);
  if (!file) return file.error();
  const auto bytes = file->bytes();
  if (is_gguf(bytes)) return from_gguf(bytes, file_path.native());
  if (is_packed(bytes)) {
    const auto packed = PackedFile::parse(bytes, file_path.native());
    if (!packed) return packed.error();
    return from_json(packed->tokenizer_json, file_path.native());
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const bool is_json =
      file_path.extension() == ".json" ||
      text.substr(std::min(text.find_first_not_of(" \t\r\n"), text.size())).starts_with('{');
  if (!is_json) return detail::no_model(path, bytes, "a tokenizer.json, ");
  return from_json(text, file_path.native());
}

MAMBA2_FUNCTION Result<Tokenizer> Tokenizer::from_json(std::string_view json,
                                                       std::string_view name) {
  return from_file(detail::read_tokenizer_json(json, name), name);
}

MAMBA2_FUNCTION Result<Tokenizer> Tokenizer::from_gguf(std::span<const std::byte> gguf,
                                                       std::string_view name) {
  return from_file(detail::read_tokenizer_gguf(gguf, name), name);
}

MAMBA2_FUNCTION Result<Tokenizer> Tokenizer::from_file(const Result<detail::TokenizerFile>& file,
                                                       std::string_view name) {
  if (!file) return file.error();
  Result<detail::Vocabulary> vocabulary = detail::Vocabulary::create(*file, name);
  if (!vocabulary) return std::move(vocabulary).error();
  Result<detail::Bpe> bpe = detail::build_bpe(*file, name);
  if (!bpe) return std::move(bpe).error();
  Result<detail::AddedTokens> raw = detail::build_added_tokens(*file, false, name);
  if (!raw) return std::move(raw).error();
  Result<detail::AddedTokens> normalized = detail::build_added_tokens(*file, true, name);
  if (!normalized) return std::move(normalized).error();
  return Tokenizer(*file, *std::move(vocabulary), *std::move(bpe), *std::move(raw),
                   *std::move(normalized));
}

/// One text on its way to tokens, step by step.
class Tokenizer::Encoder {
 public:
  explicit Encoder(const Tokenizer& tokenizer) : t_(tokenizer) {}

  std::vector<Token> encode(std::string_view text) {
    std::string replaced;
    if (detail::valid_utf8_prefix(text) != text.size()) {
      detail::append_replaced_utf8(text, replaced);
      text = replaced;
    }
    tokens_.reserve(text.size() / 3);
    t_.raw_added_tokens_.split(
        text, [this](std::string_view part) { normalize(part); },
        [this](Token id) { tokens_.push_back(id); });
    return std::move(tokens_);
  }

 private:
  void normalize(std::string_view text) {
    std::string normalized;
    if (t_.nfc_ && detail::find_nfc_join(text) != text.size()) {
      detail::append_nfc(text, normalized);
      text = normalized;
    }
    t_.normalized_added_tokens_.split(
        text, [this](std::string_view part) { pretokenize(part); },
        [this](Token id) { tokens_.push_back(id); });
  }

  void pretokenize(std::string_view text) {
    std::string prefixed;
    if (t_.add_prefix_space_ && text[0] != ' ') {
      prefixed.append(1, ' ').append(text);
      text = prefixed;
    }
    while (!text.empty()) {
      const std::size_t length = t_.use_regex_ ? pretokenizer_.first_piece(text) : text.size();
      merge(text.substr(0, length));
      text.remove_prefix(length);
    }
  }

  void merge(std::string_view piece) {
    // Most pieces of most texts are one token, which takes one look to find instead of many merges.
    const Token whole = t_.vocabulary_.find(piece);
    if (whole != detail::Bpe::kNoToken && t_.whole_pieces_[static_cast<std::size_t>(whole)]) {
      return tokens_.push_back(whole);
    }
    t_.bpe_.encode(piece, scratch_, tokens_);
  }

  const Tokenizer& t_;
  detail::Pretokenizer pretokenizer_;
  detail::Bpe::Scratch scratch_;
  std::vector<Token> tokens_;
};

MAMBA2_FUNCTION std::vector<Token> Tokenizer::encode(std::string_view text) const {
  return Encoder(*this).encode(text);
}

MAMBA2_FUNCTION std::string Tokenizer::decode(std::span<const Token> tokens,
                                              DecodeOptions options) const {
  std::string bytes;
  for (const Token token : tokens) {
    if (options.skip_special && is_special(token)) continue;
    bytes += token_bytes(token);
  }
  if (detail::valid_utf8_prefix(bytes) == bytes.size()) return bytes;
  std::string text;
  detail::append_replaced_utf8(bytes, text);
  return text;
}

MAMBA2_FUNCTION std::optional<Token> Tokenizer::find(std::string_view text) const {
  if (const auto id = raw_added_tokens_.find(text)) return id;
  if (const auto id = normalized_added_tokens_.find(text)) return id;
  const Token id = vocabulary_.find(text);
  if (id == detail::Bpe::kNoToken) return std::nullopt;
  return id;
}

#endif

}  // namespace MAMBA2_ISA
}  // namespace mamba2
