// SPDX-License-Identifier: Apache-2.0
// Reads Mistral's tekken.json: the bytes of each token, the most frequent first, and the expression
// that cuts texts.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/io/json_fields.hpp"
#include "mamba2/layers/config.hpp"
#include "mamba2/tokenizer/added_tokens.hpp"
#include "mamba2/tokenizer/byte_map.hpp"
#include "mamba2/tokenizer/gguf_rules.hpp"
#include "mamba2/tokenizer/step_json.hpp"
#include "mamba2/tokenizer/tokenizer_file.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// Appends what a text in base 64 says, as characters that stand for bytes.
/// @return false if it is none
[[nodiscard]] inline bool append_base64(std::string_view text, std::string& out) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  if (text.empty() || text.size() % 4 != 0) return false;
  for (int padding = 0; padding < 2 && text.ends_with('='); ++padding) text.remove_suffix(1);
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const std::size_t digit = kDigits.find(c);
    if (digit == kDigits.npos) return false;
    bits = bits << 6 | static_cast<std::uint32_t>(digit);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    append_code_point(kByteToChar[bits >> count & 0xFF], out);
  }
  return true;
}

/// Takes the list vocab as it passes and builds the document of the rest.
class TekkenEvents final : public JsonBuilder {
 public:
  TekkenEvents(std::string_view text, std::string_view name, TokenizerFile& file)
      : JsonBuilder(text, name), name_(name), file_(file) {}

  bool string(std::string& value) override {
    if (!in_vocab_) return JsonBuilder::string(value);
    if (key_ != "token_bytes") return true;
    text_.clear();
    if (append_base64(value, text_)) return true;
    error = concat(name_, ": vocab[", file_.vocab.size(),
                   "].token_bytes must be a text in base 64, found ", in_quotes(value));
    return false;
  }
  bool null() override { return in_vocab_ || JsonBuilder::null(); }
  bool boolean(bool value) override { return in_vocab_ || JsonBuilder::boolean(value); }
  bool number_integer(std::int64_t value) override {
    return in_vocab_ || JsonBuilder::number_integer(value);
  }
  bool number_unsigned(std::uint64_t value) override {
    if (!in_vocab_) return JsonBuilder::number_unsigned(value);
    if (key_ == "rank") rank_ = value;
    return true;
  }
  bool number_float(double value, const std::string& text) override {
    return in_vocab_ || JsonBuilder::number_float(value, text);
  }
  bool key(std::string& value) override {
    if (depth_ == 1) root_key_ = value;
    if (!in_vocab_) return JsonBuilder::key(value);
    key_ = value;
    return true;
  }
  bool start_object(std::size_t size) override {
    ++depth_;
    if (!in_vocab_) return JsonBuilder::start_object(size);
    text_.clear();
    rank_.reset();
    return depth_ == 3 || refuse("an object in a token");
  }
  bool end_object() override {
    --depth_;
    if (!in_vocab_) return JsonBuilder::end_object();
    if (text_.empty()) return refuse("a token without token_bytes");
    if (rank_ != file_.vocab.size()) return refuse("a token whose rank is not its place");
    if (file_.vocab.size() > TokenizerFile::kMaxId) return refuse("too many tokens");
    const auto id = static_cast<Token>(file_.vocab.size());
    file_.vocab.push_back({std::move(text_), id, -static_cast<float>(id)});
    return true;
  }
  bool start_array(std::size_t size) override {
    ++depth_;
    if (in_vocab_) return refuse("a list in a list");
    in_vocab_ = depth_ == 2 && root_key_ == "vocab";
    return in_vocab_ || JsonBuilder::start_array(size);
  }
  bool end_array() override {
    --depth_;
    if (!in_vocab_) return JsonBuilder::end_array();
    in_vocab_ = false;
    return true;
  }

 private:
  bool refuse(std::string_view found) {
    error = concat(name_, ": vocab[", file_.vocab.size(),
                   "] must be an object with token_bytes and rank, found ", found);
    return false;
  }

  std::string_view name_;
  TokenizerFile& file_;
  std::size_t depth_ = 0;
  bool in_vocab_ = false;
  std::string root_key_, key_, text_;
  std::optional<std::uint64_t> rank_;
};

/// Whether a JSON text is a tekken.json, by how it begins.
[[nodiscard]] inline bool looks_like_tekken(std::string_view json) {
  const std::string_view head = json.substr(0, 4096);
  return head.find("\"default_vocab_size\"") != head.npos && head.find("\"pattern\"") != head.npos;
}

