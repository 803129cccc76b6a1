// SPDX-License-Identifier: Apache-2.0
// The tokens of a vocabulary as constraints look at them.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/linkage.hpp"
#include "mamba2/layers/config.hpp"
#include "mamba2/text/grammar/byte_trie.hpp"
#include "mamba2/text/grammar/json_string.hpp"
#include "mamba2/tokenizer/tokenizer.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// A bit for each token.
using TokenMask = std::vector<std::uint64_t>;

inline void set_bit(TokenMask& mask, std::size_t i) {
  mask[i / 64] |= std::uint64_t{1} << (i % 64);
}
[[nodiscard]] inline bool has_bit(const TokenMask& mask, std::size_t i) {
  return (mask[i / 64] >> (i % 64) & 1U) != 0;
}

/// What is too far away ever to be reached, in tokens.
inline constexpr std::uint32_t kNeverEnds = std::uint32_t{1} << 30U;

[[nodiscard]] inline std::uint32_t add_costs(std::uint64_t a, std::uint64_t b) {
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(a + b, kNeverEnds));
}

/// The bytes that each token adds to a text, as a tree; and how each goes on inside a JSON string,
/// where nearly all are allowed, so that they need not be tried one by one. Special tokens, and
/// those of more than ByteTrie::kMaxBytes bytes, are not in it.
struct TokenTable {
  /// A token that closes the string: `characters` begin in it before; what follows is suffixes'
  /// entry `suffix`.
  struct Leaving {
    std::uint32_t token;
    std::uint16_t characters;
    std::uint16_t suffix;
  };

  explicit TokenTable(const Tokenizer& tokenizer);

  [[nodiscard]] std::size_t size() const noexcept { return begin.size() - 1; }
  [[nodiscard]] std::string_view bytes_of(std::size_t token) const noexcept {
    return std::string_view(bytes).substr(begin[token], begin[token + 1] - begin[token]);
  }
  [[nodiscard]] std::size_t memory() const noexcept;

  std::string bytes;                 // of all usable tokens, one after the other
  std::vector<std::uint32_t> begin;  // of each token in it; one more than there are tokens
  ByteTrie trie;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> twins;  // that in the trie, its double

  /// Tokens that begin where a string stands so and stay inside it.
  std::array<TokenMask, kStringStates> inside;
  std::array<std::vector<Leaving>, kStringStates> leaving;
  /// Of those that stay inside from a boundary: the characters that begin in them, where they end.
  std::vector<std::uint8_t> characters;
  std::vector<StringAt> end;
  std::uint32_t most_characters = 0;
  /// What may follow the end of a string, by number.
  ByteTrie suffixes;
  std::size_t suffix_count = 0;

  /// Tokens that it takes, one byte each, to complete a character; to add one; the quotation mark.
  std::array<bool, 256> single{};  // bytes that are tokens
  std::array<std::uint32_t, kStringStates> completion;
  std::uint32_t character_cost = kNeverEnds;
  std::uint32_t quote_cost = kNeverEnds;

 private:
  void read_bytes(const Tokenizer& tokenizer);
  void find_completions();
  void add_to_strings(StringAt at, std::uint32_t token,
                      std::map<std::string_view, std::uint16_t>& found);
};

#if MAMBA2_HAS_DEFINITIONS

MAMBA2_FUNCTION void TokenTable::read_bytes(const Tokenizer& tokenizer) {
  begin.push_back(0);
  for (std::size_t i = 0; i < tokenizer.vocab_size(); ++i) {
    const auto token = static_cast<Token>(i);
    const std::string_view text = tokenizer.token_bytes(token);
    if (!tokenizer.is_special(token) && text.size() <= ByteTrie::kMaxBytes) bytes += text;
    begin.push_back(static_cast<std::uint32_t>(bytes.size()));
  }
}

