// SPDX-License-Identifier: Apache-2.0
// What a file says of a tokenizer, whatever its form.
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
#include "mamba2/tokenizer/steps.hpp"

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
    /// No part of a text: a control token or a byte of a vocabulary of scores.
    static constexpr float kNoScore = -3.4e38F;

    std::string text;  // where the last pre-tokenizer is byte_level, its characters stand for bytes
    Token id;
    float score = 0.0F;  // where by_score
  };
  struct AddedToken {
    std::string content;
    Token id;
    bool special;              // not part of the text: hidden when a text is decoded
    bool normalized;           // looked for in the normalized text
    bool single_word = false;  // not within a word
    bool lstrip = false;       // with the white space before it
    bool rstrip = false;       // with the white space behind it
    bool verbatim = false;     // if normalized: content is as it stands in the normalized text
  };
  using MergePair = std::array<std::string, 2>;

  /// The entry of the vocabulary with this text, nullptr if there is none.
  [[nodiscard]] const VocabEntry* find(std::string_view text) const {
    const auto text_of = [this](std::uint32_t i) -> std::string_view { return vocab[i].text; };
    const std::uint32_t found = index.find(text, text_of);
    return found == StringIndex::kNone ? nullptr : &vocab[found];
  }

  /// Whether the model reads bytes, written as characters that stand for them.
  [[nodiscard]] bool byte_level() const noexcept {
    return !pre_tokenizer.empty() &&
           pre_tokenizer.back().kind == PreTokenizerStep::Kind::byte_level;
  }

  std::vector<VocabEntry> vocab;
  StringIndex index;  // positions in vocab
  std::vector<MergePair> merges;
  /// Without a list of merges: any two tokens merge that make one, the highest score first.
  bool by_score = false;
  std::vector<AddedToken> added_tokens;

  std::vector<NormalizerStep> normalizer;
  std::vector<PreTokenizerStep> pre_tokenizer;
  std::vector<DecoderStep> decoder;
  std::vector<Token> prefix, suffix;  // post-processor: what a text begins and ends with

  // The model. A character without a token becomes its bytes' tokens ("<0x0A>"), or else unk_token,
  // or else nothing.
  bool ignore_merges = false;  // a piece that is a token is that token, whatever the merges say
  bool byte_fallback = false;
  bool fuse_unk = false;  // several characters in a row become one unk_token
  std::optional<std::string> unk_token;

  // What the file calls the lists, for messages.
  std::string_view vocab_key = "model.vocab";
  std::string_view merges_key = "model.merges";
};

/// The name of a byte in vocabularies with byte fallback: "<0x0A>".
[[nodiscard]] inline std::string byte_name(std::size_t byte) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  return concat("<0x", kDigits.substr(byte >> 4 & 15, 1), kDigits.substr(byte & 15, 1), ">");
}

/// A text with metaspaces for its blanks, and the other way round.
[[nodiscard]] inline std::string with_metaspaces(std::string_view text) {
  std::string out;
  for (const char c : text)
    out += c == ' ' ? std::string_view(kMetaspace) : std::string_view(&c, 1);
  return out;
}
[[nodiscard]] inline std::string with_blanks(std::string_view text) {
  const std::string_view sign = kMetaspace;
  std::string out;
  while (!text.empty()) {
    const bool is_sign = text.starts_with(sign);
    out += is_sign ? ' ' : text[0];
    text.remove_prefix(is_sign ? sign.size() : 1);
  }
  return out;
}

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
