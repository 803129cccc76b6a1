// SPDX-License-Identifier: Apache-2.0
// What passes over the weights cost, measured while they are made.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

#include "mamba2/core/platform.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// How many tokens a pass takes that checks drafts: the token that is certain, and the drafts.
inline constexpr std::array<std::size_t, 8> kPassSizes = {1, 2, 3, 4, 6, 8, 12, 16};
inline constexpr std::size_t kMostInPass = kPassSizes.back();

/// The index of the largest size in kPassSizes that is at most `tokens`, which is at least 1.
[[nodiscard]] inline std::size_t pass_size_index(std::size_t tokens) noexcept {
  const auto above = std::ranges::upper_bound(kPassSizes, tokens);
  return static_cast<std::size_t>(above - kPassSizes.begin()) - 1;
}

/// A time that is measured again and again, on a machine that is sometimes interrupted: follows
/// what is shorter at once, what is longer slowly.
class RunningTime {
 public:
  void add(double seconds) noexcept {
    if (times_ < kFirst) {  // these are often those of cold memory
      seconds_ = times_ == 0 ? seconds : std::min(seconds, seconds_);
      ++times_;
    } else {
      // One that was interrupted counts as twice as long at most.
      const double change = std::min(seconds, 2.0 * seconds_) - seconds_;
      seconds_ += change < 0.0 ? change / 2.0 : change / 8.0;
    }
  }
  /// Whether it was measured twice.
  [[nodiscard]] bool is_known() const noexcept { return times_ >= 2; }
  [[nodiscard]] double get() const noexcept { return seconds_; }

 private:
  static constexpr int kFirst = 4;

  double seconds_ = 0.0;
  int times_ = 0;  // kFirst at most
};

/// Seconds of a pass, by its size. What was not measured twice is taken to be cheap, so that it is
/// tried; what was found dear is forgotten slowly, so that it is tried again.
class PassCosts {
 public:
  void add(std::size_t tokens, double seconds) noexcept {
    const std::size_t measured = pass_size_index(tokens);
    times_[measured].add(seconds);
    if (is_known() && seconds < of_one()) times_[0].add(seconds);  // one takes no longer
    for (double& age : ages_) age += 1.0;
    ages_[measured] = 0.0;
    most_ = std::max(most_, measured);
  }
  /// Whether a size was measured twice; all are compared with the first.
  [[nodiscard]] bool is_known(std::size_t index = 0) const noexcept {
    return times_[index].is_known();
  }
  [[nodiscard]] double of_one() const noexcept { return times_[0].get(); }
  /// What a size costs that is known, by its index in kPassSizes.
  [[nodiscard]] double known(std::size_t index) const noexcept { return times_[index].get(); }
  /// What any size is expected to cost.
  [[nodiscard]] double of(std::size_t index) const noexcept {
    if (index == 0) return of_one();
    if (is_known(index)) {
      const double doubt = std::min(1.0, ages_[index] / kForgotten);
      return known(index) + doubt * (std::min(cheap(index), known(index)) - known(index));
    }
    // More tokens than a size that is known cost half as much each as that has shown.
    double cost = cheap(index);
    for (std::size_t i = 1; i < index; ++i) {
      if (!is_known(i)) continue;
      const double more = static_cast<double>(kPassSizes[index] - kPassSizes[i]) /
                          static_cast<double>(kPassSizes[i] - 1);
      const double seen = known(i);
      cost = std::max(cost, seen + 0.5 * more * std::max(0.0, seen - of_one()));
    }
    return cost;
  }
  /// The index of the largest size that may be tried: a little more than what was tried already.
  [[nodiscard]] std::size_t most() const noexcept {
    return std::min(most_ + 2, kPassSizes.size() - 1);
  }

 private:
  static constexpr double kForgotten = 256.0;  // passes
  static constexpr double kCheap = 0.03;       // of a pass of one, for each token more

  [[nodiscard]] double cheap(std::size_t index) const noexcept {
    return of_one() * (1.0 + kCheap * static_cast<double>(kPassSizes[index] - 1));
  }

  std::array<RunningTime, kPassSizes.size()> times_;
  std::array<double, kPassSizes.size()> ages_{};  // passes since then
  std::size_t most_ = 0;
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
