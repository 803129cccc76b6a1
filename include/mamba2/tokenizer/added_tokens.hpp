// SPDX-License-Identifier: Apache-2.0
// Tokens that are cut out of a text by their names before it is cut into pieces.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/io/printable.hpp"
#include "mamba2/layers/config.hpp"
#include "mamba2/tokenizer/normalizer.hpp"
#include "mamba2/tokenizer/tokenizer_file.hpp"
#include "mamba2/tokenizer/word_chars.hpp"
#include "mamba2/unicode/utf8.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// Finds fixed strings in a text: the leftmost first, of those that start at one place the longest.
class AddedTokens {
 public:
  /// Bounds the time: a text takes at most this many steps for each of its bytes.
  static constexpr std::size_t kMaxLength = 256;

  struct Entry {
    std::string text;  // not empty, at most kMaxLength bytes
    Token id;
    bool special = false;      // is found only where special tokens are looked for
    bool single_word = false;  // is not found within a word
    bool lstrip = false;       // is found with the white space before it
    bool rstrip = false;       // and behind it
  };

  AddedTokens() { begin_.fill(0); }

  /// @param entries in any order
  explicit AddedTokens(std::vector<Entry> entries) : entries_(std::move(entries)) {
    std::sort(entries_.begin(), entries_.end(),
              [](const Entry& a, const Entry& b) { return a.text < b.text; });
    std::size_t i = 0;
    for (std::size_t byte = 0; byte < 256; ++byte) {
      begin_[byte] = i;
      while (i < entries_.size() && byte_at(entries_[i], 0) == byte) ++i;
    }
    begin_[256] = i;
    if (std::ranges::any_of(entries_, &Entry::single_word)) words_ = word_chars();
  }

  /// A text that occurs more than once among the entries, nullptr if there is none.
  [[nodiscard]] const std::string* duplicate() const {
    const auto twice =
        std::adjacent_find(entries_.begin(), entries_.end(),
                           [](const Entry& a, const Entry& b) { return a.text == b.text; });
    return twice == entries_.end() ? nullptr : &twice->text;
  }

  [[nodiscard]] std::optional<Token> find(std::string_view text) const {
    const Entry* entry = text.empty() ? nullptr : longest_prefix(text);
    if (entry == nullptr || entry->text.size() != text.size()) return std::nullopt;
    return entry->id;
  }

  /// Calls on_token(id) for each string found and on_text(begin, end) for what lies between.
  /// takes(entry, begin) says whether a place where one is found counts.
  template <class Takes, class OnText, class OnToken>
  void split(std::string_view text, const Takes& takes, const OnText& on_text,
             const OnToken& on_token) const {
    std::size_t done = 0;
    for (std::size_t i = 0; i < text.size();) {
      const unsigned char byte = static_cast<unsigned char>(text[i]);
      const Entry* entry = nullptr;
      if (begin_[byte] != begin_[byte + 1]) entry = longest_prefix(text.substr(i));
      if (entry == nullptr) {
        ++i;
        continue;
      }
      std::size_t begin = i, end = i + entry->text.size();
      i = end;
      if (!takes(*entry, begin) || (entry->single_word && within_word(text, begin, end))) continue;
      if (entry->lstrip) begin = std::max(begin - trailing_space(text.substr(0, begin)), done);
      if (entry->rstrip) end += leading_space(text.substr(end));
      if (done < begin) on_text(done, begin);
      on_token(entry->id);
      done = end;
    }
    if (done < text.size()) on_text(done, text.size());
  }

 private:
  [[nodiscard]] bool within_word(std::string_view text, std::size_t begin, std::size_t end) const {
    return (begin > 0 && words_.contains(last_code_point(text.substr(0, begin)))) ||
           (end < text.size() && words_.contains(first_code_point(text.substr(end)).value));
  }

  [[nodiscard]] static std::size_t byte_at(const Entry& entry, std::size_t i) noexcept {
    return static_cast<unsigned char>(entry.text[i]);
  }

  /// Narrows the sorted entries byte by byte to those that start as `text` does.
  [[nodiscard]] const Entry* longest_prefix(std::string_view text) const {
    const std::size_t first = static_cast<unsigned char>(text[0]);
    const Entry* low = entries_.data() + begin_[first];
    const Entry* high = entries_.data() + begin_[first + 1];
    const Entry* longest = nullptr;
    for (std::size_t length = 1; low != high; ++length) {
      if (low->text.size() == length) longest = low++;  // the shortest of a prefix sorts first
      if (length == text.size()) break;
      const std::size_t byte = static_cast<unsigned char>(text[length]);
      low = std::partition_point(low, high,
                                 [&](const Entry& entry) { return byte_at(entry, length) < byte; });
      high = std::partition_point(
          low, high, [&](const Entry& entry) { return byte_at(entry, length) == byte; });
    }
    return longest;
  }

  std::vector<Entry> entries_;          // sorted by the bytes of their texts
  CharSet words_;                       // what words consist of, where an entry asks for it
  std::array<std::size_t, 257> begin_;  // entries that start with byte b: begin_[b]..begin_[b + 1]
};

/// An added token as it is looked for, and as the package decodes it.
[[nodiscard]] inline std::string added_text(const TokenizerFile::AddedToken& added,
                                            const Normalizer& normalizer) {
  if (!added.normalized || added.verbatim) return added.content;
  Normalizer::Buffers buffers;
  StepScratch scratch;
  return std::string(normalizer.apply(added.content, buffers, scratch));
}

/// The added tokens that are looked for in the raw text (normalized = false) or in the normalized.
inline Result<AddedTokens> build_added_tokens(const TokenizerFile& file,
                                              const Normalizer& normalizer, bool normalized,
                                              std::string_view name) {
  std::vector<AddedTokens::Entry> entries;
  for (const auto& added : file.added_tokens) {
    if (added.normalized != normalized) continue;
    std::string text = added_text(added, normalizer);
    if (text.empty()) continue;
    if (text.size() > AddedTokens::kMaxLength) {
      return Error{
          ErrorCode::unsupported,
          concat(name, ": added_tokens: ", in_quotes(added.content), " must be at most ",
                 AddedTokens::kMaxLength, " bytes long when normalized, found ", text.size())};
    }
    entries.push_back(
        {std::move(text), added.id, added.special, added.single_word, added.lstrip, added.rstrip});
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
