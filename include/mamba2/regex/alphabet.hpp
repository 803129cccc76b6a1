// SPDX-License-Identifier: Apache-2.0
// The characters that a pattern does not tell apart, as one symbol.
#pragma once

#include <algorithm>
#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "mamba2/core/platform.hpp"
#include "mamba2/unicode/char_set.hpp"
#include "mamba2/unicode/utf8.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// Numbers the classes of code points that no set of the pattern cuts through.
class RegexAlphabet {
 public:
  /// One symbol is left to mean the edge of the text.
  static constexpr std::size_t kMaxSymbols = 255;
  using SymbolSet = std::bitset<kMaxSymbols + 1>;

  /// A character's symbol and its length in bytes.
  struct Symbol {
    std::uint8_t value;
    std::uint8_t length;
  };

  /// @return nothing if there would be more than kMaxSymbols
  [[nodiscard]] static std::optional<RegexAlphabet> make(const std::vector<CharSet>& sets) {
    std::vector<char32_t> borders = {0};
    for (const CharSet& set : sets) {
      for (const CodePointRange range : set.ranges()) {
        borders.push_back(range.first);
        if (range.last < kLastCodePoint) borders.push_back(range.last + 1);
      }
    }
    std::sort(borders.begin(), borders.end());
    borders.erase(std::unique(borders.begin(), borders.end()), borders.end());

    RegexAlphabet out;
    std::map<std::vector<bool>, std::uint8_t> numbers;
    std::vector<std::uint8_t> symbols;  // of the stretches between borders
    for (const auto& membership : memberships(sets, borders)) {
      const auto [entry, is_new] =
          numbers.try_emplace(membership, static_cast<std::uint8_t>(numbers.size()));
      if (numbers.size() > kMaxSymbols) return std::nullopt;
      if (is_new) out.add_symbol(membership);
      symbols.push_back(entry->second);
    }
    out.fill(borders, symbols);
    return out;
  }

  /// How many symbols there are; the next number means the edge of the text.
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  /// The symbols of a set's characters.
  [[nodiscard]] const SymbolSet& symbols_of(std::size_t set) const noexcept { return sets_[set]; }

  [[nodiscard]] std::uint8_t of_ascii(unsigned char c) const noexcept { return ascii_[c]; }

  /// The symbol of what `text` begins with: a character, or a byte that is none, which counts as
  /// U+FFFD.
  /// @param text not empty
  [[nodiscard]] Symbol first(std::string_view text) const noexcept {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const std::size_t lead = byte(0);
    if (lead < 0x80) return {ascii_[lead], 1};
    const auto is_rest = [&](std::size_t i) { return (byte(i) & 0xC0) == 0x80; };
    if (lead >= 0xE0 && lead < 0xF0 && text.size() >= 3 && is_rest(1) && is_rest(2)) {
      const std::size_t block = (lead & 0xF) << 6 | (byte(1) & 0x3F);
      if (block >= kOverlong && block / 32 != kSurrogates / 32)
        return {in_block(block, byte(2)), 3};
    }
    if (lead >= 0xC2 && lead < 0xE0 && text.size() >= 2 && is_rest(1)) {
      return {in_block(lead & 0x1F, byte(1)), 2};
    }
    if (utf8_step(text).kind != Utf8::valid) return {symbol_of(0xFFFD), 1};
    const CodePoint c = first_code_point(text);
    return {symbol_of(c.value), static_cast<std::uint8_t>(c.length)};
  }

  /// The symbol of what `text` ends with.
  [[nodiscard]] std::uint8_t last(std::string_view text) const noexcept {
    for (std::size_t length = std::min<std::size_t>(text.size(), 4); length > 1; --length) {
      const std::string_view tail = text.substr(text.size() - length);
      const Utf8Step step = utf8_step(tail);
      if (step.kind == Utf8::valid && step.length == length) return first(tail).value;
    }
    return first(text.substr(text.size() - 1)).value;
  }

  [[nodiscard]] std::uint8_t symbol_of(char32_t c) const noexcept {
    return in_block(c / kBlock, c);
  }

 private:
  // As many code points as the last byte of UTF-8 tells apart.
  static constexpr std::size_t kBlock = 64;
  static constexpr std::size_t kOverlong = 0x800 / kBlock;  // of three bytes: what two would do for
  static constexpr std::size_t kSurrogates = 0xD800 / kBlock;

  [[nodiscard]] std::uint8_t in_block(std::size_t block, std::size_t c) const noexcept {
    return blocks_[std::size_t{block_of_[block]} * kBlock + c % kBlock];
  }

  using Block = std::array<std::uint8_t, kBlock>;

  /// For each stretch, which sets hold it.
  [[nodiscard]] static std::vector<std::vector<bool>> memberships(
      const std::vector<CharSet>& sets, const std::vector<char32_t>& borders) {
    std::vector<std::vector<bool>> out(borders.size(), std::vector<bool>(sets.size()));
    for (std::size_t s = 0; s < sets.size(); ++s) {
      for (const CodePointRange range : sets[s].ranges()) {
        auto i = static_cast<std::size_t>(
            std::lower_bound(borders.begin(), borders.end(), range.first) - borders.begin());
        for (; i < borders.size() && borders[i] <= range.last; ++i) out[i][s] = true;
      }
    }
    return out;
  }

  void add_symbol(const std::vector<bool>& membership) {
    sets_.resize(membership.size());
    for (std::size_t s = 0; s < membership.size(); ++s) {
      if (membership[s]) sets_[s].set(size_);
    }
    ++size_;
  }

  /// The table by code point: blocks of 64, each kind of which is there once.
  void fill(const std::vector<char32_t>& borders, const std::vector<std::uint8_t>& symbols) {
    std::map<Block, std::uint16_t> known;
    std::size_t stretch = 0;
    std::size_t around = borders.size();  // the stretch that the block before lies in, if one
    for (char32_t first = 0; first <= kLastCodePoint; first += char32_t{kBlock}) {
      const bool ends = stretch + 1 < borders.size() && borders[stretch + 1] < first + kBlock;
      if (around == stretch && !ends) {
        block_of_.push_back(block_of_.back());
        continue;
      }
      Block block{};
      around = borders.size();
      for (char32_t i = 0; i < kBlock; ++i) {
        if (stretch + 1 < borders.size() && borders[stretch + 1] == first + i) ++stretch;
        if (i == 0) around = stretch;
        block[i] = symbols[stretch];
      }
      if (around != stretch) around = borders.size();
      const auto [entry, is_new] =
          known.try_emplace(block, static_cast<std::uint16_t>(known.size()));
      if (is_new) blocks_.insert(blocks_.end(), block.begin(), block.end());
      block_of_.push_back(entry->second);
    }
    for (char32_t c = 0; c < ascii_.size(); ++c) ascii_[c] = symbol_of(c);
  }

  std::size_t size_ = 0;
  std::vector<SymbolSet> sets_;
  std::array<std::uint8_t, 128> ascii_{};
  std::vector<std::uint16_t> block_of_;
  std::vector<std::uint8_t> blocks_;
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
