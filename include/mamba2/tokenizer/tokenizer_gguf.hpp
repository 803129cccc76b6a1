// SPDX-License-Identifier: Apache-2.0
// The tokenizer in the metadata of a GGUF file, as llama.cpp's converter writes it.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/io/gguf_fields.hpp"
#include "mamba2/io/gguf_metadata.hpp"
#include "mamba2/io/gguf_value.hpp"
#include "mamba2/io/printable.hpp"
#include "mamba2/layers/config.hpp"
#include "mamba2/tokenizer/added_tokens.hpp"
#include "mamba2/tokenizer/byte_map.hpp"
#include "mamba2/tokenizer/decoder.hpp"
#include "mamba2/tokenizer/gguf_rules.hpp"
#include "mamba2/tokenizer/tokenizer_file.hpp"
#include "mamba2/unicode/utf8.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

inline constexpr std::string_view kGgufTokens = "tokenizer.ggml.tokens";
inline constexpr std::string_view kGgufTokenType = "tokenizer.ggml.token_type";
inline constexpr std::string_view kGgufMerges = "tokenizer.ggml.merges";

/// Kinds of tokens, under their numbers in files.
enum class GgufToken : std::int32_t {
  normal = 1,
  unknown = 2,
  control = 3,
  user_defined = 4,
  unused = 5,
  byte = 6
};

/// The vocabulary of GPT-2's kind: rules by the name of tokenizer.ggml.pre.
inline void read_gguf_bpe_rules(GgufFields& fields, TokenizerFile& file, bool& add_bos) {
  constexpr std::string_view kPre = "tokenizer.ggml.pre";
  const GgufValue* pre = fields.find(kPre);
  const auto name = pre == nullptr ? std::nullopt : pre->text();
  const GgufRules* rules = name ? find_gguf_rules(*name) : nullptr;
  if (rules == nullptr) {
    std::string known;
    for (const GgufRules& one : kGgufRules) known += concat(known.empty() ? "" : ", ", one.pre);
    return fields.refuse(kPre, concat("one of ", known), fields.found(kPre),
                         ErrorCode::unsupported);
  }
  set_gguf_rules(*rules, file);
  add_bos = rules->add_bos;
}

/// The vocabulary of SentencePiece: scores.
inline void read_gguf_llama_rules(GgufFields& fields, TokenizerFile& file, bool& add_bos) {
  constexpr std::string_view kCharsmap = "tokenizer.ggml.precompiled_charsmap";
  const GgufValue* charsmap = fields.find(kCharsmap);
  if (charsmap != nullptr && (!charsmap->is_array || charsmap->count > 0)) {
    fields.refuse(kCharsmap, "empty", fields.found(kCharsmap), ErrorCode::unsupported);
  }
  set_sentencepiece_rules(
      {.add_dummy_prefix = fields.flag("tokenizer.ggml.add_space_prefix", true),
       .remove_extra_whitespaces = fields.flag("tokenizer.ggml.remove_extra_whitespaces", false)},
      file);
  file.byte_fallback = true;
  add_bos = true;
}

/// The token at the beginning or the end of texts.
inline void read_gguf_around(GgufFields& fields, std::string_view name, bool by_default,
                             std::optional<Token> usual, std::vector<Token>& out) {
  if (!fields.flag(concat("tokenizer.ggml.add_", name, "_token"), by_default)) return;
  const std::string key = concat("tokenizer.ggml.", name, "_token_id");
  const auto id = fields.integer_if(key);
  if (id && *id <= TokenizerFile::kMaxId) {
    out.push_back(static_cast<Token>(*id));
  } else if (!id && usual) {
    out.push_back(*usual);
  } else {
    fields.refuse(key, concat("an id of at most ", TokenizerFile::kMaxId), fields.found(key));
  }
}

/// Refuses the tokenizers that this library does not have.
inline void read_gguf_rules(GgufFields& fields, TokenizerFile& file) {
  constexpr std::string_view kModel = "tokenizer.ggml.model";
  const GgufValue* model = fields.find(kModel);
  const auto kind = model == nullptr ? std::nullopt : model->text();
  bool add_bos = false;
  if (kind == "gpt2") {
    read_gguf_bpe_rules(fields, file, add_bos);
  } else if (kind == "llama") {
    read_gguf_llama_rules(fields, file, add_bos);
  } else {
    fields.refuse(kModel, R"("gpt2" or "llama")", fields.found(kModel), ErrorCode::unsupported);
  }
  const bool scores = file.by_score;
  read_gguf_around(fields, "bos", add_bos, scores ? std::optional<Token>(1) : std::nullopt,
                   file.prefix);
  read_gguf_around(fields, "eos", false, scores ? std::optional<Token>(2) : std::nullopt,
                   file.suffix);
}

/// Adds a user's symbol of SentencePiece, which stands in the text as it is, but for blanks.
inline void add_gguf_symbol(GgufFields& fields, std::string_view text, Token id,
                            TokenizerFile& file) {
  const std::string written = with_metaspaces(text);
  if (written.size() > AddedTokens::kMaxLength) {
    return fields.refuse(concat(kGgufTokens, "[", id, "]"),
                         concat("at most ", AddedTokens::kMaxLength, " bytes long"),
                         concat(written.size()), ErrorCode::unsupported);
  }
  file.vocab.push_back({written, id, TokenizerFile::VocabEntry::kNoScore});
  file.added_tokens.push_back(
      {.content = written, .id = id, .special = false, .normalized = true, .verbatim = true});
}