MAMBA2_FUNCTION void TokenTable::find_completions() {
  completion.fill(kNeverEnds);
  completion[0] = 0;
  // Each state leads to ones before it in this order.
  constexpr std::array<StringAt, 8> kOrder = {
      StringAt::escape,   StringAt::one,      StringAt::two,      StringAt::three,
      StringAt::after_e0, StringAt::after_ed, StringAt::after_f0, StringAt::after_f4};
  for (const StringAt at : kOrder) {
    for (unsigned byte = 0; byte < 256; ++byte) {
      const StringStep step = string_step(at, byte);
      if (!single[byte] || step.kind != StringStep::Kind::inside) continue;
      std::uint32_t& cost = completion[static_cast<std::size_t>(at)];
      cost = std::min(cost, add_costs(1, completion[static_cast<std::size_t>(step.next)]));
    }
  }
  quote_cost = single['"'] ? 1 : kNeverEnds;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const StringStep step = string_step(StringAt::boundary, byte);
    if (!single[byte] || step.kind != StringStep::Kind::inside) continue;
    character_cost =
        std::min(character_cost, add_costs(1, completion[static_cast<std::size_t>(step.next)]));
  }
}

/// Whether a text can go on like this behind a string.
[[nodiscard]] inline bool may_follow_string(std::string_view text) {
  return text.empty() || std::string_view(",:}]").find(text[0]) != std::string_view::npos;
}

MAMBA2_FUNCTION void TokenTable::add_to_strings(StringAt at, std::uint32_t token,
                                                std::map<std::string_view, std::uint16_t>& found) {
  constexpr std::size_t kMostSuffixes = 65535;
  const std::string_view text = bytes_of(token);
  const auto from = static_cast<std::size_t>(at);
  const StringRun run = run_string(at, text);
  if (run.kind == StringStep::Kind::closes && may_follow_string(text.substr(run.read))) {
    const std::string_view suffix = text.substr(run.read);
    const auto known = found.find(suffix);
    if (known == found.end() && found.size() == kMostSuffixes) return;
    const auto number = static_cast<std::uint16_t>(found.size());
    leaving[from].push_back({token, static_cast<std::uint16_t>(run.characters),
                             known == found.end() ? number : known->second});
    if (known == found.end()) found.emplace(suffix, number);
  }
  const bool stays = run.kind == StringStep::Kind::inside;
  if (!stays || completion[static_cast<std::size_t>(run.end)] >= kNeverEnds) return;
  set_bit(inside[from], token);
  most_characters = std::max(most_characters, static_cast<std::uint32_t>(run.characters));
  if (at != StringAt::boundary) return;
  characters[token] = static_cast<std::uint8_t>(run.characters);
  end[token] = run.end;
}

MAMBA2_FUNCTION TokenTable::TokenTable(const Tokenizer& tokenizer) {
  read_bytes(tokenizer);
  std::vector<ByteTrie::Entry> entries;
  for (std::size_t i = 0; i < size(); ++i) {
    const std::string_view text = bytes_of(i);
    if (text.empty()) continue;
    entries.push_back({text, static_cast<std::uint32_t>(i)});
    if (text.size() == 1) single[static_cast<unsigned char>(text[0])] = true;
  }
  find_completions();
  for (TokenMask& mask : inside) mask.resize((size() + 63) / 64);
  characters.resize(size());
  end.resize(size());
  std::ranges::stable_sort(entries, {}, &ByteTrie::Entry::bytes);
  std::map<std::string_view, std::uint16_t> found;
  std::size_t first = 0;  // with the same bytes
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const ByteTrie::Entry& entry = entries[i];
    if (entry.bytes != entries[first].bytes) first = i;
    if (first != i) twins.emplace_back(entries[first].value, entry.value);
    for (std::size_t at = 0; at < kStringStates; ++at) {
      add_to_strings(static_cast<StringAt>(at), entry.value, found);
    }
  }
  std::vector<ByteTrie::Entry> ends;
  ends.reserve(found.size());
  for (const auto& [text, number] : found) ends.push_back({text, number});
  suffix_count = found.size();
  suffixes = ByteTrie(std::move(ends));
  trie = ByteTrie(std::move(entries));
}

MAMBA2_FUNCTION std::size_t TokenTable::memory() const noexcept {
  std::size_t sum = sizeof *this + bytes.capacity() + begin.capacity() * sizeof begin[0] +
                    twins.capacity() * sizeof twins[0] + trie.memory() + suffixes.memory() +
                    characters.capacity() + end.capacity();
  for (const TokenMask& mask : inside) sum += mask.capacity() * sizeof mask[0];
  for (const auto& list : leaving) sum += list.capacity() * sizeof list[0];
  return sum;
}

#endif

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
