// SPDX-License-Identifier: Apache-2.0
// From a piece of text to tokens: what its characters or bytes are, and then the merges.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/tokenizer/bpe.hpp"
#include "mamba2/tokenizer/byte_map.hpp"
#include "mamba2/tokenizer/merges.hpp"
#include "mamba2/tokenizer/tokenizer_file.hpp"
#include "mamba2/tokenizer/vocabulary.hpp"
#include "mamba2/unicode/utf8.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// Whether a byte occurs in UTF-8.
[[nodiscard]] constexpr bool occurs_in_utf8(std::size_t byte) noexcept {
  return byte != 0xC0 && byte != 0xC1 && byte < 0xF5;
}

/// Whether the model can read the bytes themselves: the last step writes characters for them, and
/// those that have no token are left out, or there are none of these.
[[nodiscard]] inline bool reads_bytes(const TokenizerFile& file) {
  if (!file.byte_level()) return false;
  if (!file.byte_fallback && !file.unk_token) return true;
  for (std::size_t byte = 0; byte < kByteToChar.size(); ++byte) {
    std::string text;
    append_code_point(kByteToChar[byte], text);
    if (occurs_in_utf8(byte) && file.find(text) == nullptr) return false;
  }
  return true;
}

/// The merges, and the token of each byte for a model that reads bytes.
inline Result<Bpe> build_bpe(const TokenizerFile& file, std::string_view name) {
  Bpe::ByteTokens byte_tokens;
  for (std::size_t byte = 0; byte < byte_tokens.size(); ++byte) {
    std::string text;
    append_code_point(kByteToChar[byte], text);
    const auto* entry = file.find(text);
    byte_tokens[byte] = entry == nullptr ? Bpe::kNoToken : entry->id;
  }
  Result<MergeTable> merges = build_merges(file, name);
  if (!merges) return std::move(merges).error();
  return Bpe(byte_tokens, *std::move(merges));
}

class BpeModel {
 public:
  struct Scratch {
    Bpe::Scratch bpe;
    std::vector<Token> symbols;
  };

  /// Errors: malformed, unsupported.
  static Result<BpeModel> create(const TokenizerFile& file, const Vocabulary& vocabulary,
                                 std::string_view name);

  /// Appends the tokens of a piece. `vocabulary` is the one that it was made with.
  void encode(std::string_view piece, const Vocabulary& vocabulary, Scratch& scratch,
              std::vector<Token>& out) const;

 private:
  /// For each id, whether a piece that is written as this token becomes this token: with
  /// ignore_merges any token, or else those that the merges lead to, as they do for nearly all.
  void find_whole_pieces(const Vocabulary& vocabulary);
  void encode_word(std::string_view word, const Vocabulary& vocabulary, Scratch& scratch,
                   std::vector<Token>& out) const;
  void merge(std::string_view word, const Vocabulary& vocabulary, Scratch& scratch,
             std::vector<Token>& out) const;
  void find_symbols(std::string_view word, const Vocabulary& vocabulary,
                    std::vector<Token>& symbols) const;

  Bpe bpe_;
  std::vector<bool> whole_;
  bool bytes_ = true;  // reads bytes
  bool cuts_ = false;  // at each metaspace
  bool ignore_merges_ = false;
  bool fuse_unk_ = false;
  bool byte_fallback_ = false;
  Token unknown_ = Bpe::kNoToken;
  Bpe::ByteTokens named_bytes_ = {};   // "<0x0A>"
  std::array<Token, 128> ascii_ = {};  // tokens of single characters
};

