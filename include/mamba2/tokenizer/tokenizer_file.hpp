// SPDX-License-Identifier: Apache-2.0
// What a tokenizer.json or a GGUF file says of a tokenizer.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/io/printable.hpp"
#include "mamba2/layers/config.hpp"
#include "mamba2/tokenizer/hash_index.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

inline Error colliding_hashes(std::string_view name, std::string_view list) {
  return {ErrorCode::malformed,
          concat(name, ": ", list, " must have distinct hashes, found more than ", kMaxProbes,
                 " that collide")};
}

struct TokenizerFile {
  static constexpr std::uint64_t kMaxId = (std::uint64_t{1} << 24) - 1;

  struct VocabEntry {
    std::string text;  // its characters stand for bytes, see byte_map.hpp
    Token id;
  };
  struct AddedToken {
    std::string content;
    Token id;
    bool special;     // not part of the text: hidden when a text is decoded
    bool normalized;  // looked for in the normalized text
  };
  using MergePair = std::array<std::string, 2>;

  /// The entry of the vocabulary with this text, nullptr if there is none.
  [[nodiscard]] const VocabEntry* find(std::string_view text) const {
    const auto text_of = [this](std::uint32_t i) -> std::string_view { return vocab[i].text; };
    const std::uint32_t found = index.find(text, text_of);
    return found == StringIndex::kNone ? nullptr : &vocab[found];
  }

  std::vector<VocabEntry> vocab;
  StringIndex index;  // positions in vocab
  std::vector<MergePair> merges;
  std::vector<AddedToken> added_tokens;
  bool nfc = false;               // normalizer
  bool add_prefix_space = false;  // pre_tokenizer
  bool use_regex = true;          // pre_tokenizer
  bool ignore_merges = false;     // model
  std::string_view fallback_key;  // model: unk_token or byte_fallback, where one is set

  // What the file calls the lists, for messages.
  std::string_view vocab_key = "model.vocab";
  std::string_view merges_key = "model.merges";
};

/// The parts of a merge in the form "a b"; nothing if it has another number of them.
[[nodiscard]] inline std::optional<TokenizerFile::MergePair> split_merge(std::string_view text) {
  const std::size_t blank = text.find(' ');
  if (blank == std::string_view::npos || text.find(' ', blank + 1) != std::string_view::npos) {
    return std::nullopt;
  }
  return TokenizerFile::MergePair{std::string(text.substr(0, blank)),
                                  std::string(text.substr(blank + 1))};
}

/// Makes `index`.
[[nodiscard]] inline Result<void> index_vocab(std::string_view name, TokenizerFile& file) {
  file.index = StringIndex(file.vocab.size());
  for (std::size_t i = 0; i < file.vocab.size(); ++i) {
    const std::string& text = file.vocab[i].text;
    if (file.find(text) != nullptr) {
      return Error{ErrorCode::malformed, concat(name, ": ", file.vocab_key, ": the token ",
                                                in_quotes(text), " occurs twice")};
    }
    if (!file.index.insert(text, static_cast<std::uint32_t>(i))) {
      return colliding_hashes(name, file.vocab_key);
    }
  }
  return {};
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
