// SPDX-License-Identifier: Apache-2.0
// How far a sequence has come, and how far it can go back.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "mamba2/kernels/ssd.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// The tokens of a sequence: those that were read, those that stay, and those that the SSM states
/// have, which are whole chunks of such that stay.
class Reach {
 public:
  /// rewind: see StateOptions.
  explicit Reach(std::size_t rewind) : rewind_(rewind) {}

  /// Tokens that were read.
  [[nodiscard]] std::uint64_t tokens() const noexcept { return tokens_; }
  /// Of these, those that the SSM states have; and when so many more have been read.
  [[nodiscard]] std::uint64_t base() const noexcept { return base_; }
  [[nodiscard]] std::uint64_t base(std::size_t more) const noexcept {
    const std::uint64_t end = tokens_ + more;
    const std::uint64_t stays = rewind_ == 0 ? end : std::max(stays_, before(end));
    return std::max(base_, std::min(end, stays) / kernels::kChunk * kernels::kChunk);
  }
  /// The fewest that can be gone back to, where the SSM states or windows remember more.
  [[nodiscard]] std::uint64_t least() const noexcept {
    return rewind_ == 0 ? tokens_ : std::max(base_, oldest_);
  }

  /// State::expect().
  void expect(std::size_t more) noexcept {
    if (settles_) stays_ = tokens_ + more - std::min(more, rewind_);
  }
  /// State::settle().
  void settle() noexcept {
    stays_ = tokens_;
    settles_ = false;
  }
  /// So many more were read.
  void count(std::size_t more) noexcept {
    base_ = base(more);
    tokens_ += more;
    oldest_ = std::max(oldest_, before(tokens_));
  }
  /// The last ones were taken back.
  void go_back(std::uint64_t tokens) noexcept { tokens_ = tokens; }
  /// A sequence that was read elsewhere: nothing of it can be taken back.
  void resume(std::uint64_t tokens, std::uint64_t base) noexcept {
    *this = Reach(rewind_);
    tokens_ = stays_ = oldest_ = tokens;
    base_ = base;
  }

 private:
  [[nodiscard]] std::uint64_t before(std::uint64_t end) const noexcept {
    return end - std::min<std::uint64_t>(end, rewind_);
  }

  std::size_t rewind_;
  std::uint64_t tokens_ = 0;
  std::uint64_t base_ = 0;
  std::uint64_t stays_ = 0;   // that cannot be taken back when what is expected has been read
  std::uint64_t oldest_ = 0;  // windows can go back to
  bool settles_ = true;       // with every call that reads
};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
