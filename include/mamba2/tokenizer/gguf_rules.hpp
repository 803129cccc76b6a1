// SPDX-License-Identifier: Apache-2.0
// The rules that GGUF files name in place of saying them.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/tokenizer/patterns.hpp"
#include "mamba2/tokenizer/steps.hpp"
#include "mamba2/tokenizer/tokenizer_file.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// How a text is cut.
enum class GgufSplitter {
  gpt2,
  digits_gpt2,
  llama3,
  qwen2,
  qwen35,
  deepseek_coder,
  tekken,
  falcon
};

/// What a tokenizer.ggml.pre stands for: the rules of the tokenizer.json of the models that have
/// it, where llama.cpp's are others.
struct GgufRules {
  std::string_view pre;
  GgufSplitter splitter;
  bool nfc = false;
  bool ignore_merges = false;
  bool add_bos = false;  // unless tokenizer.ggml.add_bos_token says otherwise
};

/// Of several with the same rules the first is the one that is written.
inline constexpr std::array<GgufRules, 25> kGgufRules = {{
    {"gpt-2", GgufSplitter::gpt2},
    {"phi-2", GgufSplitter::gpt2},
    {"jais", GgufSplitter::gpt2},
    {"olmo", GgufSplitter::gpt2, true},
    {"mpt", GgufSplitter::gpt2, true},
    {"starcoder", GgufSplitter::digits_gpt2},
    {"refact", GgufSplitter::digits_gpt2},
    {"smollm", GgufSplitter::digits_gpt2},
    {"codeshell", GgufSplitter::digits_gpt2},
    {"command-r", GgufSplitter::digits_gpt2, true},
    {"llama-bpe", GgufSplitter::llama3, false, true, true},
    {"llama3", GgufSplitter::llama3, false, true, true},
    {"llama-v3", GgufSplitter::llama3, false, true, true},
    {"falcon3", GgufSplitter::llama3, false, true, true},
    {"falcon-h1", GgufSplitter::llama3, false, true, true},
    {"lfm2", GgufSplitter::llama3, false, true, true},
    {"dbrx", GgufSplitter::llama3},
    {"qwen2", GgufSplitter::qwen2, true},
    {"deepseek-r1-qwen", GgufSplitter::qwen2, true},
    {"stablelm2", GgufSplitter::qwen2},
    {"qwen35", GgufSplitter::qwen35, true},
    {"deepseek-coder", GgufSplitter::deepseek_coder},
    {"tekken", GgufSplitter::tekken, false, true, true},
    {"pixtral", GgufSplitter::tekken, false, true, true},
    {"falcon", GgufSplitter::falcon},
}};

[[nodiscard]] inline const GgufRules* find_gguf_rules(std::string_view pre) {
  const auto found =
      std::ranges::find_if(kGgufRules, [&](const GgufRules& rules) { return rules.pre == pre; });
  return found == kGgufRules.end() ? nullptr : &*found;
}

[[nodiscard]] inline PreTokenizerStep split_step(std::string_view pattern) {
  return {.kind = PreTokenizerStep::Kind::split, .pattern = {std::string(pattern), true}};
}

[[nodiscard]] inline std::vector<PreTokenizerStep> gguf_pre_tokenizer(GgufSplitter splitter) {
  using Kind = PreTokenizerStep::Kind;
  const PreTokenizerStep bytes = {.use_regex = false};
  switch (splitter) {
    case GgufSplitter::gpt2:
      return {PreTokenizerStep()};
    case GgufSplitter::digits_gpt2:
      return {{.kind = Kind::digits, .individual = true}, PreTokenizerStep()};
    case GgufSplitter::llama3:
      return {split_step(kLlama3Pattern), bytes};
    case GgufSplitter::qwen2:
      return {split_step(kQwen2Pattern), bytes};
    case GgufSplitter::qwen35:
      return {split_step(kQwen35Pattern), bytes};
    case GgufSplitter::deepseek_coder:
      return {split_step(R"([\r\n])"),
              split_step(R"(\s?\p{L}+)"),
              split_step(R"(\s?\p{P}+)"),
              split_step("[\u4E00-\u9FA5\u0800-\u4E00\uAC00-\uD7FF]+"),
              {.kind = Kind::digits, .individual = true},
              bytes};
    case GgufSplitter::tekken:
      return {split_step(kTekkenPattern), bytes};
    case GgufSplitter::falcon:
      return {{.kind = Kind::punctuation, .behavior = SplitBehavior::contiguous},
              PreTokenizerStep(),
              {.kind = Kind::digits},
              split_step("[0-9][0-9][0-9]")};
  }
  return {};
}

