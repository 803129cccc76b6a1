// SPDX-License-Identifier: Apache-2.0
// Ends a stream of text at the first of some strings.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/platform.hpp"

namespace mamba2::inline MAMBA2_ISA {

/// Passes text on until one of the strings appears in it, and holds back what may yet turn out to
/// be the beginning of one.
class StopStrings {
 public:
  /// Empty strings are ignored.
  explicit StopStrings(std::vector<std::string> stops) : stops_(std::move(stops)) {
    std::erase_if(stops_, [](const std::string& stop) { return stop.empty(); });
  }

  /// Takes more text; returns what may be given out now, valid until the next call.
  [[nodiscard]] std::string_view push(std::string_view text) {
    if (stopped_) return {};
    held_.erase(0, given_);
    held_ += text;
    std::size_t end = std::string::npos;
    for (const std::string& stop : stops_) end = std::min(end, held_.find(stop));
    stopped_ = end != std::string::npos;
    given_ = stopped_ ? end : held_.size() - possible_beginning();
    return std::string_view(held_).substr(0, given_);
  }

  /// The end of the text: returns what was held back.
  [[nodiscard]] std::string_view finish() {
    if (stopped_) return {};
    held_.erase(0, std::exchange(given_, 0));
    return held_;
  }

  /// Whether one of the strings has appeared.
  [[nodiscard]] bool stopped() const noexcept { return stopped_; }

 private:
  /// The length of the longest end of held_ with which a stop string begins.
  [[nodiscard]] std::size_t possible_beginning() const {
    std::size_t longest = 0;
    for (const std::string& stop : stops_) {
      for (std::size_t n = std::min(stop.size() - 1, held_.size()); n > longest; --n) {
        if (std::string_view(held_).ends_with(std::string_view(stop).substr(0, n))) longest = n;
      }
    }
    return longest;
  }

  std::vector<std::string> stops_;
  std::string held_;
  std::size_t given_ = 0;
  bool stopped_ = false;
};

}  // namespace mamba2::inline MAMBA2_ISA
