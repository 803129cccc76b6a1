// SPDX-License-Identifier: Apache-2.0
// Tokens that are cut out of a text before anything else is done to it.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/layers/config.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// Finds fixed strings in a text: the leftmost first, of those that start at one place the longest.
class AddedTokens {
 public:
  /// Bounds the time: a text takes at most this many steps for each of its bytes.
  static constexpr std::size_t kMaxLength = 256;

  struct Entry {
    std::string text;  // not empty, at most kMaxLength bytes
    Token id;
  };

  AddedTokens() { begin_.fill(0); }

  /// @param entries in any order
  explicit AddedTokens(std::vector<Entry> entries) : entries_(std::move(entries)) {
    std::sort(entries_.begin(), entries_.end(),
              [](const Entry& a, const Entry& b) { return a.text < b.text; });
    std::size_t i = 0;
    for (std::size_t byte = 0; byte < 256; ++byte) {
      begin_[byte] = i;
      while (i < entries_.size() && byte_at(entries_[i], 0) == byte) ++i;
    }
    begin_[256] = i;
  }

  /// A text that occurs more than once among the entries, nullptr if there is none.
  [[nodiscard]] const std::string* duplicate() const {
    const auto twice =
        std::adjacent_find(entries_.begin(), entries_.end(),
                           [](const Entry& a, const Entry& b) { return a.text == b.text; });
    return twice == entries_.end() ? nullptr : &twice->text;
  }

  [[nodiscard]] std::optional<Token> find(std::string_view text) const {
    const Entry* entry = text.empty() ? nullptr : longest_prefix(text);
    if (entry == nullptr || entry->text.size() != text.size()) return std::nullopt;
    return entry->id;
  }

  /// Calls on_token(id) for each string found and on_text(part) for what lies between.
  template <class OnText, class OnToken>
  void split(std::string_view text, const OnText& on_text, const OnToken& on_token) const {
    std::size_t done = 0;
    for (std::size_t i = 0; i < text.size();) {
      const unsigned char byte = static_cast<unsigned char>(text[i]);
      const Entry* entry = nullptr;
      if (begin_[byte] != begin_[byte + 1]) entry = longest_prefix(text.substr(i));
      if (entry == nullptr) {
        ++i;
        continue;
      }
      if (done < i) on_text(text.substr(done, i - done));
      on_token(entry->id);
      i += entry->text.size();
      done = i;
    }
    if (done < text.size()) on_text(text.substr(done));
  }

 private:
  [[nodiscard]] static std::size_t byte_at(const Entry& entry, std::size_t i) noexcept {
    return static_cast<unsigned char>(entry.text[i]);
  }

  /// Narrows the sorted entries byte by byte to those that start as `text` does.
  [[nodiscard]] const Entry* longest_prefix(std::string_view text) const {
    const std::size_t first = static_cast<unsigned char>(text[0]);
    const Entry* low = entries_.data() + begin_[first];
    const Entry* high = entries_.data() + begin_[first + 1];
    const Entry* longest = nullptr;
    for (std::size_t length = 1; low != high; ++length) {
      if (low->text.size() == length) longest = low++;  // the shortest of a prefix sorts first
      if (length == text.size()) break;
      const std::size_t byte = static_cast<unsigned char>(text[length]);
      low = std::partition_point(low, high,
                                 [&](const Entry& entry) { return byte_at(entry, length) < byte; });
      high = std::partition_point(
          low, high, [&](const Entry& entry) { return byte_at(entry, length) == byte; });
    }
    return longest;
  }

  std::vector<Entry> entries_;          // sorted by the bytes of their texts
  std::array<std::size_t, 257> begin_;  // entries that start with byte b: begin_[b]..begin_[b + 1]
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
