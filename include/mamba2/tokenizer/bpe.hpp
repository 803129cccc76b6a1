// SPDX-License-Identifier: Apache-2.0
// Byte pair encoding of one piece of text: of the adjacent tokens that merge, those of the lowest
// rank are merged, the leftmost first, until none do.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/tokenizer/hash_index.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

class Bpe {
 public:
  static constexpr Token kNoToken = -1;
  static constexpr std::size_t kMaxMerges = std::size_t{1} << 24;

  using ByteTokens = std::array<Token, 256>;

  Bpe() { byte_tokens_.fill(kNoToken); }
  /// @param byte_tokens the token of each byte, or kNoToken: such bytes are left out of a text
  /// @param merges ranks are below kMaxMerges
  Bpe(const ByteTokens& byte_tokens, MergeTable merges)
      : byte_tokens_(byte_tokens), merges_(std::move(merges)) {}

  /// Memory for long pieces, reused from one to the next.
  struct Scratch;

  /// Appends the tokens of `piece`.
  void encode(std::string_view piece, Scratch& scratch, std::vector<Token>& out) const;

  /// Appends what becomes of tokens that follow each other.
  void merge(std::span<const Token> symbols, Scratch& scratch, std::vector<Token>& out) const;

 private:
  static constexpr std::size_t kShort = 48;

  void merge_short(std::array<Token, kShort>& ids, std::size_t n, std::vector<Token>& out) const;
  void merge_long(std::span<const Token> ids, Scratch& scratch, std::vector<Token>& out) const;

  ByteTokens byte_tokens_;
  MergeTable merges_;
};

struct Bpe::Scratch {
  static constexpr std::size_t kNone = SIZE_MAX;

  struct Symbol {
    Token id;  // kNoToken: merged into its left neighbour
    std::size_t previous, next;
  };
  std::vector<Symbol> symbols;
  std::vector<Token> ids;  // of a long piece's bytes
  /// A heap of rank << 40 | position of the left symbol, so that the order is that of the rules.
  std::vector<std::uint64_t> queue;
};

inline void Bpe::encode(std::string_view piece, Scratch& scratch, std::vector<Token>& out) const {
  const auto each_byte = [&](const auto& add) {
    for (const char c : piece) {
      const Token id = byte_tokens_[static_cast<unsigned char>(c)];
      if (id != kNoToken) add(id);
    }
  };
  if (piece.size() <= kShort) {
    std::array<Token, kShort> ids;
    std::size_t n = 0;
    each_byte([&](Token id) { ids[n++] = id; });
    return merge_short(ids, n, out);
  }
  scratch.ids.clear();
  scratch.ids.reserve(piece.size());  // a piece may be a whole prompt: no room for growth
  each_byte([&](Token id) { scratch.ids.push_back(id); });
  merge_long(scratch.ids, scratch, out);
}

inline void Bpe::merge(std::span<const Token> symbols, Scratch& scratch,
                       std::vector<Token>& out) const {
  if (symbols.size() > kShort) return merge_long(symbols, scratch, out);
  std::array<Token, kShort> ids;
  std::copy(symbols.begin(), symbols.end(), ids.begin());
  merge_short(ids, symbols.size(), out);
}

/// Quadratic in the length of the piece, and the fastest there is for a few dozen bytes.
inline void Bpe::merge_short(std::array<Token, kShort>& ids, std::size_t n,
                             std::vector<Token>& out) const {
  std::array<Merge, kShort> merges;  // of ids[i] and ids[i + 1]
  const auto find = [&](std::size_t i) {
    return i + 1 < n ? merges_.find(ids[i], ids[i + 1]) : Merge{};
  };
  for (std::size_t i = 0; i < n; ++i) merges[i] = find(i);
  while (n > 1) {
    std::size_t best = 0;
    for (std::size_t i = 1; i + 1 < n; ++i) {
      if (merges[i].rank < merges[best].rank) best = i;
    }
    if (merges[best].rank == Merge::kNoRank) break;
    ids[best] = merges[best].id;
    std::move(ids.begin() + best + 2, ids.begin() + n, ids.begin() + best + 1);
    std::move(merges.begin() + best + 2, merges.begin() + n, merges.begin() + best + 1);
    --n;
    merges[best] = find(best);
    if (best > 0) merges[best - 1] = find(best - 1);
  }
  out.insert(out.end(), ids.begin(), ids.begin() + n);
}

/// n log n in the length of the piece: a linked list of symbols and a heap of possible merges.
inline void Bpe::merge_long(std::span<const Token> ids, Scratch& scratch,
                            std::vector<Token>& out) const {
  constexpr int kPositionBits = 40;
  constexpr std::uint64_t kPositionMask = (std::uint64_t{1} << kPositionBits) - 1;
  auto& symbols = scratch.symbols;
  auto& queue = scratch.queue;
  symbols.clear();
  queue.clear();
  symbols.reserve(ids.size());  // a piece may be a whole prompt: no room for growth
  for (const Token id : ids) {
    const std::size_t i = symbols.size();
    symbols.push_back({id, i == 0 ? Scratch::kNone : i - 1, i + 1});
  }
  if (symbols.empty()) return;
  symbols.back().next = Scratch::kNone;

  const auto find = [&](std::size_t i) {
    const std::size_t next = symbols[i].next;
    return next == Scratch::kNone || symbols[i].id == kNoToken
               ? Merge{}
               : merges_.find(symbols[i].id, symbols[next].id);
  };
  const auto enqueue = [&](std::size_t i) {
    const Merge merge = find(i);
    if (merge.rank == Merge::kNoRank) return false;
    queue.push_back(std::uint64_t{merge.rank} << kPositionBits | i);
    return true;
  };
  const auto push = [&](std::size_t i) {
    if (enqueue(i)) std::push_heap(queue.begin(), queue.end(), std::greater<>());
  };
  for (std::size_t i = 0; i < symbols.size(); ++i) enqueue(i);
  std::make_heap(queue.begin(), queue.end(), std::greater<>());

  while (!queue.empty()) {
    const std::uint64_t top = queue.front();
    std::pop_heap(queue.begin(), queue.end(), std::greater<>());
    queue.pop_back();
    const std::size_t i = top & kPositionMask;
    const Merge merge = find(i);
    if (merge.rank != top >> kPositionBits) continue;  // one of the two has been merged meanwhile
    const std::size_t right = symbols[i].next;
    symbols[i].id = merge.id;
    symbols[i].next = symbols[right].next;
    symbols[right].id = kNoToken;
    if (symbols[i].next != Scratch::kNone) symbols[symbols[i].next].previous = i;
    push(i);
    if (symbols[i].previous != Scratch::kNone) push(symbols[i].previous);
  }
  for (std::size_t i = 0; i != Scratch::kNone; i = symbols[i].next) out.push_back(symbols[i].id);
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
