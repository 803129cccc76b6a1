// SPDX-License-Identifier: Apache-2.0
// Ends a stream of text, or of tokens, at the first of some strings.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/tokenizer/tokenizer.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// Passes text on until one of the strings appears in it, and holds back what may yet turn out to
/// be the beginning of one. Compares bytes.
class StopStrings {
 public:
  /// Empty strings are ignored.
  explicit StopStrings(std::vector<std::string> stops) : stops_(std::move(stops)) {
    std::erase_if(stops_, [](const std::string& stop) { return stop.empty(); });
  }

  /// Takes more text; returns what may be given out now, valid until the next call.
  [[nodiscard]] std::string_view push(std::string_view text) { return take(text, true); }

  /// Takes more text that is looked at like any other, but never given out. Returns what may be
  /// given out now of what was held back before it, valid until the next call.
  [[nodiscard]] std::string_view push_hidden(std::string_view text) { return take(text, false); }

  /// The end of the text: returns what was held back, valid until the next call.
  [[nodiscard]] std::string_view finish() { return give(stopped_ ? 0 : held_.size()); }

  /// Whether one of the strings has appeared. Nothing is given out from then on.
  [[nodiscard]] bool stopped() const noexcept { return stopped_; }

 private:
  [[nodiscard]] std::string_view take(std::string_view text, bool shown) {
    if (stopped_) return {};
    held_ += text;
    shown_.insert(shown_.end(), text.size(), shown);
    std::size_t end = std::string::npos;
    for (const std::string& stop : stops_) end = std::min(end, held_.find(stop));
    stopped_ = end != std::string::npos;
    return give(stopped_ ? end : held_.size() - possible_beginning());
  }

  /// The length of the longest end of held_ with which a stop string begins.
  [[nodiscard]] std::size_t possible_beginning() const {
    std::size_t longest = 0;
    for (const std::string& stop : stops_) {
      for (std::size_t n = std::min(stop.size() - 1, held_.size()); n > longest; --n) {
        if (std::string_view(held_).ends_with(std::string_view(stop).substr(0, n))) longest = n;
      }
    }
    return longest;
  }

  /// Lets go of the first bytes of held_; what is shown of them.
  [[nodiscard]] std::string_view give(std::size_t size) {
    given_.clear();
    for (std::size_t i = 0; i < size; ++i) {
      if (shown_[i]) given_ += held_[i];
    }
    held_.erase(0, size);
    shown_.erase(shown_.begin(), shown_.begin() + static_cast<std::ptrdiff_t>(size));
    return given_;
  }

  std::vector<std::string> stops_;
  std::string held_;
  std::vector<bool> shown_;  // which bytes of held_ may be given out
  std::string given_;
  bool stopped_ = false;
};

/// Decodes tokens one at a time, as StreamingDecoder does, up to the first of some texts. These are
/// looked for in all that the tokens say, special tokens included, whether or not those are given
/// out: "<|im_end|>" ends a text at that token, and "\n<|im_end|>" where a line ends before it. The
/// tokenizer must outlive it.
class StoppingDecoder {
 public:
  /// Empty strings are ignored.
  StoppingDecoder(const Tokenizer& tokenizer, std::vector<std::string> stops,
                  DecodeOptions options = {})
      : tokenizer_(&tokenizer),
        stops_(std::move(stops)),
        options_(options),
        stream_(tokenizer.decoder_, tokenizer.vocabulary_, options.at_start) {}

  /// The text that is complete with this token, and in which no stop string may have begun; perhaps
  /// none. Valid until the next call.
  [[nodiscard]] std::string_view push(Token token) {
    bytes_.clear();
    if (!options_.skip_special || !tokenizer_->is_special(token)) {
      stream_.push(token, bytes_);
      return text_.push(stops_.push(bytes_));
    }
    stream_.flush(bytes_);
    bytes_ = stops_.push(bytes_);
    bytes_ += stops_.push_hidden(tokenizer_->token_bytes(token));
    return text_.push(bytes_);
  }

  /// The end: what was held back, and U+FFFD for an incomplete sequence, if there is one. Valid
  /// until the next call.
  [[nodiscard]] std::string_view finish() {
    bytes_.clear();
    stream_.finish(bytes_);
    rest_ = text_.push(stops_.push(bytes_));
    rest_ += text_.push(stops_.finish());
    rest_ += text_.finish();
    return rest_;
  }

  /// Whether one of the texts has appeared.
  [[nodiscard]] bool stopped() const noexcept { return stops_.stopped(); }

 private:
  const Tokenizer* tokenizer_;
  StopStrings stops_;
  DecodeOptions options_;
  detail::DecodeStream stream_;
  detail::Utf8Stream text_;
  std::string bytes_, rest_;
};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
