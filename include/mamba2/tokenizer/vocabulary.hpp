// SPDX-License-Identifier: Apache-2.0
// The tokens by id.
#pragma once

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
#include "mamba2/tokenizer/decoder.hpp"
#include "mamba2/tokenizer/hash_index.hpp"
#include "mamba2/tokenizer/normalizer.hpp"
#include "mamba2/tokenizer/tokenizer_file.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// Texts by id, one after the other.
class TokenTexts {
 public:
  [[nodiscard]] std::size_t size() const noexcept { return ends_.size(); }
  [[nodiscard]] std::string_view of(std::size_t i) const noexcept {
    const std::size_t begin = i == 0 ? 0 : ends_[i - 1];
    return std::string_view(bytes_).substr(begin, ends_[i] - begin);
  }
  /// The text that is being written: what is appended belongs to the next id.
  [[nodiscard]] std::string& bytes() noexcept { return bytes_; }
  void end_token() { ends_.push_back(static_cast<std::uint32_t>(bytes_.size())); }
  void shrink() {
    bytes_.shrink_to_fit();
    ends_.shrink_to_fit();
  }

 private:
  std::string bytes_;
  std::vector<std::uint32_t> ends_;
};

/// What each token says, and what it is in the text that the model reads.
class Vocabulary {
 public:
  /// @param byte_level whether the model reads bytes
  static Result<Vocabulary> create(const TokenizerFile& file, const Normalizer& normalizer,
                                   const Decoder& decoder, bool byte_level, std::string_view name);

  /// Largest id + 1.
  [[nodiscard]] std::size_t size() const noexcept { return special_.size(); }
  [[nodiscard]] bool has(Token id) const noexcept {
    return id >= 0 && static_cast<std::size_t>(id) < size();
  }
  [[nodiscard]] bool is_special(Token id) const noexcept {
    return has(id) && special_[static_cast<std::size_t>(id)];
  }
  /// Whether it is one byte of a character, by the decoder.
  [[nodiscard]] bool is_byte(Token id) const noexcept {
    return has(id) && !byte_.empty() && byte_[static_cast<std::size_t>(id)];
  }
  /// What a token says, in bytes.
  [[nodiscard]] std::string_view bytes(Token id) const noexcept {
    return has(id) ? said_.of(static_cast<std::size_t>(id)) : std::string_view();
  }
  /// As the model reads it.
  [[nodiscard]] std::string_view written(Token id) const noexcept {
    if (written_.size() == 0) return bytes(id);
    return has(id) ? written_.of(static_cast<std::size_t>(id)) : std::string_view();
  }
  /// The token of the model's vocabulary that is written so, kNoToken if there is none.
  [[nodiscard]] Token find(std::string_view text) const {
    const auto text_of = [this](std::uint32_t id) { return this->written(static_cast<Token>(id)); };
    const std::uint32_t found = index_.find(text, text_of);
    return found == StringIndex::kNone ? Bpe::kNoToken : static_cast<Token>(found);
  }
  /// The token of the model's vocabulary that says this, kNoToken if there is none.
  [[nodiscard]] Token find_said(std::string_view text) const {
    if (written_.size() == 0) return find(text);
    for (std::size_t i = 0; i < size(); ++i) {
      const auto id = static_cast<Token>(i);
      if (!is_byte(id) && !text.empty() && bytes(id) == text && find(written(id)) == id) return id;
    }
    return Bpe::kNoToken;
  }

 private:
  struct Owner {
    const TokenizerFile::VocabEntry* entry = nullptr;
    const TokenizerFile::AddedToken* added = nullptr;
  };
  static Result<std::vector<Owner>> assign_ids(const TokenizerFile& file, std::string_view name);

  TokenTexts said_;
  TokenTexts written_;  // none where it is what is said
  std::vector<bool> special_;
  std::vector<bool> byte_;  // none where none is
  StringIndex index_;       // ids of the model's vocabulary by how they are written
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

inline Result<Vocabulary> Vocabulary::create(const TokenizerFile& file,
                                             const Normalizer& normalizer, const Decoder& decoder,
                                             bool byte_level, std::string_view name) {
  const Result<std::vector<Owner>> owners = assign_ids(file, name);
  if (!owners) return owners.error();
  Vocabulary vocabulary;
  vocabulary.index_ = StringIndex(file.vocab.size());
  const bool same = byte_level && !decoder.has_bytes() && !decoder.first_differs();
  std::string written;
  for (const auto& [entry, added] : *owners) {
    const auto id = vocabulary.special_.size();
    vocabulary.special_.push_back(added != nullptr && added->special);
    const std::size_t begin = vocabulary.said_.bytes().size();
    std::string text;
    written.clear();
    if (added != nullptr) {
      text = added_text(*added, normalizer);
    } else if (entry != nullptr) {
      text = entry->text;
    }
    const bool is_bytes = byte_level && append_mapped_bytes(text, written);
    if (!byte_level) written = text;
    if (!text.empty()) decoder.append_text(text, false, vocabulary.said_.bytes());
    vocabulary.said_.end_token();
    if (decoder.has_bytes()) vocabulary.byte_.push_back(decoder.is_byte(text));
    if (!same) {
      vocabulary.written_.bytes() += written;
      vocabulary.written_.end_token();
    }
    const bool readable = entry != nullptr && text == entry->text && (!byte_level || is_bytes) &&
                          (!same || vocabulary.said_.bytes().substr(begin) == written);
    if (readable && !vocabulary.index_.insert(written, static_cast<std::uint32_t>(id))) {
      return colliding_hashes(name, file.vocab_key);
    }
  }
  vocabulary.said_.shrink();
  vocabulary.written_.shrink();
  return vocabulary;
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
