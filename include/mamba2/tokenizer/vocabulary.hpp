// SPDX-License-Identifier: Apache-2.0
// The tokens by id, and the tables for cutting texts into them, built from a TokenizerFile.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/tokenizer/added_tokens.hpp"
#include "mamba2/tokenizer/bpe.hpp"
#include "mamba2/tokenizer/byte_map.hpp"
#include "mamba2/tokenizer/hash_index.hpp"
#include "mamba2/tokenizer/normalize.hpp"
#include "mamba2/tokenizer/tokenizer_file.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// The bytes of each token.
class Vocabulary {
 public:
  static Result<Vocabulary> create(const TokenizerFile& file, std::string_view name);

  /// Largest id + 1.
  [[nodiscard]] std::size_t size() const noexcept { return special_.size(); }
  [[nodiscard]] bool has(Token id) const noexcept {
    return id >= 0 && static_cast<std::size_t>(id) < size();
  }
  [[nodiscard]] bool is_special(Token id) const noexcept {
    return has(id) && special_[static_cast<std::size_t>(id)];
  }
  [[nodiscard]] std::string_view bytes(Token id) const noexcept {
    if (!has(id)) return {};
    const auto i = static_cast<std::size_t>(id);
    return std::string_view(bytes_).substr(begin_[i], begin_[i + 1] - begin_[i]);
  }
  /// The token of the model's vocabulary with these bytes, kNoToken if there is none.
  [[nodiscard]] Token find(std::string_view bytes) const {
    const auto bytes_of = [this](std::uint32_t id) { return this->bytes(static_cast<Token>(id)); };
    const std::uint32_t found = index_.find(bytes, bytes_of);
    return found == StringIndex::kNone ? Bpe::kNoToken : static_cast<Token>(found);
  }

 private:
  struct Owner {
    const TokenizerFile::VocabEntry* entry = nullptr;
    const TokenizerFile::AddedToken* added = nullptr;
  };
  static Result<std::vector<Owner>> assign_ids(const TokenizerFile& file, std::string_view name);

  std::string bytes_;               // of all tokens, one after the other
  std::vector<std::size_t> begin_;  // of token i in bytes_; one more than there are tokens
  std::vector<bool> special_;
  StringIndex index_;  // ids of the model's vocabulary by their bytes
};

/// Finds for each id the token it belongs to: at most one. Ids without a token may occur, but not
/// so many that memory is out of proportion to the file.
inline Result<std::vector<Vocabulary::Owner>> Vocabulary::assign_ids(const TokenizerFile& file,
                                                                     std::string_view name) {
  std::vector<Owner> owners;
  const std::size_t limit = 4096 + 8 * (file.vocab.size() + file.added_tokens.size());
  const auto failure = [&](std::string_view text, Token id, const auto&... reason) {
    return Error{ErrorCode::malformed, concat(name, ": the token ", in_quotes(text), " has the id ",
                                              id, ", ", reason...)};
  };
  const auto slot = [&](Token id) -> Owner* {
    const auto i = static_cast<std::size_t>(id);
    if (i >= limit) return nullptr;
    if (i >= owners.size()) owners.resize(i + 1);
    return &owners[i];
  };
  for (const auto& entry : file.vocab) {
    Owner* owner = slot(entry.id);
    if (owner == nullptr) return failure(entry.text, entry.id, "expected less than ", limit);
    if (owner->entry != nullptr) {
      return failure(entry.text, entry.id, "which is that of ", in_quotes(owner->entry->text));
    }
    owner->entry = &entry;
  }
  auto next_id = static_cast<Token>(file.vocab.size());
  for (const auto& added : file.added_tokens) {
    Owner* owner = slot(added.id);
    if (owner == nullptr) return failure(added.content, added.id, "expected less than ", limit);
    const auto* entry = file.find(added.content);
    // The package numbers them itself and goes on to use its numbers where a file has others.
    const Token expected = entry != nullptr ? entry->id : next_id++;
    if (added.id != expected) return failure(added.content, added.id, "expected ", expected);
    if (owner->entry != entry) {
      return failure(added.content, added.id, "which is that of ", in_quotes(owner->entry->text));
    }
    if (owner->added != nullptr) {
      return failure(added.content, added.id, "which is that of ",
                     in_quotes(owner->added->content));
    }
    owner->added = &added;
  }
  return owners;
}

