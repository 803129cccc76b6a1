// SPDX-License-Identifier: Apache-2.0
// The numbers of a range, as they are written.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>

#include "mamba2/text/grammar/graph_builder.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// Numbers low..high in units of 10^-places, written with up to `places` digits behind a point:
/// |low| and |high| below 10^18.
struct NumberRange {
  std::int64_t low, high;
  unsigned places;
};

/// Makes states for the numbers of a range. After some digits, what may follow depends on which
/// numbers they can still become: that is the same for nearly all digits, and differs only along
/// the digits of the two ends.
class NumberGraph {
 public:
  NumberGraph(GraphBuilder& graph, unsigned places) : graph_(graph), places_(places) {}

  /// The state where such a number begins. The range is not empty.
  [[nodiscard]] GraphBuilder::State make(const NumberRange& range) {
    const auto start = graph_.add();
    if (range.high >= 0) {
      set(static_cast<std::uint64_t>(std::max<std::int64_t>(range.low, 0)),
          static_cast<std::uint64_t>(range.high));
      first_digit(start);
    }
    if (range.low < 0) {
      set(range.high < 0 ? static_cast<std::uint64_t>(-range.high) : 1U,
          static_cast<std::uint64_t>(-range.low));
      const auto minus = graph_.add();
      graph_.connect(start, '-', minus);
      first_digit(minus);
    }
    return start;
  }

 private:
  using State = GraphBuilder::State;
  enum class Fit { none, some, all };

  [[nodiscard]] static constexpr std::uint64_t ten_to(unsigned power) {
    std::uint64_t value = 1;
    for (; power > 0; --power) value *= 10;
    return value;
  }

  void set(std::uint64_t low, std::uint64_t high) {
    low_ = low;
    high_ = high;
    digits_ = 1;
    while (digits_ + places_ < 18 && ten_to(digits_ + places_) <= high) ++digits_;
    known_.clear();
  }

  /// How many of the numbers value * size .. value * size + size - 1 are in the range.
  [[nodiscard]] Fit fit(std::uint64_t value, std::uint64_t size) const {
    const std::uint64_t first = value * size;
    const std::uint64_t last = first + (size - 1);
    if (last < low_ || first > high_) return Fit::none;
    return first >= low_ && last <= high_ ? Fit::all : Fit::some;
  }

  void first_digit(State from) {
    for (unsigned digit = 0; digit < 10; ++digit) {
      const State to = digit == 0 ? whole(0, digits_) : whole(digit, 1);
      if (to != kNowhere) graph_.connect(from, '0' + digit, '0' + digit, to);
    }
  }

  /// The state after the digits of `value`, so many, before the point; after a 0 no digit follows.
  [[nodiscard]] State whole(std::uint64_t value, unsigned digits) {
    // What is left for each number of digits that may follow, in base 3; and what tells the states
    // apart where it is not the same for all values.
    std::uint64_t key = 0;
    bool same = true;
    for (unsigned more = 0; more + digits <= digits_; ++more) {
      const Fit f = fit(value, ten_to(more + places_));
      key = 3 * key + static_cast<std::uint64_t>(f);
      same = same && f != Fit::some;
    }
    if (key == 0) return kNowhere;
    const auto [known, is_new] = known_.try_emplace({digits, same ? key : 0, same ? 0 : value});
    if (!is_new) return known->second;
    const State state = graph_.add(fit(value * ten_to(places_), 1) == Fit::all);
    known->second = state;
    for (unsigned digit = 0; digit < 10 && digits < digits_; ++digit) {
      const State to = whole(10 * value + digit, digits + 1);
      if (to != kNowhere) graph_.connect(state, '0' + digit, '0' + digit, to);
    }
    if (places_ > 0 && fit(value, ten_to(places_)) != Fit::none) point(state, value);
    return state;
  }

  void point(State from, std::uint64_t value) {
    const State after = graph_.add();
    graph_.connect(from, '.', after);
    fraction_digits(after, value, 0);
  }

  void fraction_digits(State from, std::uint64_t value, unsigned digits) {
    for (unsigned digit = 0; digit < 10 && digits < places_; ++digit) {
      const State to = fraction(10 * value + digit, digits + 1);
      if (to != kNowhere) graph_.connect(from, '0' + digit, '0' + digit, to);
    }
  }

  /// The state after so many digits behind the point; value: of all digits.
  [[nodiscard]] State fraction(std::uint64_t value, unsigned digits) {
    constexpr unsigned kBehindPoint = 100;
    const Fit f = fit(value, ten_to(places_ - digits));
    if (f == Fit::none) return kNowhere;
    const bool same = f == Fit::all;
    const auto [known, is_new] =
        known_.try_emplace({kBehindPoint + digits, same ? 1U : 0U, same ? 0 : value});
    if (!is_new) return known->second;
    const State state = graph_.add(fit(value * ten_to(places_ - digits), 1) == Fit::all);
    known->second = state;
    fraction_digits(state, value, digits);
    return state;
  }

  static constexpr State kNowhere = 0xFFFFFFFFU;

  GraphBuilder& graph_;
  unsigned places_;
  std::uint64_t low_ = 0;
  std::uint64_t high_ = 0;
  unsigned digits_ = 1;  // before the point, at most
  std::map<std::array<std::uint64_t, 3>, State> known_;
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
