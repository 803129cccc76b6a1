// SPDX-License-Identifier: Apache-2.0
// The tokenizer in the metadata of a GGUF file, as llama.cpp's converter writes it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "mamba2/core/result.hpp"
#include "mamba2/io/gguf_fields.hpp"
#include "mamba2/io/gguf_metadata.hpp"
#include "mamba2/io/gguf_value.hpp"
#include "mamba2/io/printable.hpp"
#include "mamba2/layers/config.hpp"
#include "mamba2/tokenizer/added_tokens.hpp"
#include "mamba2/tokenizer/byte_map.hpp"
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

/// Refuses the tokenizers that this library does not have. Those of GPT-2, GPT-NeoX ("mpt") and
/// OLMo cut texts by the same regular expression; the latter two, which have the same vocabulary,
/// normalize them to NFC before, which their tokenizer.json says and GGUF does not.
inline void read_gguf_rules(GgufFields& fields, TokenizerFile& file) {
  constexpr std::string_view kPre = "tokenizer.ggml.pre";
  fields.require_text("tokenizer.ggml.model", "gpt2");
  const GgufValue* pre = fields.find(kPre);
  const auto rules = pre == nullptr ? std::nullopt : pre->text();
  if (rules != "gpt-2" && rules != "mpt" && rules != "olmo") {
    fields.refuse(kPre, R"("gpt-2", "mpt" or "olmo")", fields.found(kPre), ErrorCode::unsupported);
  }
  file.nfc = rules != "gpt-2";
  for (const std::string_view key :
       {"tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_eos_token"}) {
    if (fields.flag(key, false)) fields.refuse(key, "false", "true", ErrorCode::unsupported);
  }
}

/// Adds a token to the lists that it belongs to. Those that stand for rows of padding belong to
/// none.
inline void add_gguf_token(GgufFields& fields, std::string_view text, std::int32_t type, Token id,
                           TokenizerFile& file) {
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
  if (kind == GgufToken::byte) {
    std::string bytes;
    if (!append_mapped_bytes(text, bytes) || bytes.size() != 1) {
      return refuse(kGgufTokens, "a character that stands for a byte", in_quotes(text),
                    ErrorCode::unsupported);
    }
  }
  file.vocab.push_back({std::string(text), id});
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
  std::size_t i = 0;
  tokens->for_each_string([&](std::string_view text) {
    const std::int32_t type = types->int32_at(i);
    if (!fields.error()) add_gguf_token(fields, text, type, static_cast<Token>(i), file);
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
  if (!fields.error()) read_gguf_merges(fields, file);
  if (fields.error()) return *fields.error();
  if (const Result<void> indexed = index_vocab(name, file); !indexed) return indexed.error();
  return file;
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
