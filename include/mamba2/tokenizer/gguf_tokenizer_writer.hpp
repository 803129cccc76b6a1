// SPDX-License-Identifier: Apache-2.0
// Says in the metadata of a GGUF file what a tokenizer is, by the names that stand for its rules.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/io/gguf_writer.hpp"
#include "mamba2/io/printable.hpp"
#include "mamba2/tokenizer/decoder.hpp"
#include "mamba2/tokenizer/gguf_rules.hpp"
#include "mamba2/tokenizer/merges.hpp"
#include "mamba2/tokenizer/tokenizer_file.hpp"
#include "mamba2/tokenizer/tokenizer_gguf.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// What GGUF says in place of the steps. Error: unsupported, naming what it cannot say.
class GgufTokenizerWriter {
 public:
  GgufTokenizerWriter(GgufWriter& writer, const TokenizerFile& file, std::string_view name)
      : writer_(writer), file_(file), name_(name) {}

  [[nodiscard]] Result<void> write(std::size_t rows) {
    const auto llama = sentencepiece_rules_of(file_);
    Result<void> done = llama ? write_llama(*llama) : write_bpe();
    if (done) done = write_around("bos", file_.prefix);
    if (done) done = write_around("eos", file_.suffix);
    if (done) done = check_added();
    return done ? write_tokens(rows) : done;
  }

 private:
  [[nodiscard]] Error refuse(std::string_view key, std::string_view expected,
                             std::string_view found) const {
    return {ErrorCode::unsupported,
            concat(name_, ": ", key, " must be ", expected, " in a GGUF file, found ", found)};
  }

  [[nodiscard]] Result<void> write_bpe() {
    const GgufRules* rules = gguf_rules_of(file_);
    if (rules == nullptr) return refuse_steps();
    for (const TokenizerFile::MergePair& pair : file_.merges) {
      for (const std::string& part : pair) {
        if (part.find(' ') == std::string::npos) continue;
        return refuse(file_.merges_key, "without spaces", in_quotes(part));
      }
    }
    if (file_.by_score) return refuse(file_.merges_key, "a list", "scores");
    std::vector<std::string> merges;
    for (const auto& [left, right] : file_.merges) merges.push_back(concat(left, " ", right));
    writer_.set_text("tokenizer.ggml.model", "gpt2");
    writer_.set_text("tokenizer.ggml.pre", rules->pre);
    writer_.set_texts(kGgufMerges, merges);
    return {};
  }

  /// Which of them it is that no name stands for.
  [[nodiscard]] Error refuse_steps() const {
    const auto& steps = file_.pre_tokenizer;
    if (steps.size() == 1 && steps[0].add_prefix_space) {
      return refuse("pre_tokenizer.add_prefix_space", "false", "true");
    }
    if (steps.size() == 1 && steps[0].kind == PreTokenizerStep::Kind::byte_level &&
        !steps[0].use_regex) {
      return refuse("pre_tokenizer.use_regex", "true", "false");
    }
    TokenizerFile other = file_;
    other.ignore_merges = !file_.ignore_merges;
    if (gguf_rules_of(other) != nullptr) {
      return refuse("model.ignore_merges", other.ignore_merges ? "true" : "false",
                    file_.ignore_merges ? "true" : "false");
    }
    return refuse("normalizer, pre_tokenizer and decoder", "those that a tokenizer.ggml.pre names",
                  "others");
  }

  [[nodiscard]] Result<void> write_llama(SentencePieceRules rules) {
    if (!file_.byte_fallback) return refuse("model.byte_fallback", "true", "false");
    if (file_.ignore_merges) return refuse("model.ignore_merges", "false", "true");
    writer_.set_text("tokenizer.ggml.model", "llama");
    writer_.set_text("tokenizer.ggml.pre", "default");
    writer_.set_flag("tokenizer.ggml.add_space_prefix", rules.add_dummy_prefix);
    writer_.set_flag("tokenizer.ggml.remove_extra_whitespaces", rules.remove_extra_whitespaces);
    has_scores_ = true;
    if (file_.by_score) return {};
    return check_scores();
  }

