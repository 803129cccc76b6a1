// SPDX-License-Identifier: Apache-2.0
// What a process has in memory of the files that it has mapped.
#pragma once

#include <cstddef>
#include <fstream>
#include <string>
#include <string_view>

namespace tests {

/// Bytes of a file that this process has in memory where it is mapped.
inline std::size_t resident_bytes(std::string_view name) {
  std::ifstream maps("/proc/self/smaps");
  std::size_t bytes = 0;
  bool is_of_file = false;
  for (std::string line; std::getline(maps, line);) {
    // A mapping begins with its addresses, and ends with the name of its file.
    if (line.substr(0, line.find(':')).find('-') != line.npos) {
      is_of_file = line.find(name) != line.npos;
    } else if (is_of_file && line.starts_with("Rss:")) {
      bytes += 1024 * std::stoul(line.substr(4));
    }
  }
  return bytes;
}

}  // namespace tests
