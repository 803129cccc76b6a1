// SPDX-License-Identifier: Apache-2.0
// Hash tables of fixed capacity for strings and for pairs of tokens. A probe never takes more than
// kMaxProbes steps: keys chosen to collide are an error at insertion, not a program that hangs.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "mamba2/layers/config.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

inline constexpr std::size_t kMaxProbes = 1024;  // at half load honest keys take a few dozen

[[nodiscard]] constexpr std::uint64_t mix(std::uint64_t x) noexcept {
  x *= 0x9E3779B97F4A7C15U;
  x ^= x >> 32;
  x *= 0xD6E8FEB86659FD93U;
  return x ^ x >> 29;
}

[[nodiscard]] inline std::uint64_t hash_bytes(std::string_view text) noexcept {
  std::uint64_t hash = text.size();
  for (; text.size() > 8; text.remove_prefix(8)) {
    std::uint64_t word;
    std::memcpy(&word, text.data(), sizeof word);
    hash = mix(hash ^ word);
  }
  std::uint64_t last = 0;
  for (const char c : text) last = last << 8 | static_cast<unsigned char>(c);
  return mix(hash ^ last);
}

/// Maps strings, which are kept elsewhere, to numbers.
class StringIndex {
 public:
  static constexpr std::uint32_t kNone = UINT32_MAX;

  StringIndex() = default;
  /// @param capacity the number of strings that will be inserted, at most
  explicit StringIndex(std::size_t capacity) : slots_(std::bit_ceil(2 * capacity + 1)) {}

  /// The number of `key`, kNone if it is not there. `key_of(number)` returns an inserted string.
  template <class KeyOf>
  [[nodiscard]] std::uint32_t find(std::string_view key, const KeyOf& key_of) const {
    if (slots_.empty()) return kNone;
    const std::uint64_t hash = hash_bytes(key);
    const std::uint32_t tag = tag_of(hash);
    for (std::size_t i = hash & mask(), probes = 0; probes < kMaxProbes;
         i = (i + 1) & mask(), ++probes) {
      const Slot& slot = slots_[i];
      if (slot.number == kNone) break;
      if (slot.tag == tag && key_of(slot.number) == key) return slot.number;
    }
    return kNone;
  }

  /// @param key not inserted before
  /// @return false if too many keys collide
  [[nodiscard]] bool insert(std::string_view key, std::uint32_t number) {
    const std::uint64_t hash = hash_bytes(key);
    for (std::size_t i = hash & mask(), probes = 0; probes < kMaxProbes;
         i = (i + 1) & mask(), ++probes) {
      if (slots_[i].number == kNone) {
        slots_[i] = {tag_of(hash), number};
        return true;
      }
    }
    return false;
  }

 private:
  struct Slot {
    std::uint32_t tag = 0;
    std::uint32_t number = kNone;
  };
  [[nodiscard]] static std::uint32_t tag_of(std::uint64_t hash) noexcept {
    return static_cast<std::uint32_t>(hash >> 32);
  }
  [[nodiscard]] std::size_t mask() const noexcept { return slots_.size() - 1; }

  std::vector<Slot> slots_;
};

/// What two adjacent tokens become; the lowest rank goes first.
struct Merge {
  static constexpr std::uint32_t kNoRank = UINT32_MAX;

  std::uint32_t rank = kNoRank;
  Token id = 0;
};

/// Maps pairs of tokens to merges.
class MergeTable {
 public:
  MergeTable() = default;
  /// @param capacity the number of merges that will be inserted, at most
  explicit MergeTable(std::size_t capacity) : slots_(std::bit_ceil(2 * capacity + 1)) {}

  /// The merge of `left` and `right`; its rank is kNoRank if they do not merge.
  [[nodiscard]] Merge find(Token left, Token right) const noexcept {
    const std::uint64_t key = key_of(left, right);
    for (std::size_t i = mix(key) & mask(), probes = 0; probes < kMaxProbes;
         i = (i + 1) & mask(), ++probes) {
      if (slots_[i].key == key) return slots_[i].merge;
      if (slots_[i].key == kEmpty) break;
    }
    return {};
  }

  /// Inserts a merge or replaces that of the same pair.
  /// @return false if too many keys collide
  [[nodiscard]] bool insert(Token left, Token right, Merge merge) {
    const std::uint64_t key = key_of(left, right);
    for (std::size_t i = mix(key) & mask(), probes = 0; probes < kMaxProbes;
         i = (i + 1) & mask(), ++probes) {
      if (slots_[i].key != key && slots_[i].key != kEmpty) continue;
      slots_[i] = {key, merge};
      return true;
    }
    return false;
  }

 private:
  static constexpr std::uint64_t kEmpty = UINT64_MAX;  // no key: tokens are not negative
  struct Slot {
    std::uint64_t key = kEmpty;
    Merge merge;
  };
  [[nodiscard]] static std::uint64_t key_of(Token left, Token right) noexcept {
    return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 |
           static_cast<std::uint32_t>(right);
  }
  [[nodiscard]] std::size_t mask() const noexcept { return slots_.size() - 1; }

  std::vector<Slot> slots_ = std::vector<Slot>(1);
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
