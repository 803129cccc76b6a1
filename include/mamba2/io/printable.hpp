// SPDX-License-Identifier: Apache-2.0
// Text out of files, made fit for a message of one line.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "mamba2/core/result.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// `text` in quotation marks: control characters as \xHH, shortened to about 100 bytes.
[[nodiscard]] inline std::string in_quotes(std::string_view text) {
  constexpr std::size_t kMaxBytes = 100;
  constexpr std::string_view kHex = "0123456789abcdef";
  const bool shortened = text.size() > kMaxBytes;
  if (shortened) {
    std::size_t end = kMaxBytes;  // not inside a UTF-8 sequence
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
    text = text.substr(0, end);
  }
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20U || byte == 0x7FU) {
      out += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15U]};
    } else {
      out += c;
    }
  }
  out += shortened ? "...\"" : "\"";
  return out;
}

/// A shape as people write it: (8192, 384). Shortened after eight dimensions.
[[nodiscard]] inline std::string shape_text(std::span<const std::size_t> shape) {
  constexpr std::size_t kMaxRank = 8;
  std::string out = "(";
  for (std::size_t i = 0; i < shape.size() && i < kMaxRank; ++i) {
    if (i > 0) out += ", ";
    append(out, shape[i]);
  }
  out += shape.size() > kMaxRank ? ", ...)" : ")";
  return out;
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
