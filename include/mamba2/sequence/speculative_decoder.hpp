// SPDX-License-Identifier: Apache-2.0
// decode() with drafts: the logits of plain decoding, from fewer passes over the weights.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "mamba2/core/linkage.hpp"
#include "mamba2/core/result.hpp"
#include "mamba2/sequence/session.hpp"
#include "mamba2/sequence/speculator.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// Takes a Session further token by token, as its decode() does and with the same logits: a token
/// that was drafted was read already, together with the one before it. So whoever chooses tokens
/// chooses what he would have chosen. Meanwhile the session has read more than that; finish(), or
/// the end of this object, takes back what did not come. Session and Speculator must outlive it.
/// Allocates nothing.
class SpeculativeDecoder {
 public:
  /// speculator: null decodes plainly; else check()ed for this session.
  SpeculativeDecoder(AnySession& session, Speculator* speculator)
      : session_(session), speculator_(speculator), begin_(session.state().tokens()) {}
  SpeculativeDecoder(const SpeculativeDecoder&) = delete;
  SpeculativeDecoder& operator=(const SpeculativeDecoder&) = delete;
  ~SpeculativeDecoder() { static_cast<void>(finish()); }

  /// The logits after one token more, (vocab_size), valid until the next call. most: how many may
  /// follow it that are worth reading. Errors: those of Session::decode().
  [[nodiscard]] Result<std::span<const float>> decode(
      Token token, std::size_t most = std::numeric_limits<std::size_t>::max()) {
    if (speculator_ == nullptr) return session_.decode(token);
    if (kept_ < read_) {
      const bool is_right = pass_[kept_] == token;
      judge(is_right);
      if (is_right) {
        speculator_->read(tokens(), std::span(&token, 1));
        return logits_after(kept_++);
      }
    }
    if (auto ended = end_pass(); !ended) return ended.error();
    return begin_pass(token, most);
  }

  /// Tokens that the session will have read after finish(): all that decode() was given.
  [[nodiscard]] std::uint64_t tokens() const noexcept {
    return speculator_ == nullptr ? session_.state().tokens() : begin_ + kept_;
  }
  /// Those that there is still room for.
  [[nodiscard]] std::size_t room() const noexcept {
    const std::size_t room = session_.state().room();
    const bool is_limited = room != std::numeric_limits<std::size_t>::max();
    return is_limited ? room + (read_ - kept_) : room;
  }

  /// The session becomes what it is after plain decoding, logits() included. Error: that of rewind.
  [[nodiscard]] Result<void> finish();

 private:
  [[nodiscard]] std::span<const float> logits_after(std::size_t place) const noexcept {
    const std::size_t vocab_size = speculator_->vocab_size_;
    return std::span<const float>(speculator_->logits_).subspan(place * vocab_size, vocab_size);
  }

  void judge(bool is_right) noexcept {
    speculator_->policy_.rates().add(speculator_->kinds_[kept_ - 1], is_right);
    ++speculator_->stats_.drafted;
    if (is_right) ++speculator_->stats_.accepted;
  }

  [[nodiscard]] Result<std::span<const float>> begin_pass(Token token, std::size_t most);
  /// Counts the pass and takes back what is too much.
  [[nodiscard]] Result<void> end_pass();

  AnySession& session_;
  Speculator* speculator_;
  std::uint64_t begin_;  // tokens before the pass
  std::array<Token, detail::kMostInPass> pass_{};
  std::size_t read_ = 0, kept_ = 0;  // of these, from the first
  double seconds_ = 0.0, drafting_seconds_ = 0.0;
};

#if MAMBA2_HAS_DEFINITIONS

MAMBA2_FUNCTION Result<std::span<const float>> SpeculativeDecoder::begin_pass(Token token,
                                                                              std::size_t most) {
  Speculator& s = *speculator_;
  const std::size_t room = session_.state().room();
  const double start = s.now();
  s.read(begin_, std::span(&token, 1));
  const auto drafts = s.draft(std::min(most, room > 0 ? room - 1 : 0));
  pass_[0] = token;
  std::ranges::copy(drafts, pass_.begin() + 1);
  const std::size_t count = 1 + drafts.size();
  const double drafted = s.now();
  Result<std::span<const float>> logits = std::span<const float>();
  if (count == 1) {
    s.policy_.rates().add_undrafted();
    logits = session_.decode(token);
  } else {
    const auto rows = std::span(s.logits_).first(count * s.vocab_size_);
    const auto outcome = session_.decode(std::span(pass_).first(count), rows);
    if (outcome) {
      logits = logits_after(0);
    } else {
      logits = outcome.error();
    }
  }
  if (!logits) return logits;
  read_ = count;
  kept_ = 1;
  drafting_seconds_ = drafted - start;
  seconds_ = s.now() - drafted;
  return logits;
}

MAMBA2_FUNCTION Result<void> SpeculativeDecoder::end_pass() {
  if (read_ == 0) return {};
  Speculator& s = *speculator_;
  s.policy_.add_pass(read_, seconds_, kept_);
  ++s.stats_.passes;
  s.stats_.tokens += kept_;
  s.stats_.seconds += seconds_ + drafting_seconds_;
  s.stats_.drafting_seconds += drafting_seconds_;
  if (read_ == 1) {
    ++s.stats_.single_passes;
    s.stats_.single_seconds += seconds_;
  }
  begin_ += kept_;
  const bool is_too_much = kept_ < read_;
  read_ = kept_ = 0;
  return is_too_much ? session_.rewind(begin_) : Result<void>();
}

MAMBA2_FUNCTION Result<void> SpeculativeDecoder::finish() {
  if (speculator_ == nullptr || read_ == 0) return {};
  const Token last = pass_[kept_ - 1];
  if (auto ended = end_pass(); !ended) return ended;
  if (!session_.state().last().empty()) return {};
  // What the logits are made of went with the tokens that were taken back.
  if (auto back = session_.rewind(begin_ - 1); !back) return back;
  const auto logits = session_.decode(last);
  return logits ? Result<void>() : logits.error();
}

#endif

}  // namespace MAMBA2_ISA
}  // namespace mamba2