/// The control tokens, which have the first ids; files of the first version do not list them.
inline void add_tekken_specials(JsonFields& root, std::size_t count, TokenizerFile& file) {
  constexpr std::array<std::string_view, 20> kFirst = {"<unk>",
                                                       "<s>",
                                                       "</s>",
                                                       "[INST]",
                                                       "[/INST]",
                                                       "[AVAILABLE_TOOLS]",
                                                       "[/AVAILABLE_TOOLS]",
                                                       "[TOOL_RESULTS]",
                                                       "[/TOOL_RESULTS]",
                                                       "[TOOL_CALLS]",
                                                       "[IMG]",
                                                       "<pad>",
                                                       "[IMG_BREAK]",
                                                       "[IMG_END]",
                                                       "[PREFIX]",
                                                       "[MIDDLE]",
                                                       "[SUFFIX]",
                                                       "[SYSTEM_PROMPT]",
                                                       "[/SYSTEM_PROMPT]",
                                                       "[TOOL_CONTENT]"};
  std::vector<std::string> names(count);
  for (std::size_t i = 0; i < count; ++i) {
    names[i] = i < kFirst.size() ? std::string(kFirst[i]) : concat("<SPECIAL_", i, ">");
  }
  const Json* list = root.find_value("special_tokens");
  if (list != nullptr && !list->is_array()) {
    return root.refuse("special_tokens", "a list", describe(*list));
  }
  for (std::size_t i = 0; list != nullptr && i < list->size(); ++i) {
    const std::string prefix = concat("special_tokens[", i, "].");
    if (!(*list)[i].is_object()) {
      return root.refuse(concat("special_tokens[", i, "]"), "an object", describe((*list)[i]));
    }
    JsonFields fields((*list)[i], root.name(), prefix);
    const std::size_t rank = fields.integer("rank", count, 0);
    std::string text = read_text(fields, "token_str");
    if (rank >= count) fields.refuse("rank", concat("less than ", count), concat(rank));
    if (text.empty() || text.size() > AddedTokens::kMaxLength) {
      fields.refuse("token_str", concat("of 1..", AddedTokens::kMaxLength, " bytes"),
                    concat(text.size()));
    }
    if (fields.error()) return root.adopt(fields);
    names[rank] = std::move(text);
  }
  for (std::size_t i = 0; i < count; ++i) {
    const auto id = static_cast<Token>(i);
    file.vocab.push_back({names[i], id, TokenizerFile::VocabEntry::kNoScore});
    file.added_tokens.push_back(
        {.content = names[i], .id = id, .special = true, .normalized = false});
  }
}

/// Texts begin with <s>. Errors: malformed, unsupported.
[[nodiscard]] inline Result<TokenizerFile> read_tekken(std::string_view json,
                                                       std::string_view name) {
  TokenizerFile file;
  file.vocab_key = file.merges_key = "vocab";
  TekkenEvents events(json, name, file);
  if (!read_json(json, events)) return Error{ErrorCode::malformed, std::move(events.error)};
  if (!events.document.is_object()) {
    return Error{ErrorCode::malformed,
                 concat(name, ": expected an object, found ", describe(events.document))};
  }
  JsonFields root(events.document, name);
  const Json* value = root.find("config");
  if (value == nullptr || !value->is_object()) {
    root.refuse("config", "an object", value == nullptr ? "none" : describe(*value));
    return *root.error();
  }
  JsonFields config(*value, name, "config.");
  const std::string pattern = read_text(config, "pattern");
  config.require({"default_vocab_size", "default_num_special_tokens"});
  const std::size_t size = config.integer("default_vocab_size", 0);
  const std::size_t special = config.integer("default_num_special_tokens", 0, 3);
  if (size < special || size > TokenizerFile::kMaxId || size - special > file.vocab.size()) {
    config.refuse("default_vocab_size",
                  concat("at most ", file.vocab.size(), " and default_num_special_tokens"),
                  concat(size));
  }
  if (special > 4096) config.refuse("default_num_special_tokens", "at most 4096", concat(special));
  if (config.error()) return *config.error();
  file.vocab.resize(size - special);
  for (auto& entry : file.vocab) entry.id += static_cast<Token>(special);
  add_tekken_specials(root, special, file);
  if (root.error()) return *root.error();
  file.by_score = true;
  file.ignore_merges = true;
  file.pre_tokenizer = {split_step(pattern), {.use_regex = false}};
  file.decoder = {DecoderStep()};
  file.prefix = {1};
  if (const Result<void> indexed = index_vocab(name, file); !indexed) return indexed.error();
  return file;
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
