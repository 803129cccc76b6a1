// SPDX-License-Identifier: Apache-2.0
// What prompts begin with, read once.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <list>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "mamba2/layers/state.hpp"
#include "mamba2/sequence/session.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// Remembers States by the tokens that they have read, so that a prompt which begins like one
/// before is read from there on. Never takes more than its budget: what was not used for longest
/// goes first. For any number of models and of threads at a time; a thread waits while another
/// copies a state, but not while it reads tokens. The search looks at every entry: it takes
/// microseconds for hundreds of them.
class PrefixCache {
 public:
  /// budget: bytes that all entries may take together: a State and a few bytes for each token.
  explicit PrefixCache(std::size_t budget) : budget_(budget) {}

  /// The session starts anew and reads tokens, from the longest prefix on that is remembered.
  /// Returns the logits after the last one, as Session::prefill(), and remembers the state that has
  /// read them all: the same tokens again cost one pass over the head, and give the same bits for
  /// as long as they are remembered. Where no prefix is, these are the bits of Session::prefill();
  /// after a prefix they are as those of a text that is read in two pieces. Errors: those of
  /// Session::prefill; nothing has changed then.
  [[nodiscard]] Result<std::span<const float>> prefill(AnySession& session,
                                                       std::span<const Token> tokens);

  /// Makes `state` the one after the longest prefix of tokens that is remembered, of the model of
  /// this fingerprint; after all of them only if it knows the next logits (State::last). Returns
  /// how many tokens that are; 0: state is as it was.
  [[nodiscard]] std::size_t find(std::uint64_t fingerprint, std::span<const Token> tokens,
                                 State& state) {
    return find(fingerprint, tokens, state, [&](const State& found) { state = found; });
  }

  /// Remembers the state that has read these tokens. Returns false if it does not: for want of
  /// memory, because the state is larger than the budget, or because there are rows among the
  /// tokens (kRow), which have no ids: what comes before the first of them can be remembered.
  bool insert(std::uint64_t fingerprint, std::span<const Token> tokens, const State& state);

  void clear() {
    const std::scoped_lock lock(mutex_);
    entries_.clear();
    bytes_ = 0;
  }

  /// Bytes that its entries take; never more than the budget.
  [[nodiscard]] std::size_t bytes() const {
    const std::scoped_lock lock(mutex_);
    return bytes_;
  }
  [[nodiscard]] std::size_t entries() const {
    const std::scoped_lock lock(mutex_);
    return entries_.size();
  }
  [[nodiscard]] std::size_t budget() const noexcept { return budget_; }

 private:
  struct Entry {
    std::uint64_t fingerprint;
    std::vector<Token> tokens;
    State state;

    [[nodiscard]] bool is(std::uint64_t model, const State& like) const {
      return fingerprint == model && state.same_shape(like);
    }
  };

  [[nodiscard]] static std::size_t bytes_of(std::size_t tokens, const State& state) {
    return sizeof(Entry) + tokens * sizeof(Token) + state.used_bytes();
  }

  /// Calls use(state) with what find() finds, which is of the shape of `like`.
  template <class Use>
  std::size_t find(std::uint64_t fingerprint, std::span<const Token> tokens, const State& like,
                   Use&& use);

  const std::size_t budget_;
  mutable std::mutex mutex_;
  std::list<Entry> entries_;  // the last used first
  std::size_t bytes_ = 0;
};

template <class Use>
std::size_t PrefixCache::find(std::uint64_t fingerprint, std::span<const Token> tokens,
                              const State& like, Use&& use) {
  const std::scoped_lock lock(mutex_);
  auto best = entries_.end();
  for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
    const std::size_t length = entry->tokens.size();
    const bool is_longer = best == entries_.end() || length > best->tokens.size();
    const bool is_enough = length < tokens.size() || !entry->state.last().empty();
    if (is_longer && is_enough && length <= tokens.size() && entry->is(fingerprint, like) &&
        std::ranges::equal(entry->tokens, tokens.first(length))) {
      best = entry;
    }
  }
  if (best == entries_.end()) return 0;
  entries_.splice(entries_.begin(), entries_, best);
  use(std::as_const(best->state));
  return best->tokens.size();
}

inline bool PrefixCache::insert(std::uint64_t fingerprint, std::span<const Token> tokens,
                                const State& state) {
  const std::size_t needed = bytes_of(tokens.size(), state);
  const bool has_rows = std::ranges::find(tokens, kRow) != tokens.end();
  if (tokens.empty() || has_rows || needed > budget_) return false;
  const std::scoped_lock lock(mutex_);
  const auto same = std::ranges::find_if(entries_, [&](const Entry& entry) {
    return entry.is(fingerprint, state) && std::ranges::equal(entry.tokens, tokens);
  });
  if (same != entries_.end()) {
    entries_.splice(entries_.begin(), entries_, same);
    if (same->state.last().empty()) same->state = state;
    return true;
  }
  while (bytes_ > budget_ - needed) {
    bytes_ -= bytes_of(entries_.back().tokens.size(), entries_.back().state);
    entries_.pop_back();
  }
  Result<State> copy = state.copy();
  if (!copy) return false;
  entries_.push_front({fingerprint, {tokens.begin(), tokens.end()}, *std::move(copy)});
  bytes_ += needed;
  return true;
}

inline Result<std::span<const float>> PrefixCache::prefill(AnySession& session,
                                                           std::span<const Token> tokens) {
  const auto is_unknown = [rows = session.config().vocab_size](Token token) {
    return token < 0 || static_cast<std::size_t>(token) >= rows;
  };
  const std::size_t context = session.state().context();
  const bool is_refused = tokens.empty() || std::ranges::any_of(tokens, is_unknown) ||
                          (context > 0 && tokens.size() > context);
  if (is_refused) return session.prefill(tokens);  // which says why

  Result<void> set;
  const std::size_t known = find(session.fingerprint(), tokens, session.state(),
                                 [&](const State& state) { set = session.set_state(state); });
  if (!set) return std::move(set).error();
  if (known == 0) session.reset();
  if (known == tokens.size()) return session.logits();
  auto logits = session.prefill(tokens.subspan(known));
  if (logits) insert(session.fingerprint(), tokens, session.state());
  return logits;
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2
