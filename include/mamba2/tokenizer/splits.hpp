// SPDX-License-Identifier: Apache-2.0
// The pieces that become of a text where a pattern was found in it.
#pragma once

#include <cstddef>

#include "mamba2/tokenizer/steps.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// Takes the stretches of a text one after the other, those that a pattern matches and those
/// between, and calls emit(begin, end) for each piece that they make.
template <class Emit>
class Splits {
 public:
  Splits(SplitBehavior behavior, const Emit& emit) : behavior_(behavior), emit_(emit) {}

  void add(std::size_t begin, std::size_t end, bool is_match) {
    if (joins(is_match)) {
      end_ = end;
    } else if (behavior_ == SplitBehavior::removed && is_match) {
      finish();
    } else {
      finish();
      begin_ = begin;
      end_ = end;
      pending_ = true;
    }
    after_match_ = is_match;
  }

  void finish() {
    if (pending_ && begin_ < end_) emit_(begin_, end_);
    pending_ = false;
  }

 private:
  /// Whether this stretch and the one before it are one piece.
  [[nodiscard]] bool joins(bool is_match) const noexcept {
    if (!pending_) return false;
    switch (behavior_) {
      case SplitBehavior::removed:
      case SplitBehavior::isolated:
        return false;
      case SplitBehavior::merged_with_previous:
        return is_match && !after_match_;
      case SplitBehavior::merged_with_next:
        return !is_match && after_match_;
      case SplitBehavior::contiguous:
        return is_match == after_match_;
    }
    return false;
  }

  SplitBehavior behavior_;
  const Emit& emit_;
  std::size_t begin_ = 0, end_ = 0;
  bool pending_ = false;
  bool after_match_ = false;
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
