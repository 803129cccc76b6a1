// SPDX-License-Identifier: Apache-2.0
// The last tokens of a text, in memory of a fixed size.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "mamba2/layers/config.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// The last tokens of a text, by their places in it. Allocates when it is made, and never after.
class TokenHistory {
 public:
  static constexpr std::size_t kLeast = 64, kMost = std::size_t{1} << 24U;

  /// capacity: how many are remembered; the next power of two, in kLeast..kMost.
  explicit TokenHistory(std::size_t capacity)
      : tokens_(std::bit_ceil(std::clamp(capacity, kLeast, kMost))) {}

  /// Tokens of the text: the place of the next.
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
  /// The place of the first that is remembered.
  [[nodiscard]] std::uint64_t oldest() const noexcept { return oldest_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return tokens_.size(); }
  /// The token at a place in oldest()..size()-1.
  [[nodiscard]] Token operator[](std::uint64_t place) const noexcept {
    return tokens_[static_cast<std::size_t>(place) & (tokens_.size() - 1)];
  }

  void push(Token token) noexcept {
    tokens_[static_cast<std::size_t>(size_) & (tokens_.size() - 1)] = token;
    ++size_;
    if (size_ - oldest_ > tokens_.size()) ++oldest_;
  }
  /// The text is its first `size` tokens again, or those and others that are not known: what is
  /// remembered of it stays where nothing is missing in between.
  void cut(std::uint64_t size) noexcept {
    if (size < oldest_ || size > size_) oldest_ = size;
    size_ = size;
  }
  /// Copies the tokens from a place on, which must be there.
  void copy(std::uint64_t place, std::span<Token> out) const noexcept {
    for (Token& token : out) token = (*this)[place++];
  }

 private:
  std::vector<Token> tokens_;  // place p is in element p modulo their number
  std::uint64_t oldest_ = 0;
  std::uint64_t size_ = 0;
};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
