// SPDX-License-Identifier: Apache-2.0
// A tokenizer as metadata of a GGUF file, as llama.cpp's converter writes it, and as
// tokenizer.json.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/linkage.hpp"
#include "mamba2/core/result.hpp"
#include "mamba2/io/gguf_writer.hpp"
#include "mamba2/tokenizer/tokenizer_file.hpp"

#if MAMBA2_HAS_DEFINITIONS
#include <cstdint>

#include "mamba2/io/json.hpp"
#include "mamba2/io/printable.hpp"
#include "mamba2/tokenizer/tokenizer_gguf.hpp"
#endif

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// Sets the keys of a tokenizer with as many tokens as the embedding has rows; ids without a token
/// become unused ones, "[PAD9]". `name` is the file's, for messages. Errors: unsupported (what the
/// format cannot say, naming the key), mismatch (more tokens than rows).
[[nodiscard]] Result<void> set_gguf_tokenizer(GgufWriter& writer, const TokenizerFile& file,
                                              std::size_t rows, std::string_view name);

/// The text of a tokenizer.json.
[[nodiscard]] std::string tokenizer_json(const TokenizerFile& file);

#if MAMBA2_HAS_DEFINITIONS

/// Whether the format can say it; the expression that cuts texts is one of its own.
[[nodiscard]] inline Result<void> check_gguf_tokenizer(const TokenizerFile& file,
                                                       std::string_view name) {
  const auto refuse = [name](std::string_view key, std::string_view expected,
                             std::string_view found) {
    return Error{ErrorCode::unsupported,
                 concat(name, ": ", key, " must be ", expected, " in a GGUF file, found ", found)};
  };
  if (file.add_prefix_space) return refuse("pre_tokenizer.add_prefix_space", "false", "true");
  if (!file.use_regex) return refuse("pre_tokenizer.use_regex", "true", "false");
  if (file.ignore_merges) return refuse("model.ignore_merges", "false", "true");
  for (const TokenizerFile::MergePair& pair : file.merges) {
    for (const std::string& part : pair) {
      if (part.find(' ') != std::string::npos) {
        return refuse(file.merges_key, "without spaces", in_quotes(part));
      }
    }
  }
  return {};
}

MAMBA2_FUNCTION Result<void> set_gguf_tokenizer(GgufWriter& writer, const TokenizerFile& file,
                                                std::size_t rows, std::string_view name) {
  if (Result<void> possible = check_gguf_tokenizer(file, name); !possible) return possible;
  std::vector<std::string> tokens(rows);
  std::vector<std::int32_t> types(rows, static_cast<std::int32_t>(GgufToken::unused));
  for (std::size_t i = 0; i < rows; ++i) tokens[i] = concat("[PAD", i, "]");
  Result<void> outcome;
  const auto place = [&](Token id, const std::string& text, GgufToken type) {
    const auto row = static_cast<std::size_t>(id);
    if (row >= rows) {
      outcome =
          Error{ErrorCode::mismatch, concat(name, ": the ids of tokens must be in 0..", rows - 1,
                                            " (rows of the embedding), found ", id)};
      return;
    }
    tokens[row] = text;
    types[row] = static_cast<std::int32_t>(type);
  };
  for (const auto& [text, id] : file.vocab) place(id, text, GgufToken::normal);
  for (const TokenizerFile::AddedToken& token : file.added_tokens) {
    place(token.id, token.content, token.special ? GgufToken::control : GgufToken::user_defined);
  }
  if (!outcome) return outcome;
  std::vector<std::string> merges;
  for (const auto& [left, right] : file.merges) merges.push_back(concat(left, " ", right));
  writer.set_text("tokenizer.ggml.model", "gpt2");
  writer.set_text("tokenizer.ggml.pre", file.nfc ? "olmo" : "gpt-2");
  writer.set_texts(kGgufTokens, tokens);
  writer.set_integers(kGgufTokenType, types);
  writer.set_texts(kGgufMerges, merges);
  return {};
}

MAMBA2_FUNCTION std::string tokenizer_json(const TokenizerFile& file) {
  const Json byte_level = {{"type", "ByteLevel"},
                           {"add_prefix_space", file.add_prefix_space},
                           {"trim_offsets", true},
                           {"use_regex", file.use_regex}};
  Json added = Json::array();
  for (const TokenizerFile::AddedToken& token : file.added_tokens) {
    added.push_back({{"id", token.id},
                     {"content", token.content},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", token.normalized},
                     {"special", token.special}});
  }
  Json vocab = Json::object();
  for (const auto& [text, id] : file.vocab) vocab[text] = id;
  Json merges = Json::array();
  for (const auto& [left, right] : file.merges) merges.push_back(Json::array({left, right}));
  const Json json = {{"version", "1.0"},
                     {"truncation", nullptr},
                     {"padding", nullptr},
                     {"added_tokens", std::move(added)},
                     {"normalizer", file.nfc ? Json{{"type", "NFC"}} : Json()},
                     {"pre_tokenizer", byte_level},
                     {"post_processor", nullptr},
                     {"decoder", byte_level},
                     {"model",
                      {{"type", "BPE"},
                       {"dropout", nullptr},
                       {"unk_token", nullptr},
                       {"continuing_subword_prefix", nullptr},
                       {"end_of_word_suffix", nullptr},
                       {"fuse_unk", false},
                       {"byte_fallback", false},
                       {"ignore_merges", file.ignore_merges},
                       {"vocab", std::move(vocab)},
                       {"merges", std::move(merges)}}}};
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

#endif

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
