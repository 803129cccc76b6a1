// SPDX-License-Identifier: Apache-2.0
// Text to tokens and back: BPE of bytes and of characters, from a tokenizer.json, SentencePiece's
// or Mistral's files, or a GGUF file.
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
#include "mamba2/tokenizer/bpe_model.hpp"
#include "mamba2/tokenizer/decode_stream.hpp"
#include "mamba2/tokenizer/decoder.hpp"
#include "mamba2/tokenizer/normalizer.hpp"
#include "mamba2/tokenizer/pre_tokenizer.hpp"
#include "mamba2/tokenizer/vocabulary.hpp"
#include "mamba2/unicode/utf8.hpp"

#if MAMBA2_HAS_DEFINITIONS
#include "mamba2/core/mapped_file.hpp"
#include "mamba2/io/gguf_parts.hpp"
#include "mamba2/io/model_path.hpp"
#include "mamba2/tokenizer/encoder.hpp"
#include "mamba2/tokenizer/tokenizer_source.hpp"
#endif

namespace mamba2 {
inline namespace MAMBA2_ISA {

namespace detail {
struct TokenizerFile;
}

struct EncodeOptions {
  /// Whether the text gets what the file begins or ends texts with, such as <s>. For what goes on
  /// from tokens that were read before: false.
  bool add_special = true;
  /// Whether the names of special tokens in the text become those tokens. For texts of others,
  /// which are not to say where a turn ends: false, and the names are text like any other.
  bool special_names = true;
};

/// A part of a text that is written by several hands: a template and what is filled in.
struct TextPart {
  std::string_view text;
  bool special_names = true;  ///< as in EncodeOptions, for a name that lies in this part as a whole
};

struct DecodeOptions {
  bool skip_special = true;  ///< leave out special tokens, such as <|endoftext|>
  /// Whether a text begins with these tokens: vocabularies of SentencePiece write a blank there
  /// that is none of the text's. For what goes on from text before it: false.
  bool at_start = true;
};

class StoppingDecoder;

/// A vocabulary and the rules for using it: gives the same ids and the same text as the Hugging
/// Face `tokenizers` package does for the same tokenizer.json, and as SentencePiece does for its
/// own files. Supported are models of type BPE, with the normalizers, pre-tokenizers, decoders and
/// post-processors that README.md lists; any other is refused by a message that names it.
/// Immutable: safe to use from many threads.
class Tokenizer {
 public:
  /// Loads a tokenizer.json, a tokenizer.model of SentencePiece or a tekken.json, or the one in a
  /// directory or beside the .safetensors file (or its index, or the config) of a checkpoint, or
  /// the tokenizer of a GGUF file or of a packed model. Errors: io, malformed, unsupported.
  [[nodiscard]] static Result<Tokenizer> load(const std::filesystem::path& path);

  /// Reads the text of a tokenizer.json or a tekken.json; `name` stands for the file in messages.
  /// Errors: malformed, unsupported.
  [[nodiscard]] static Result<Tokenizer> from_json(std::string_view json,
                                                   std::string_view name = "tokenizer.json");

  /// Reads the bytes of SentencePiece's tokenizer.model; `name` stands for the file in messages.
  /// Errors: malformed, unsupported.
  [[nodiscard]] static Result<Tokenizer> from_sentencepiece(
      std::string_view bytes, std::string_view name = "tokenizer.model");

  /// Reads the metadata of a GGUF file; `name` stands for the file in messages.
  /// Errors: malformed, unsupported.
  [[nodiscard]] static Result<Tokenizer> from_gguf(std::span<const std::byte> gguf,
                                                   std::string_view name = "gguf");

  /// The tokens of a text. Each maximal invalid part of its UTF-8 counts as U+FFFD, as Python's
  /// bytes.decode("utf-8", "replace") has it. Characters for which the vocabulary has neither a
  /// token nor a substitute are left out; vocabularies have them all as a rule.
  [[nodiscard]] std::vector<Token> encode(std::string_view text, EncodeOptions options = {}) const;

  /// The same of the parts of a text, put together: where they meet, tokens may reach across.
  [[nodiscard]] std::vector<Token> encode(std::span<const TextPart> parts,
                                          EncodeOptions options = {}) const;

  /// The text of some tokens: valid UTF-8, with U+FFFD for each maximal part that is not. Unknown
  /// ids are left out.
  [[nodiscard]] std::string decode(std::span<const Token> tokens, DecodeOptions options = {}) const;

  /// The bytes of a token, which need not be UTF-8, as it is written within a text: one that begins
  /// it may say less by the rules of the decoder. Empty for an unknown id.
  [[nodiscard]] std::string_view token_bytes(Token id) const noexcept {
    return vocabulary_.bytes(id);
  }

  /// The largest id + 1. Ids without a token may lie below it.
  [[nodiscard]] std::size_t vocab_size() const noexcept { return vocabulary_.size(); }

  /// Whether a token is no part of the text, such as <|endoftext|>.
  [[nodiscard]] bool is_special(Token id) const noexcept { return vocabulary_.is_special(id); }

  /// The added token of this name ("<|endoftext|>"), or else the token of these bytes (" the").
  /// Takes longer where tokens are not written as the text that they say.
  [[nodiscard]] std::optional<Token> find(std::string_view text) const;

 private:
  friend class StreamingDecoder;
  friend class StoppingDecoder;

  Tokenizer() = default;

  [[nodiscard]] static Result<Tokenizer> from_file(const Result<detail::TokenizerFile>& file,
                                                   std::string_view name);

  detail::Normalizer normalizer_;
  detail::PreTokenizer pre_tokenizer_;
  detail::Decoder decoder_;
  detail::Vocabulary vocabulary_;
  detail::BpeModel model_;
  detail::AddedTokens raw_added_tokens_;
  detail::AddedTokens normalized_added_tokens_;
  std::vector<Token> prefix_, suffix_;
};

/// Decodes tokens one at a time and gives out whole UTF-8 sequences only: what the calls return,
/// put together, is what Tokenizer::decode returns for all tokens with the same options. The
/// tokenizer must outlive it. StoppingDecoder ends at a text, too.
class StreamingDecoder {
 public:
  explicit StreamingDecoder(const Tokenizer& tokenizer, DecodeOptions options = {})
      : tokenizer_(&tokenizer),
        options_(options),
        stream_(tokenizer.decoder_, tokenizer.vocabulary_, options.at_start) {}

  /// The text that is certain with this token, perhaps none; valid until the next call.
  [[nodiscard]] std::string_view push(Token token) {
    if (options_.skip_special && tokenizer_->is_special(token)) return {};
    bytes_.clear();
    stream_.push(token, bytes_);
    return text_.push(bytes_);
  }

  /// The end: what was held back, with U+FFFD for an incomplete sequence, if there is one. The
  /// decoder is as new afterwards.
  [[nodiscard]] std::string_view finish() {
    bytes_.clear();
    stream_.finish(bytes_);
    rest_ = text_.push(bytes_);
    rest_ += text_.finish();
    return rest_;
  }

 private:
  const Tokenizer* tokenizer_;
  DecodeOptions options_;
  detail::DecodeStream stream_;
  detail::Utf8Stream text_;
  std::string bytes_, rest_;
};

#if MAMBA2_HAS_DEFINITIONS

MAMBA2_FUNCTION Result<Tokenizer> Tokenizer::load(const std::filesystem::path& path) {
  const std::optional<std::filesystem::path> folder = detail::checkpoint_folder(path);
  const std::filesystem::path file_path =
      folder ? detail::tokenizer_in(*folder) : detail::first_gguf_part(path);
  const Result<MappedFile> file = MappedFile::open(file_path);
  if (!file) return file.error();
  return from_file(detail::read_tokenizer(file->bytes(), file_path), file_path.native());
}

MAMBA2_FUNCTION Result<Tokenizer> Tokenizer::from_json(std::string_view json,
                                                       std::string_view name) {
  return from_file(detail::read_any_json(json, name), name);
}

MAMBA2_FUNCTION Result<Tokenizer> Tokenizer::from_sentencepiece(std::string_view bytes,
                                                                std::string_view name) {
  return from_file(detail::read_sentencepiece(bytes, name), name);
}

MAMBA2_FUNCTION Result<Tokenizer> Tokenizer::from_gguf(std::span<const std::byte> gguf,
                                                       std::string_view name) {
  return from_file(detail::read_tokenizer_gguf(gguf, name), name);
}

MAMBA2_FUNCTION Result<Tokenizer> Tokenizer::from_file(const Result<detail::TokenizerFile>& file,
                                                       std::string_view name) {
  if (!file) return file.error();
  Tokenizer made;
  Result<void> outcome;
  const auto take = [&outcome](auto result, auto& place) {
    if (!outcome) return;
    if (result) {
      place = *std::move(result);
    } else {
      outcome = std::move(result).error();
    }
  };
  const bool reads_bytes = detail::reads_bytes(*file);
  take(detail::Normalizer::create(file->normalizer, name), made.normalizer_);
  take(detail::PreTokenizer::create(file->pre_tokenizer, reads_bytes, name), made.pre_tokenizer_);
  take(detail::Decoder::create(file->decoder, name), made.decoder_);
  if (!outcome) return outcome.error();
  take(detail::Vocabulary::create(*file, made.normalizer_, made.decoder_, reads_bytes, name),
       made.vocabulary_);
  if (!outcome) return outcome.error();
  take(detail::BpeModel::create(*file, made.vocabulary_, name), made.model_);
  take(detail::build_added_tokens(*file, made.normalizer_, false, name), made.raw_added_tokens_);
  take(detail::build_added_tokens(*file, made.normalizer_, true, name),
       made.normalized_added_tokens_);
  if (!outcome) return outcome.error();
  for (const auto* ids : {&file->prefix, &file->suffix}) {
    for (const Token id : *ids) {
      if (made.vocabulary_.has(id)) continue;
      return Error{ErrorCode::malformed,
                   detail::concat(name, ": the tokens around a text must be in 0..",
                                  made.vocab_size() - 1, ", found ", id)};
    }
  }
  made.prefix_ = file->prefix;
  made.suffix_ = file->suffix;
  return made;
}

MAMBA2_FUNCTION std::vector<Token> Tokenizer::encode(std::string_view text,
                                                     EncodeOptions options) const {
  const TextPart part = {text, true};
  return encode(std::span(&part, 1), options);
}

MAMBA2_FUNCTION std::vector<Token> Tokenizer::encode(std::span<const TextPart> parts,
                                                     EncodeOptions options) const {
  detail::PartedText text;
  for (const TextPart& part : parts) {
    text.add(part.text, options.special_names && part.special_names);
  }
  std::vector<Token> tokens;
  tokens.reserve(text.view().size() / 3 + prefix_.size() + suffix_.size());
  if (options.add_special) tokens = prefix_;
  detail::Encoder(normalizer_, pre_tokenizer_, vocabulary_, model_)
      .encode(text, raw_added_tokens_, normalized_added_tokens_, tokens);
  if (options.add_special) tokens.insert(tokens.end(), suffix_.begin(), suffix_.end());
  return tokens;
}

MAMBA2_FUNCTION std::string Tokenizer::decode(std::span<const Token> tokens,
                                              DecodeOptions options) const {
  detail::DecodeStream stream(decoder_, vocabulary_, options.at_start);
  std::string bytes;
  for (const Token token : tokens) {
    if (options.skip_special && is_special(token)) continue;
    stream.push(token, bytes);
  }
  stream.finish(bytes);
  if (detail::valid_utf8_prefix(bytes) == bytes.size()) return bytes;
  std::string text;
  detail::append_replaced_utf8(bytes, text);
  return text;
}

MAMBA2_FUNCTION std::optional<Token> Tokenizer::find(std::string_view text) const {
  if (const auto id = raw_added_tokens_.find(text)) return id;
  if (const auto id = normalized_added_tokens_.find(text)) return id;
  const Token id = vocabulary_.find_said(text);
  if (id == detail::Bpe::kNoToken) return std::nullopt;
  return id;
}

#endif

}  // namespace MAMBA2_ISA
}  // namespace mamba2
