// SPDX-License-Identifier: Apache-2.0
// The records in which referees' programs are asked and answer: uint32 length, bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>

namespace tests {

/// The next one of the input; nothing at its end.
inline std::optional<std::string> read_record() {
  std::uint32_t length = 0;
  if (std::fread(&length, sizeof length, 1, stdin) != 1) return std::nullopt;
  std::string record(length, '\0');
  if (std::fread(record.data(), 1, length, stdin) != length) return std::nullopt;
  return record;
}

inline void write_record(const void* data, std::size_t size) {
  const auto length = static_cast<std::uint32_t>(size);
  std::fwrite(&length, sizeof length, 1, stdout);
  std::fwrite(data, 1, size, stdout);
}

}  // namespace tests