inline Result<BpeModel> BpeModel::create(const TokenizerFile& file, const Vocabulary& vocabulary,
                                         std::string_view name) {
  BpeModel model;
  Result<Bpe> bpe = build_bpe(file, name);
  if (!bpe) return std::move(bpe).error();
  model.bpe_ = *std::move(bpe);
  model.bytes_ = reads_bytes(file);
  model.ignore_merges_ = file.ignore_merges;
  model.fuse_unk_ = file.fuse_unk;
  model.byte_fallback_ = file.byte_fallback;
  const auto token_of = [&](std::string_view text) {
    const auto* entry = file.find(text);
    return entry == nullptr ? Bpe::kNoToken : entry->id;
  };
  if (file.unk_token && !model.bytes_) {
    model.unknown_ = token_of(*file.unk_token);
    if (model.unknown_ == Bpe::kNoToken) {
      return Error{ErrorCode::malformed,
                   concat(name, ": model.unk_token must be a token of ", file.vocab_key, ", found ",
                          in_quotes(*file.unk_token))};
    }
  }
  for (std::size_t byte = 0; byte < 256; ++byte) {
    model.named_bytes_[byte] = token_of(byte_name(byte));
    const char c = static_cast<char>(byte);
    if (byte < 128) model.ascii_[byte] = token_of(std::string_view(&c, 1));
  }
  model.cuts_ = !model.bytes_ && !file.ignore_merges && cuts_at_metaspace(file);
  model.find_whole_pieces(vocabulary);
  return model;
}

inline void BpeModel::find_whole_pieces(const Vocabulary& vocabulary) {
  whole_.assign(vocabulary.size(), ignore_merges_);
  if (ignore_merges_) return;
  Scratch scratch;
  std::vector<Token> tokens;
  for (std::size_t i = 0; i < whole_.size(); ++i) {
    const auto id = static_cast<Token>(i);
    const std::string_view text = vocabulary.written(id);
    if (text.empty()) continue;
    tokens.clear();
    merge(text, vocabulary, scratch, tokens);
    whole_[i] = tokens.size() == 1 && tokens[0] == id;
  }
}

inline void BpeModel::encode(std::string_view piece, const Vocabulary& vocabulary, Scratch& scratch,
                             std::vector<Token>& out) const {
  const std::string_view sign = kMetaspace;
  while (cuts_ && piece.size() > sign.size()) {
    std::size_t end = 0;
    while (piece.substr(end).starts_with(sign)) end += sign.size();
    end = piece.find(sign, end);
    if (end == piece.npos) break;
    encode_word(piece.substr(0, end), vocabulary, scratch, out);
    piece.remove_prefix(end);
  }
  encode_word(piece, vocabulary, scratch, out);
}

inline void BpeModel::encode_word(std::string_view word, const Vocabulary& vocabulary,
                                  Scratch& scratch, std::vector<Token>& out) const {
  // Most pieces of most texts are one token, which takes one look to find instead of many merges.
  const Token whole = vocabulary.find(word);
  if (whole != Bpe::kNoToken && whole_[static_cast<std::size_t>(whole)]) {
    return out.push_back(whole);
  }
  merge(word, vocabulary, scratch, out);
}

inline void BpeModel::merge(std::string_view word, const Vocabulary& vocabulary, Scratch& scratch,
                            std::vector<Token>& out) const {
  if (bytes_) return bpe_.encode(word, scratch.bpe, out);
  scratch.symbols.clear();
  find_symbols(word, vocabulary, scratch.symbols);
  bpe_.merge(scratch.symbols, scratch.bpe, out);
}

inline void BpeModel::find_symbols(std::string_view word, const Vocabulary& vocabulary,
                                   std::vector<Token>& symbols) const {
  bool unknown = false;  // unknown_ waits: if they are fused, for the last of several
  const auto flush = [&] {
    if (unknown) symbols.push_back(unknown_);
    unknown = false;
  };
  for (std::size_t i = 0; i < word.size();) {
    const unsigned char byte = static_cast<unsigned char>(word[i]);
    const std::size_t length = byte < 0x80 ? 1 : first_code_point(word.substr(i)).length;
    const std::string_view c = word.substr(i, length);
    i += length;
    const Token id = byte < 0x80 ? ascii_[byte] : vocabulary.find(c);
    if (id != Bpe::kNoToken) {
      flush();
      symbols.push_back(id);
      continue;
    }
    const auto named = [&](char b) { return named_bytes_[static_cast<unsigned char>(b)]; };
    if (byte_fallback_ &&
        std::ranges::none_of(c, [&](char b) { return named(b) == Bpe::kNoToken; })) {
      for (const char b : c) symbols.push_back(named(b));
    } else if (unknown_ != Bpe::kNoToken) {
      if (!fuse_unk_) flush();
      unknown = true;
    }
  }
  flush();
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