/// Sets what the rules say.
inline void set_gguf_rules(const GgufRules& rules, TokenizerFile& file) {
  if (rules.nfc) file.normalizer = {{.kind = NormalizerStep::Kind::nfc}};
  file.pre_tokenizer = gguf_pre_tokenizer(rules.splitter);
  file.decoder = {DecoderStep()};
  file.ignore_merges = rules.ignore_merges;
}

/// Whether two lists of steps cut texts alike.
[[nodiscard]] inline bool same_cuts(const std::vector<PreTokenizerStep>& a,
                                    const std::vector<PreTokenizerStep>& b) {
  const auto canonical = [](PreTokenizerStep step) {
    if (step.pattern.text == kLfm25Pattern) step.pattern.text = kLlama3Pattern;
    return step;
  };
  return std::ranges::equal(a, b, {}, canonical, canonical);
}

/// The rules that cut and normalize texts as a tokenizer does, nullptr if there are none.
[[nodiscard]] inline const GgufRules* gguf_rules_of(const TokenizerFile& file) {
  TokenizerFile as_named;
  const auto found = std::ranges::find_if(kGgufRules, [&](const GgufRules& rules) {
    as_named.normalizer.clear();
    set_gguf_rules(rules, as_named);
    return as_named.normalizer == file.normalizer && as_named.decoder == file.decoder &&
           as_named.ignore_merges == file.ignore_merges &&
           same_cuts(as_named.pre_tokenizer, file.pre_tokenizer);
  });
  return found == kGgufRules.end() ? nullptr : &*found;
}

/// The rules of SentencePiece, as its files and GGUF's say them.
struct SentencePieceRules {
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = false;
};

/// Sets them. The vocabulary is there already.
inline void set_sentencepiece_rules(const SentencePieceRules& rules, TokenizerFile& file) {
  using Normal = NormalizerStep::Kind;
  file.by_score = true;
  file.fuse_unk = true;
  if (rules.remove_extra_whitespaces) file.normalizer.push_back({.kind = Normal::squeeze_blanks});
  if (rules.add_dummy_prefix) {
    file.normalizer.push_back({.kind = Normal::prepend, .content = kMetaspace});
  }
  file.normalizer.push_back(
      {.kind = Normal::replace, .pattern = {" ", false}, .content = kMetaspace});
  file.decoder = {blank_for_metaspace()};
  if (rules.add_dummy_prefix) {
    file.decoder.push_back(
        {.kind = DecoderStep::Kind::strip, .content = " ", .start = 1, .first_only = true});
  }
  file.decoder.push_back({.kind = DecoderStep::Kind::byte_fallback, .each_character = true});
}

/// The decoder that a tokenizer.json has in place of that.
[[nodiscard]] inline std::vector<DecoderStep> sentencepiece_json_decoder(
    const SentencePieceRules& rules) {
  std::vector<DecoderStep> steps = {blank_for_metaspace(),
                                    {.kind = DecoderStep::Kind::byte_fallback},
                                    {.kind = DecoderStep::Kind::fuse}};
  if (rules.add_dummy_prefix) {
    steps.push_back({.kind = DecoderStep::Kind::strip, .content = " ", .start = 1});
  }
  return steps;
}

/// The rules that a tokenizer's steps are, apart from how bytes become characters again.
[[nodiscard]] inline std::optional<SentencePieceRules> sentencepiece_rules_of(
    const TokenizerFile& file) {
  for (const bool prefix : {true, false}) {
    for (const bool remove : {false, true}) {
      TokenizerFile as_named;
      set_sentencepiece_rules({prefix, remove}, as_named);
      const bool same_decoder = as_named.decoder == file.decoder ||
                                sentencepiece_json_decoder({prefix, remove}) == file.decoder;
      if (as_named.normalizer == file.normalizer && same_decoder && file.pre_tokenizer.empty()) {
        return SentencePieceRules{prefix, remove};
      }
    }
  }
  return std::nullopt;
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
