// SPDX-License-Identifier: Apache-2.0
// What the system tells about this process, and other things that it tells in the same form.
#pragma once

#include <sys/resource.h>

#include <cstddef>
#include <fstream>
#include <string>
#include <string_view>

namespace cli {

/// What follows "key:" in a file such as /proc/self/status, without white space around it; empty if
/// there is no such line.
inline std::string field(const char* file, std::string_view key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos || !line.starts_with(key)) continue;
    if (line.find_first_not_of(" \t", key.size()) != colon) continue;
    const std::size_t first = line.find_first_not_of(" \t", colon + 1);
    return first == std::string::npos ? "" : line.substr(first);
  }
  return {};
}

/// Bytes of this process that were in memory at once, at most. getrusage() is asked only where
/// there is no /proc: under Linux it also counts what the process was before it became this
/// program, a copy of a large application that has started it, say.
inline std::size_t peak_memory() {
  const std::string kib = field("/proc/self/status", "VmHWM");
  if (!kib.empty()) return std::stoul(kib) * 1024;
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::size_t>(usage.ru_maxrss) * 1024;
}

}  // namespace cli
