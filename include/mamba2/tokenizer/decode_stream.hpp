// SPDX-License-Identifier: Apache-2.0
// Decodes tokens one at a time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/layers/config.hpp"
#include "mamba2/tokenizer/decoder.hpp"
#include "mamba2/tokenizer/vocabulary.hpp"
#include "mamba2/unicode/utf8.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// One of the steps for a whole text, which arrives bit by bit.
class WholeTextStep {
 public:
  WholeTextStep(const DecoderStep& rule, bool at_start)
      : rule_(&rule), to_strip_(at_start ? rule.start : 0) {}

  /// Takes more text; appends what is certain now.
  void push(std::string_view text, std::string& out) {
    held_ += text;
    if (rule_->kind == DecoderStep::Kind::strip) {
      strip(out);
    } else {
      replace(out);
    }
  }

  /// The end. As new afterwards.
  void finish(std::string& out) {
    if (rule_->kind == DecoderStep::Kind::strip) {
      for (std::size_t n = 0; n < rule_->stop && held_.ends_with(rule_->content); ++n) {
        held_.resize(held_.size() - rule_->content.size());
      }
    }
    out += held_;
    held_.clear();
    stripped_ = 0;
  }

 private:
  void strip(std::string& out) {
    const std::string& what = rule_->content;
    while (stripped_ < to_strip_ && !held_.empty()) {
      if (held_.starts_with(what)) {
        held_.erase(0, what.size());
        ++stripped_;
      } else if (what.starts_with(held_)) {
        return;  // half a character
      } else {
        stripped_ = to_strip_;
      }
    }
    std::size_t end = held_.size() - beginning_of(what);
    for (std::size_t n = 0; n < rule_->stop; ++n) {
      if (std::string_view(held_).substr(0, end).ends_with(what)) end -= what.size();
    }
    if (rule_->stop == 0) end = held_.size();
    out.append(held_, 0, end);
    held_.erase(0, end);
  }

  void replace(std::string& out) {
    const std::string& what = rule_->pattern.text;
    std::size_t done = 0;
    for (std::size_t at = held_.find(what); at != held_.npos; at = held_.find(what, done)) {
      out.append(held_, done, at - done).append(rule_->content);
      done = at + what.size();
    }
    held_.erase(0, done);
    const std::size_t end = held_.size() - beginning_of(what);
    out.append(held_, 0, end);
    held_.erase(0, end);
  }

  /// The length of the longest end of held_ that begins `what` without being all of it.
  [[nodiscard]] std::size_t beginning_of(std::string_view what) const {
    std::size_t n = std::min(what.size() - 1, held_.size());
    while (n > 0 && !std::string_view(held_).ends_with(what.substr(0, n))) --n;
    return n;
  }

  const DecoderStep* rule_;
  std::string held_;
  std::size_t to_strip_;  // at the beginning
  std::size_t stripped_ = 0;
};

/// What tokens say, in bytes: what is appended is certain, whatever comes after. The decoder and
/// the vocabulary must outlive it.
class DecodeStream {
 public:
  /// @param at_start whether a text begins with the first token
  DecodeStream(const Decoder& decoder, const Vocabulary& vocabulary, bool at_start)
      : decoder_(&decoder), vocabulary_(&vocabulary), at_start_(at_start), is_first_(at_start) {
    for (const DecoderStep& rule : decoder.whole()) whole_.emplace_back(rule, at_start);
  }

  /// Unknown ids say nothing.
  void push(Token id, std::string& out) {
    if (!vocabulary_->has(id)) return;
    text_.clear();
    if (vocabulary_->is_byte(id)) {
      bytes_ += vocabulary_->bytes(id);
      if (decoder_->each_character()) {
        give_characters(text_);
        is_first_ = false;
      }
    } else {
      give_bytes(text_);
      if (is_first_ && decoder_->first_differs()) {
        decoder_->append_text(vocabulary_->written(id), true, text_);
      } else {
        text_ += vocabulary_->bytes(id);
      }
      is_first_ = false;
    }
    pass(text_, out);
  }

  /// Gives out the bytes that were held back, as if another token came.
  void flush(std::string& out) {
    text_.clear();
    give_bytes(text_);
    pass(text_, out);
  }

  /// The end. As new afterwards.
  void finish(std::string& out) {
    text_.clear();
    give_bytes(text_);
    for (WholeTextStep& step : whole_) {
      std::string changed;
      step.push(text_, changed);
      step.finish(changed);
      text_ = std::move(changed);
    }
    out += text_;
    is_first_ = at_start_;
  }

 private:
  void pass(std::string& text, std::string& out) {
    for (WholeTextStep& step : whole_) {
      std::string changed;
      step.push(text, changed);
      text = std::move(changed);
    }
    out += text;
  }

  /// The characters that are whole, and U+FFFD for each byte that is part of none.
  void give_characters(std::string& out) {
    while (!bytes_.empty()) {
      const Utf8Step step = utf8_step(bytes_);
      if (step.kind == Utf8::incomplete) return;
      if (step.kind == Utf8::valid) {
        out.append(bytes_, 0, step.length);
        bytes_.erase(0, step.length);
      } else {
        out += kReplacementCharacter;
        bytes_.erase(0, 1);
      }
    }
  }

  /// All of them, as no more follow.
  void give_bytes(std::string& out) {
    if (bytes_.empty()) return;
    const bool valid = valid_utf8_prefix(bytes_) == bytes_.size();
    if (!valid) {
      std::string replaced;
      for (std::size_t i = 0; i < bytes_.size(); ++i) replaced += kReplacementCharacter;
      bytes_ = std::move(replaced);
    }
    decoder_->append_bytes(std::move(bytes_), is_first_, out);
    bytes_.clear();
    is_first_ = false;
  }

  const Decoder* decoder_;
  const Vocabulary* vocabulary_;
  std::vector<WholeTextStep> whole_;
  std::string bytes_;  // of tokens in a row that are bytes
  std::string text_;
  bool at_start_, is_first_;
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
