// SPDX-License-Identifier: Apache-2.0
// Strings of bytes as a tree, walked as far as an automaton follows.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/platform.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// A tree in the order in which a walk meets its nodes: of a node that leads nowhere, what is below
/// it is passed over at once.
class ByteTrie {
 public:
  struct Entry {
    std::string_view bytes;  ///< at most kMaxBytes
    std::uint32_t value;     ///< less than kNone
  };
  static constexpr std::size_t kMaxBytes = 128;
  static constexpr std::uint32_t kNone = 0xFFFFFFFFU;

  ByteTrie() : ByteTrie(std::vector<Entry>()) {}

  /// Of entries with the same bytes only the first is kept.
  explicit ByteTrie(std::vector<Entry> entries) {
    std::ranges::stable_sort(entries, {}, &Entry::bytes);
    std::vector<std::uint32_t> open = {0};  // the nodes of the last entry, the root first
    std::string_view last;
    bytes_.push_back(0);
    values_.push_back(kNone);
    next_.push_back(0);
    for (const Entry& entry : entries) {
      const auto [mine, its] = std::ranges::mismatch(entry.bytes, last);
      const auto common = static_cast<std::size_t>(mine - entry.bytes.begin());
      close(open, common + 1);
      for (const char c : entry.bytes.substr(common)) {
        open.push_back(static_cast<std::uint32_t>(bytes_.size()));
        bytes_.push_back(static_cast<std::uint8_t>(c));
        values_.push_back(kNone);
        next_.push_back(0);
      }
      if (values_[open.back()] == kNone) values_[open.back()] = entry.value;
      last = entry.bytes;
    }
    close(open, 0);
    bytes_.shrink_to_fit();
    next_.shrink_to_fit();
    values_.shrink_to_fit();
  }

  /// Calls visit(byte, child) for the nodes to which one more byte leads.
  template <class Visit>
  void for_each_child(std::uint32_t node, Visit&& visit) const {
    for (std::uint32_t i = node + 1; i < next_[node]; i = next_[i]) visit(bytes_[i], i);
  }

  /// What ends at a node, or kNone.
  [[nodiscard]] std::uint32_t value(std::uint32_t node) const noexcept { return values_[node]; }
  /// The value of the empty string, or kNone.
  [[nodiscard]] std::uint32_t root_value() const noexcept { return values_[0]; }

  [[nodiscard]] std::size_t memory() const noexcept {
    return bytes_.capacity() + (next_.capacity() + values_.capacity()) * sizeof(std::uint32_t);
  }

  /// Calls step(depth, byte) -> bool to go from what was read at `depth` one byte on, to depth + 1,
  /// and visit(depth, value) for what ends there. The empty string is not visited.
  template <class Step, class Visit>
  void walk(Step&& step, Visit&& visit) const {
    walk_below(0, 0, step, visit);
  }

  /// The same below a node, to which so many bytes lead; the root is node 0.
  template <class Step, class Visit>
  void walk_below(std::uint32_t node, std::size_t depth, Step&& step, Visit&& visit) const {
    std::array<std::uint32_t, kMaxBytes + 1> ends;
    const std::uint32_t end = next_[node];
    ends[depth] = end;
    for (std::uint32_t i = node + 1; i < end;) {
      while (i == ends[depth]) --depth;
      if (!step(depth, bytes_[i])) {
        i = next_[i];
        continue;
      }
      ends[++depth] = next_[i];
      if (values_[i] != kNone) visit(depth, values_[i]);
      ++i;
    }
  }

 private:
  void close(std::vector<std::uint32_t>& open, std::size_t keep) {
    for (; open.size() > keep; open.pop_back()) {
      next_[open.back()] = static_cast<std::uint32_t>(bytes_.size());
    }
  }

  std::vector<std::uint8_t> bytes_;    // of each node: that which leads to it
  std::vector<std::uint32_t> next_;    // the first node behind what is below it
  std::vector<std::uint32_t> values_;  // kNone: no entry ends here
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
