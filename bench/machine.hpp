// SPDX-License-Identifier: Apache-2.0
// What the system tells about this machine.
#pragma once

#include <fstream>
#include <string>

#include "tools/memory.hpp"

namespace bench {

/// What the CPU or the board calls itself.
inline std::string cpu_name() {
  std::string name = cli::field("/proc/cpuinfo", "model name");
  if (name.empty()) std::getline(std::ifstream("/proc/device-tree/model"), name, '\0');
  return name.empty() ? "unknown" : name;
}

/// Makes cli::peak_memory() forget: from now on it is that of what comes. Returns whether the
/// system does that.
inline bool reset_peak_memory() {
  std::ofstream clear("/proc/self/clear_refs");
  clear << "5" << std::flush;
  return clear.good();
}

}  // namespace bench
