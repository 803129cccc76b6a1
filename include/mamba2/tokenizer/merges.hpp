// SPDX-License-Identifier: Apache-2.0
// What two adjacent tokens become, built from a TokenizerFile.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/tokenizer/bpe.hpp"
#include "mamba2/tokenizer/hash_index.hpp"
#include "mamba2/tokenizer/tokenizer_file.hpp"
#include "mamba2/unicode/utf8.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// A merge by what it merges. Tokens are entries of the vocabulary.
struct ScoredMerge {
  const TokenizerFile::VocabEntry* left;
  const TokenizerFile::VocabEntry* right;
  const TokenizerFile::VocabEntry* both;
};

/// The merges of a vocabulary of scores: any two of its tokens that make a third, the highest score
/// first. Error: unsupported, where a character that tokens consist of is none.
[[nodiscard]] inline Result<std::vector<ScoredMerge>> merges_by_score(const TokenizerFile& file,
                                                                      std::string_view name) {
  const auto find = [&](std::string_view text) {
    const auto* entry = file.find(text);
    return entry != nullptr && entry->score > TokenizerFile::VocabEntry::kNoScore ? entry : nullptr;
  };
  std::vector<ScoredMerge> merges;
  for (const auto& entry : file.vocab) {
    if (entry.score <= TokenizerFile::VocabEntry::kNoScore || entry.text.empty()) continue;
    const std::string_view text = entry.text;
    if (first_code_point(text).length == text.size()) continue;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t length = first_code_point(text.substr(at)).length;
      if (find(text.substr(at, length)) == nullptr) {
        return Error{ErrorCode::unsupported,
                     concat(name, ": ", file.vocab_key, ": every character of the token ",
                            in_quotes(text), " must be a token, found ",
                            in_quotes(text.substr(at, length)), ", which is none")};
      }
      at += length;
      const auto* left = at < text.size() ? find(text.substr(0, at)) : nullptr;
      const auto* right = left != nullptr ? find(text.substr(at)) : nullptr;
      if (right != nullptr) merges.push_back({left, right, &entry});
    }
  }
  std::stable_sort(merges.begin(), merges.end(), [](const ScoredMerge& a, const ScoredMerge& b) {
    return a.both->score > b.both->score;
  });
  return merges;
}

inline Error too_many_merges(const TokenizerFile& file, std::size_t found, std::string_view name) {
  return Error{ErrorCode::unsupported, concat(name, ": ", file.merges_key, " must be at most ",
                                              Bpe::kMaxMerges, ", found ", found)};
}

/// Where scores are equal the leftmost pair goes first: these have one rank.
inline Result<MergeTable> build_merges_by_score(const TokenizerFile& file, std::string_view name) {
  const auto list = merges_by_score(file, name);
  if (!list) return list.error();
  if (list->size() > Bpe::kMaxMerges) return too_many_merges(file, list->size(), name);
  MergeTable merges(list->size());
  std::uint32_t rank = 0;
  for (std::size_t i = 0; i < list->size(); ++i) {
    const auto& [left, right, both] = (*list)[i];
    if (i > 0 && both->score < (*list)[i - 1].both->score) rank = static_cast<std::uint32_t>(i);
    if (!merges.insert(left->id, right->id, {rank, both->id})) {
      return colliding_hashes(name, file.vocab_key);
    }
  }
  return merges;
}

/// The merges with ids for texts.
inline Result<MergeTable> build_merges(const TokenizerFile& file, std::string_view name) {
  if (file.by_score) return build_merges_by_score(file, name);
  if (file.merges.size() > Bpe::kMaxMerges) {
    return too_many_merges(file, file.merges.size(), name);
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

/// Whether no token and no merge reaches from another character into a following metaspace: then a
/// text may be cut before each that begins a run of them, and its parts merged one by one.
[[nodiscard]] inline bool cuts_at_metaspace(const TokenizerFile& file) {
  const std::string_view sign = kMetaspace;
  const auto spans = [&](std::string_view text) {
    for (std::size_t at = text.find(sign, 1); at != text.npos; at = text.find(sign, at + 1)) {
      if (!text.substr(0, at).ends_with(sign)) return true;
    }
    return false;
  };
  if (file.find(sign) == nullptr) return false;
  if (file.by_score) {
    return std::ranges::none_of(file.vocab, [&](const auto& entry) { return spans(entry.text); });
  }
  return std::ranges::none_of(
      file.merges, [&](const TokenizerFile::MergePair& pair) { return spans(pair[0] + pair[1]); });
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