/// Adds a token to the lists that it belongs to. Those that stand for rows of padding belong to
/// none.
inline void add_gguf_token(GgufFields& fields, std::string_view text, std::int32_t type, Token id,
                           float score, TokenizerFile& file) {
  const auto refuse = [&](std::string_view key, std::string_view expected, std::string_view found,
                          ErrorCode code = ErrorCode::malformed) {
    fields.refuse(concat(key, "[", id, "]"), expected, found, code);
  };
  if (type < 1 || type > 6) return refuse(kGgufTokenType, "in 1..6", concat(type));
  if (valid_utf8_prefix(text) != text.size()) {
    return refuse(kGgufTokens, "valid UTF-8", in_quotes(text));
  }
  const auto kind = static_cast<GgufToken>(type);
  if (kind == GgufToken::unused || text.empty() || text == concat("[PAD", id, "]")) return;
  if (kind == GgufToken::byte && file.by_score && named_byte(text) < 0) {
    return refuse(kGgufTokens, "a byte such as \"<0x0A>\"", in_quotes(text));
  }
  if (kind == GgufToken::byte && !file.by_score) {
    std::string bytes;
    if (!append_mapped_bytes(text, bytes) || bytes.size() != 1) {
      return refuse(kGgufTokens, "a character that stands for a byte", in_quotes(text),
                    ErrorCode::unsupported);
    }
  }
  if (file.by_score && kind == GgufToken::user_defined) {
    return add_gguf_symbol(fields, text, id, file);
  }
  if (kind != GgufToken::normal) score = TokenizerFile::VocabEntry::kNoScore;
  file.vocab.push_back({std::string(text), id, score});
  if (file.by_score && kind == GgufToken::unknown) file.unk_token = text;
  if (kind == GgufToken::normal || kind == GgufToken::byte) return;
  if (text.size() > AddedTokens::kMaxLength) {
    return refuse(kGgufTokens, concat("at most ", AddedTokens::kMaxLength, " bytes long"),
                  concat(text.size()), ErrorCode::unsupported);
  }
  const bool is_special = kind != GgufToken::user_defined;
  file.added_tokens.push_back({std::string(text), id, is_special, !is_special});
}

inline void read_gguf_tokens(GgufFields& fields, TokenizerFile& file) {
  const GgufValue* tokens = fields.list(kGgufTokens, GgufType::string);
  const GgufValue* types = fields.list(kGgufTokenType, GgufType::int32);
  if (tokens == nullptr || types == nullptr) return;
  if (tokens->count > TokenizerFile::kMaxId || types->count != tokens->count) {
    return fields.refuse(
        kGgufTokens,
        concat("at most ", TokenizerFile::kMaxId, ", as many as ", kGgufTokenType, " has"),
        concat(tokens->count, " and ", types->count));
  }
  const GgufValue* scores =
      file.by_score ? fields.list("tokenizer.ggml.scores", GgufType::float32) : nullptr;
  if (file.by_score && (scores == nullptr || scores->count != tokens->count)) {
    return fields.refuse("tokenizer.ggml.scores", concat("a list of ", tokens->count),
                         fields.found("tokenizer.ggml.scores"));
  }
  std::size_t i = 0;
  tokens->for_each_string([&](std::string_view text) {
    const std::int32_t type = types->int32_at(i);
    const float score = scores == nullptr ? 0.0F : std::bit_cast<float>(scores->int32_at(i));
    if (!(std::abs(score) < 1e30F)) {
      fields.refuse(concat("tokenizer.ggml.scores[", i, "]"), "finite", concat(score));
    }
    if (!fields.error()) add_gguf_token(fields, text, type, static_cast<Token>(i), score, file);
    ++i;
  });
}

inline void read_gguf_merges(GgufFields& fields, TokenizerFile& file) {
  const GgufValue* merges = fields.list(kGgufMerges, GgufType::string);
  if (merges == nullptr) return;
  merges->for_each_string([&](std::string_view text) {
    auto pair = split_merge(text);
    if (!pair) {
      return fields.refuse(concat(kGgufMerges, "[", file.merges.size(), "]"), "\"a b\"",
                           in_quotes(text));
    }
    if (!fields.error()) file.merges.push_back(*std::move(pair));
  });
}

/// Errors: malformed; unsupported, naming the key.
inline Result<TokenizerFile> read_tokenizer_gguf(std::span<const std::byte> bytes,
                                                 std::string_view name) {
  const Result<GgufMetadata> metadata = GgufMetadata::parse(bytes, name);
  if (!metadata) return metadata.error();
  GgufFields fields(*metadata);
  TokenizerFile file;
  file.vocab_key = kGgufTokens;
  file.merges_key = kGgufMerges;
  read_gguf_rules(fields, file);
  if (!fields.error()) read_gguf_tokens(fields, file);
  if (!fields.error() && !file.by_score) read_gguf_merges(fields, file);
  if (fields.error()) return *fields.error();
  if (const Result<void> indexed = index_vocab(name, file); !indexed) return indexed.error();
  return file;
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
