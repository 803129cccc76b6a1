// SPDX-License-Identifier: Apache-2.0
// The text of a conversation, and which of it is the template's own.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/result.hpp"
#include "mamba2/unicode/utf8.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// A part of the text that a model reads.
struct ChatPiece {
  std::string text;
  /// Whether the template writes it, so that names of special tokens in it, such as "<|im_end|>",
  /// are those tokens. In what a user has typed they are text like any other.
  bool special_names = false;
};

namespace detail {

/// What Python's str.strip() takes away.
[[nodiscard]] constexpr bool is_python_space(char32_t c) noexcept {
  return (c >= 9 && c <= 13) || (c >= 28 && c <= 32) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

/// What is left of a text by str.strip(): where it begins and its length.
[[nodiscard]] inline std::pair<std::size_t, std::size_t> stripped_range(std::string_view text) {
  std::size_t begin = 0;
  std::size_t end = 0;  // behind the last character that stays
  bool has_begun = false;
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Step step = utf8_step(text.substr(i));
    const bool is_space =
        step.kind == Utf8::valid && is_python_space(first_code_point(text.substr(i)).value);
    i += step.length;
    if (is_space) {
      if (!has_begun) begin = i;
    } else {
      has_begun = true;
      end = i;
    }
  }
  return has_begun ? std::pair{begin, end - begin} : std::pair{text.size(), std::size_t{0}};
}

[[nodiscard]] inline std::string_view python_strip(std::string_view text) {
  const auto [begin, length] = stripped_range(text);
  return text.substr(begin, length);
}

/// A text that knows of each byte whether it is the template's own, so that names of tokens in it
/// are tokens, or somebody's words.
class ChatText {
 public:
  /// Adds what the template writes.
  ChatText& own(std::string_view text) { return add(text, true); }
  /// Adds what somebody has said.
  ChatText& said(std::string_view text) { return add(text, false); }
  ChatText& append(const ChatText& other) {
    text_ += other.text_;
    own_.insert(own_.end(), other.own_.begin(), other.own_.end());
    return *this;
  }

  [[nodiscard]] const std::string& text() const noexcept { return text_; }
  [[nodiscard]] bool empty() const noexcept { return text_.empty(); }
  [[nodiscard]] std::size_t size() const noexcept { return text_.size(); }
  [[nodiscard]] bool contains(std::string_view part) const { return text_.find(part) != part.npos; }

  [[nodiscard]] ChatText from(std::size_t begin, std::size_t length = std::string::npos) const {
    ChatText part;
    begin = std::min(begin, text_.size());
    length = std::min(length, text_.size() - begin);
    part.text_ = text_.substr(begin, length);
    const auto first = own_.begin() + static_cast<std::ptrdiff_t>(begin);
    part.own_.assign(first, first + static_cast<std::ptrdiff_t>(length));
    return part;
  }
  [[nodiscard]] ChatText stripped() const {
    const auto [begin, length] = stripped_range(text_);
    return from(begin, length);
  }
  /// What follows the last `mark`; all if it is not there.
  [[nodiscard]] ChatText after_last(std::string_view mark) const {
    const std::size_t at = text_.rfind(mark);
    return at == text_.npos ? *this : from(at + mark.size());
  }

  /// What the template writes and what is said, in turn.
  [[nodiscard]] std::vector<ChatPiece> pieces() const {
    std::vector<ChatPiece> out;
    for (std::size_t i = 0; i < text_.size(); ++i) {
      if (out.empty() || out.back().special_names != own_[i]) out.push_back({"", own_[i]});
      out.back().text += text_[i];
    }
    return out;
  }

 private:
  ChatText& add(std::string_view text, bool is_own) {
    text_ += text;
    own_.insert(own_.end(), text.size(), is_own);
    return *this;
  }

  std::string text_;
  std::vector<bool> own_;  // by byte
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
