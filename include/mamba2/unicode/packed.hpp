// SPDX-License-Identifier: Apache-2.0
// Reads the numbers that tools/make_unicode_properties.py packs into text.
#pragma once

#include <cstdint>

#include "mamba2/core/platform.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// Five bits a character, lowest first, counted from '#'; all but the last of a number have 32
/// added.
class PackedReader {
 public:
  explicit PackedReader(const char* text) noexcept : at_(text) {}

  [[nodiscard]] bool done() const noexcept { return *at_ == '\0'; }

  std::uint32_t number() noexcept {
    constexpr std::uint32_t kMore = 32;
    std::uint32_t value = 0;
    for (int shift = 0;; shift += 5) {
      const auto digit = static_cast<std::uint32_t>(*at_++ - '#');
      value |= (digit & (kMore - 1)) << shift;
      if (digit < kMore) return value;
    }
  }

  std::int32_t signed_number() noexcept {
    const std::uint32_t value = number();
    const auto half = static_cast<std::int32_t>(value / 2);
    return value % 2 == 0 ? half : -half - 1;
  }

 private:
  const char* at_;
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
