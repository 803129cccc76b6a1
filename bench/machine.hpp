// SPDX-License-Identifier: Apache-2.0
// What the system tells about this machine and this process.
#pragma once

#include <cstddef>
#include <fstream>
#include <string>
#include <string_view>

namespace bench {

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

/// What the CPU or the board calls itself.
inline std::string cpu_name() {
  std::string name = field("/proc/cpuinfo", "model name");
  if (name.empty()) std::getline(std::ifstream("/proc/device-tree/model"), name, '\0');
  return name.empty() ? "unknown" : name;
}

/// Bytes of this process that were in memory at once, at most, since the last reset; 0 if the
/// system does not tell.
inline std::size_t peak_rss() {
  const std::string kib = field("/proc/self/status", "VmHWM");
  return kib.empty() ? 0 : std::stoul(kib) * 1024;
}

/// Forgets the peak: from now on it is that of what comes. Returns whether the system does that.
inline bool reset_peak_rss() {
  std::ofstream clear("/proc/self/clear_refs");
  clear << "5" << std::flush;
  return clear.good();
}

}  // namespace bench
