// SPDX-License-Identifier: Apache-2.0
// The files in which a system tells about itself, as other machines have them.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "tests/io/temp_dir.hpp"

namespace mamba2_tests {

using Ids = std::vector<int>;

inline Ids up_to(int count) {
  Ids ids;
  for (int id = 0; id < count; ++id) ids.push_back(id);
  return ids;
}

/// What looks like / to who reads it.
class FakeRoot {
 public:
  [[nodiscard]] const std::filesystem::path& path() const { return dir_.path(); }

  void file(const std::string& name, std::string_view text) const {
    std::filesystem::create_directories((path() / name).parent_path());
    dir_.write(name, text);
  }
  void cpu_file(int id, const std::string& name, std::string_view text) const {
    file("sys/devices/system/cpu/cpu" + std::to_string(id) + "/" + name, text);
  }

 private:
  TempDir dir_;
};

}  // namespace mamba2_tests
