// SPDX-License-Identifier: Apache-2.0
// The checksum of files, and the fingerprint of models: XXH64.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "mamba2/core/platform.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// XXH64 with seed 0, from its specification (github.com/Cyan4973/xxHash, doc/xxhash_spec.md, by
/// Yann Collet), so that others' programs (xxhsum) can check what was written. The same bytes give
/// the same value on every machine, however they are cut into pieces. It finds accidents; it is no
/// protection against somebody who wants two inputs of the same value.
class Hash {
 public:
  /// Appends bytes.
  void add(std::span<const std::byte> bytes) noexcept {
    if (bytes.empty()) return;
    const std::size_t held = size_ % kStripe;
    size_ += bytes.size();
    if (held != 0) {
      const std::size_t some = std::min(kStripe - held, bytes.size());
      std::memcpy(&rest_[held], bytes.data(), some);
      bytes = bytes.subspan(some);
      if (held + some < kStripe) return;
      take(rest_.data());
    }
    // Of a copy, as bytes may alias anything: the lanes then stay in registers.
    Hash lanes = *this;
    for (; bytes.size() >= kStripe; bytes = bytes.subspan(kStripe)) lanes.take(bytes.data());
    lanes_ = lanes.lanes_;
    if (!bytes.empty()) std::memcpy(rest_.data(), bytes.data(), bytes.size());
  }

  /// Appends a number: its eight bytes, the lowest first.
  void add(std::uint64_t number) noexcept {
    number = little_endian(number);
    add(std::as_bytes(std::span(&number, 1)));
  }

  /// The value for all that was added so far.
  [[nodiscard]] std::uint64_t value() const noexcept {
    std::uint64_t hash = kPrime5;
    if (size_ >= kStripe) {
      hash = std::rotl(lanes_[0], 1) + std::rotl(lanes_[1], 7) + std::rotl(lanes_[2], 12) +
             std::rotl(lanes_[3], 18);
      for (const std::uint64_t lane : lanes_) hash = (hash ^ round(0, lane)) * kPrime1 + kPrime4;
    }
    hash += size_;
    const std::byte* rest = rest_.data();
    std::size_t left = size_ % kStripe;
    for (; left >= 8; left -= 8, rest += 8) {
      hash = std::rotl(hash ^ round(0, load<std::uint64_t>(rest)), 27) * kPrime1 + kPrime4;
    }
    for (; left >= 4; left -= 4, rest += 4) {
      hash = std::rotl(hash ^ load<std::uint32_t>(rest) * kPrime1, 23) * kPrime2 + kPrime3;
    }
    for (; left > 0; --left, ++rest) {
      hash = std::rotl(hash ^ std::to_integer<std::uint64_t>(*rest) * kPrime5, 11) * kPrime1;
    }
    hash = (hash ^ hash >> 33U) * kPrime2;
    hash = (hash ^ hash >> 29U) * kPrime3;
    return hash ^ hash >> 32U;
  }

  /// The value for some bytes.
  [[nodiscard]] static std::uint64_t of(std::span<const std::byte> bytes) noexcept {
    Hash hash;
    hash.add(bytes);
    return hash.value();
  }

 private:
  static constexpr std::size_t kStripe = 32;
  static constexpr std::uint64_t kPrime1 = 0x9E3779B185EBCA87U;
  static constexpr std::uint64_t kPrime2 = 0xC2B2AE3D27D4EB4FU;
  static constexpr std::uint64_t kPrime3 = 0x165667B19E3779F9U;
  static constexpr std::uint64_t kPrime4 = 0x85EBCA77C2B2AE63U;
  static constexpr std::uint64_t kPrime5 = 0x27D4EB2F165667C5U;

  [[nodiscard]] static constexpr std::uint64_t round(std::uint64_t lane,
                                                     std::uint64_t word) noexcept {
    return std::rotl(lane + word * kPrime2, 31) * kPrime1;
  }

  /// The number whose bytes in memory are those of `number`, the lowest first; its own inverse.
  template <class Number>
  [[nodiscard]] static constexpr Number little_endian(Number number) noexcept {
    if constexpr (std::endian::native == std::endian::little) return number;
    Number swapped = 0;
    for (std::size_t i = 0; i < sizeof number; ++i) {
      swapped = static_cast<Number>(swapped << 8U | (number >> (8 * i) & 0xFFU));
    }
    return swapped;
  }

  template <class Number>
  [[nodiscard]] static Number load(const std::byte* from) noexcept {
    Number number;
    std::memcpy(&number, from, sizeof number);
    return little_endian(number);
  }

  void take(const std::byte* stripe) noexcept {
    for (std::size_t i = 0; i < lanes_.size(); ++i) {
      lanes_[i] = round(lanes_[i], load<std::uint64_t>(stripe + 8 * i));
    }
  }

  std::array<std::uint64_t, 4> lanes_ = {kPrime1 + kPrime2, kPrime2, 0, 0 - kPrime1};
  std::array<std::byte, kStripe> rest_{};  // the first size_ % kStripe are the last bytes added
  std::uint64_t size_ = 0;
};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
