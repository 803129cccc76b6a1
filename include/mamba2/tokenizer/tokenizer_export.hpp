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
#include "mamba2/io/json.hpp"
#include "mamba2/io/printable.hpp"
#include "mamba2/tokenizer/gguf_tokenizer_writer.hpp"
#include "mamba2/tokenizer/merges.hpp"
#include "mamba2/tokenizer/step_export.hpp"
#endif

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// Sets the keys of a tokenizer with as many tokens as the embedding has rows; ids without a token
/// become unused ones, "[PAD9]". `name` is the file's, for messages. Errors: unsupported (what the
/// format cannot say, naming the key), mismatch (more tokens than rows).
[[nodiscard]] Result<void> set_gguf_tokenizer(GgufWriter& writer, const TokenizerFile& file,
                                              std::size_t rows, std::string_view name);

/// The text of a tokenizer.json. Errors: unsupported (what that format cannot say), naming it.
[[nodiscard]] Result<std::string> tokenizer_json(const TokenizerFile& file, std::string_view name);

#if MAMBA2_HAS_DEFINITIONS

MAMBA2_FUNCTION Result<void> set_gguf_tokenizer(GgufWriter& writer, const TokenizerFile& file,
                                                std::size_t rows, std::string_view name) {
  return GgufTokenizerWriter(writer, file, name).write(rows);
}

/// The tokens around a text as a TemplateProcessing; what a byte-level tokenizer needs besides is
/// about offsets.
[[nodiscard]] inline Json template_json(const TokenizerFile& file) {
  if (file.prefix.empty() && file.suffix.empty()) return nullptr;
  Json special = Json::object(), single = Json::array(), pair = Json::array();
  const auto add = [&](const std::vector<Token>& tokens, Json& out, int type) {
    for (const Token id : tokens) {
      std::string name = concat("token ", id);
      for (const auto& entry : file.vocab) {
        if (entry.id == id) name = entry.text;
      }
      for (const auto& added : file.added_tokens) {
        if (added.id == id) name = added.content;
      }
      special[name] = {{"id", name}, {"ids", Json::array({id})}, {"tokens", Json::array({name})}};
      out.push_back({{"SpecialToken", {{"id", name}, {"type_id", type}}}});
    }
  };
  const auto around = [&](Json& out, const char* text, int type) {
    add(file.prefix, out, type);
    out.push_back({{"Sequence", {{"id", text}, {"type_id", type}}}});
    add(file.suffix, out, type);
  };
  around(single, "A", 0);
  around(pair, "A", 0);
  around(pair, "B", 1);
  return {{"type", "TemplateProcessing"},
          {"single", std::move(single)},
          {"pair", std::move(pair)},
          {"special_tokens", std::move(special)}};
}

/// Both forms of merges: a list, or what scores come to.
[[nodiscard]] inline Result<Json> merges_json(const TokenizerFile& file, std::string_view name) {
  Json merges = Json::array();
  for (const auto& [left, right] : file.merges) merges.push_back(Json::array({left, right}));
  if (!file.by_score) return merges;
  const auto list = merges_by_score(file, name);
  if (!list) return list.error();
  for (const ScoredMerge& merge : *list) {
    merges.push_back(Json::array({merge.left->text, merge.right->text}));
  }
  return merges;
}

MAMBA2_FUNCTION Result<std::string> tokenizer_json(const TokenizerFile& file,
                                                   std::string_view name) {
  Result<Json> merges = merges_json(file, name);
  if (!merges) return std::move(merges).error();
  Json added = Json::array();
  for (const TokenizerFile::AddedToken& token : file.added_tokens) {
    if (token.verbatim) {
      return Error{ErrorCode::unsupported, concat(name, ": ", file.vocab_key,
                                                  ": a tokenizer.json must have no user-defined "
                                                  "symbols of SentencePiece, found ",
                                                  in_quotes(token.content))};
    }
    added.push_back({{"id", token.id},
                     {"content", token.content},
                     {"single_word", token.single_word},
                     {"lstrip", token.lstrip},
                     {"rstrip", token.rstrip},
                     {"normalized", token.normalized},
                     {"special", token.special}});
  }
  const auto llama = sentencepiece_rules_of(file);
  Json vocab = Json::object();
  for (const auto& entry : file.vocab) vocab[entry.text] = entry.id;
  const Json json = {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", std::move(added)},
      {"normalizer", steps_json(file.normalizer, "normalizers")},
      {"pre_tokenizer", steps_json(file.pre_tokenizer, "pretokenizers")},
      {"post_processor", template_json(file)},
      {"decoder",
       steps_json(llama ? sentencepiece_json_decoder(*llama) : file.decoder, "decoders")},
      {"model",
       {{"type", "BPE"},
        {"dropout", nullptr},
        {"unk_token", file.unk_token ? Json(*file.unk_token) : Json()},
        {"continuing_subword_prefix", nullptr},
        {"end_of_word_suffix", nullptr},
        {"fuse_unk", file.fuse_unk},
        {"byte_fallback", file.byte_fallback},
        {"ignore_merges", file.ignore_merges},
        {"vocab", std::move(vocab)},
        {"merges", *std::move(merges)}}}};
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

#endif

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