  /// A list of merges that scores can stand for is one in which all pairs that make a token do.
  [[nodiscard]] Result<void> check_scores() {
    TokenizerFile scored;
    scored.vocab = file_.vocab;
    scored.by_score = true;
    if (Result<void> indexed = index_vocab(name_, scored); !indexed) return indexed;
    for (auto& entry : scored.vocab) entry.score = score_of(entry);
    for (std::size_t i = file_.merges.size(); i-- > 0;) {
      const auto* both = scored.find(file_.merges[i][0] + file_.merges[i][1]);
      if (both == nullptr) continue;  // is found elsewhere
      scores_[both->id] = scored.vocab[static_cast<std::size_t>(both - scored.vocab.data())].score =
          -static_cast<float>(i);
    }
    const auto all = merges_by_score(scored, name_);
    if (!all) return all.error();
    if (all->size() == file_.merges.size()) return {};
    return refuse(file_.merges_key, concat("all ", all->size(), " pairs that make a token"),
                  concat(file_.merges.size()));
  }

  /// Of what no merge makes.
  [[nodiscard]] float score_of(const TokenizerFile::VocabEntry& entry) const {
    const bool symbol = named_byte(entry.text) >= 0 ||
                        std::ranges::any_of(file_.added_tokens, [&](const auto& added) {
                          return added.content == entry.text;
                        });
    return symbol ? TokenizerFile::VocabEntry::kNoScore : -static_cast<float>(file_.merges.size());
  }

  [[nodiscard]] Result<void> write_around(std::string_view what, const std::vector<Token>& tokens) {
    if (tokens.size() > 1) {
      return refuse("post_processor", concat("of one token of ", what), concat(tokens.size()));
    }
    writer_.set_flag(concat("tokenizer.ggml.add_", what, "_token"), !tokens.empty());
    if (tokens.empty()) return {};
    writer_.set_integer(concat("tokenizer.ggml.", what, "_token_id"),
                        static_cast<std::uint32_t>(tokens[0]));
    return {};
  }

  [[nodiscard]] Result<void> check_added() const {
    for (const auto& added : file_.added_tokens) {
      if (!added.single_word && !added.lstrip && !added.rstrip) continue;
      return refuse(
          concat("added_tokens: single_word, lstrip and rstrip of ", in_quotes(added.content)),
          "false", "true");
    }
    return {};
  }

  [[nodiscard]] Result<void> write_tokens(std::size_t rows) {
    std::vector<std::string> tokens(rows);
    std::vector<std::int32_t> types(rows, static_cast<std::int32_t>(GgufToken::unused));
    std::vector<float> scores(has_scores_ ? rows : 0, -1000.0F);
    for (std::size_t i = 0; i < rows; ++i) tokens[i] = concat("[PAD", i, "]");
    Result<void> outcome;
    const auto place = [&](Token id, std::string text, GgufToken type) {
      const auto row = static_cast<std::size_t>(id);
      if (row >= rows) {
        outcome =
            Error{ErrorCode::mismatch, concat(name_, ": the ids of tokens must be in 0..", rows - 1,
                                              " (rows of the embedding), found ", id)};
        return;
      }
      tokens[row] = std::move(text);
      types[row] = static_cast<std::int32_t>(type);
    };
    for (const auto& entry : file_.vocab) {
      const bool is_byte = has_scores_ && named_byte(entry.text) >= 0;
      place(entry.id, entry.text, is_byte ? GgufToken::byte : GgufToken::normal);
      const auto row = static_cast<std::size_t>(entry.id);
      if (has_scores_ && row < rows) scores[row] = stored_score(entry);
    }
    for (const TokenizerFile::AddedToken& token : file_.added_tokens) {
      const bool unknown = has_scores_ && token.content == file_.unk_token;
      place(token.id, token.verbatim ? with_blanks(token.content) : token.content,
            unknown         ? GgufToken::unknown
            : token.special ? GgufToken::control
                            : GgufToken::user_defined);
    }
    if (!outcome) return outcome;
    writer_.set_texts(kGgufTokens, tokens);
    writer_.set_integers(kGgufTokenType, types);
    if (has_scores_) writer_.set_numbers("tokenizer.ggml.scores", scores);
    return {};
  }

  [[nodiscard]] float stored_score(const TokenizerFile::VocabEntry& entry) const {
    if (!file_.by_score) {
      const auto found = scores_.find(entry.id);
      return found != scores_.end() ? found->second : -static_cast<float>(file_.merges.size());
    }
    return entry.score <= TokenizerFile::VocabEntry::kNoScore ? 0.0F : entry.score;
  }

  GgufWriter& writer_;
  const TokenizerFile& file_;
  std::string_view name_;
  bool has_scores_ = false;
  std::unordered_map<Token, float> scores_;  // of a list of merges
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