inline Result<Vocabulary> Vocabulary::create(const TokenizerFile& file, std::string_view name) {
  const Result<std::vector<Owner>> owners = assign_ids(file, name);
  if (!owners) return owners.error();
  Vocabulary vocabulary;
  vocabulary.index_ = StringIndex(file.vocab.size());
  for (std::size_t i = 0; i < owners->size(); ++i) {
    const auto [entry, added] = (*owners)[i];
    const std::size_t begin = vocabulary.bytes_.size();
    vocabulary.begin_.push_back(begin);
    vocabulary.special_.push_back(added != nullptr && added->special);
    if (entry == nullptr && added == nullptr) continue;
    // The package decodes an added token as it looks for it, and like all others: where each of
    // its characters stands for a byte, as these bytes.
    const std::string& text = added != nullptr ? added->content : entry->text;
    std::string normalized;
    if (added != nullptr && added->normalized && file.nfc) append_nfc(text, normalized);
    const bool changed = !normalized.empty() && normalized != text;
    const bool is_bytes = append_mapped_bytes(changed ? normalized : text, vocabulary.bytes_);
    if (entry == nullptr || changed || !is_bytes) continue;
    const std::string_view bytes = std::string_view(vocabulary.bytes_).substr(begin);
    if (!vocabulary.index_.insert(bytes, static_cast<std::uint32_t>(i))) {
      return colliding_hashes(name, file.vocab_key);
    }
  }
  vocabulary.begin_.push_back(vocabulary.bytes_.size());
  return vocabulary;
}

/// The merges with ids for texts.
inline Result<MergeTable> build_merges(const TokenizerFile& file, std::string_view name) {
  if (file.merges.size() > Bpe::kMaxMerges) {
    return Error{ErrorCode::unsupported, concat(name, ": ", file.merges_key, " must be at most ",
                                                Bpe::kMaxMerges, ", found ", file.merges.size())};
  }
  MergeTable merges(file.merges.size());
  for (std::size_t rank = 0; rank < file.merges.size(); ++rank) {
    const auto& [left, right] = file.merges[rank];
    const std::string both = left + right;
    Token ids[3];
    for (std::size_t i = 0; i < 3; ++i) {
      const std::string& text = i == 0 ? left : i == 1 ? right : both;
      const auto* entry = file.find(text);
      if (entry == nullptr) {
        return Error{ErrorCode::malformed,
                     concat(name, ": ", file.merges_key, "[", rank, "] must name tokens of ",
                            file.vocab_key, ", found ", in_quotes(text))};
      }
      ids[i] = entry->id;
    }
    if (!merges.insert(ids[0], ids[1], {static_cast<std::uint32_t>(rank), ids[2]})) {
      return colliding_hashes(name, file.merges_key);
    }
  }
  return merges;
}

/// Whether a byte occurs in UTF-8.
[[nodiscard]] constexpr bool occurs_in_utf8(std::size_t byte) noexcept {
  return byte != 0xC0 && byte != 0xC1 && byte < 0xF5;
}

inline Result<Bpe> build_bpe(const TokenizerFile& file, std::string_view name) {
  Bpe::ByteTokens byte_tokens;
  for (std::size_t byte = 0; byte < byte_tokens.size(); ++byte) {
    std::string text;
    append_code_point(kByteToChar[byte], text);
    const auto* entry = file.find(text);
    byte_tokens[byte] = entry == nullptr ? Bpe::kNoToken : entry->id;
    if (entry == nullptr && occurs_in_utf8(byte) && !file.fallback_key.empty()) {
      return Error{ErrorCode::unsupported,
                   concat(name, ": model.", file.fallback_key,
                          " must be off or every byte a token of model.vocab, found no ",
                          in_quotes(text), " for the byte ", byte)};
    }
  }
  Result<MergeTable> merges = build_merges(file, name);
  if (!merges) return std::move(merges).error();
  return Bpe(byte_tokens, *std::move(merges));
}

/// For each id, whether a piece with the bytes of this token becomes this token: with ignore_merges
/// any token, or else those that the merges lead to, as they do for nearly all.
inline std::vector<bool> find_whole_pieces(const TokenizerFile& file, const Vocabulary& vocabulary,
                                           const Bpe& bpe) {
  std::vector<bool> whole(vocabulary.size(), file.ignore_merges);
  if (file.ignore_merges) return whole;
  Bpe::Scratch scratch;
  std::vector<Token> tokens;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    const auto id = static_cast<Token>(i);
    tokens.clear();
    bpe.encode(vocabulary.bytes(id), scratch, tokens);
    whole[i] = tokens.size() == 1 && tokens[0] == id;
  }
  return whole;
}

/// The added tokens that are looked for in the raw text (normalized = false) or in the normalized.
inline Result<AddedTokens> build_added_tokens(const TokenizerFile& file, bool normalized,
                                              std::string_view name) {
  std::vector<AddedTokens::Entry> entries;
  for (const auto& added : file.added_tokens) {
    if (added.normalized != normalized) continue;
    std::string text;
    if (normalized && file.nfc) {
      append_nfc(added.content, text);
    } else {
      text = added.content;
    }
    entries.push_back({std::move(text), added.id});
  }
  AddedTokens tokens(std::move(entries));
  if (const std::string* twice = tokens.duplicate()) {
    return Error{ErrorCode::malformed,
                 concat(name, ": added_tokens: ", in_quotes(*twice), " occurs twice")};
  }
  return tokens;
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
