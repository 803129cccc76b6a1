// SPDX-License-Identifier: Apache-2.0
// State files that a program has seen, and whether another program has changed them since.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#include "mamba2/core/mapped_file.hpp"
#include "mamba2/core/result.hpp"
#include "mamba2/sequence/state_header.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// What tells the content of one state file from that of another: the checksums of its header and
/// of what is behind it.
struct StateMark {
  std::uint64_t header = 0;
  std::uint64_t rest = 0;

  /// Of a whole file.
  [[nodiscard]] static StateMark of(std::span<const std::byte> file) {
    StateMark mark;
    std::memcpy(&mark.header, &file[offsetof(StateHeader, checksum)], sizeof mark.header);
    std::memcpy(&mark.rest, file.last(sizeof mark.rest).data(), sizeof mark.rest);
    return mark;
  }
  /// Of the file at a path; zeros where that is too short for one. Error: io.
  [[nodiscard]] static Result<StateMark> read(const std::filesystem::path& path) {
    // Not mapped: whoever else writes to it might cut it meanwhile.
    std::FILE* file = std::fopen(path.c_str(), "rbe");
    if (file == nullptr) {
      return Error{ErrorCode::io, concat(path.native(), ": cannot open: ", errno_text(errno))};
    }
    StateHeader header;
    StateMark mark;
    if (std::fread(&header, sizeof header, 1, file) == 1 &&
        std::fseek(file, -static_cast<long>(sizeof mark.rest), SEEK_END) == 0 &&
        std::fread(&mark.rest, sizeof mark.rest, 1, file) == 1) {
      mark.header = header.checksum;
    }
    std::fclose(file);
    return mark;
  }

  friend bool operator==(const StateMark&, const StateMark&) = default;
};

/// The error of a file that was not replaced, and why.
inline Error not_replaced(const std::filesystem::path& path, std::string_view why) {
  return {ErrorCode::mismatch, concat(path.native(), ": is not replaced: ", why)};
}

/// Error mismatch: there is something at this path.
[[nodiscard]] inline Result<void> check_absent(const std::filesystem::path& path) {
  std::error_code failed;
  if (std::filesystem::status(path, failed).type() == std::filesystem::file_type::not_found) {
    return {};
  }
  return not_replaced(path, "a new file was to be written, and there is one already");
}

/// The last state files that were loaded or saved, as they were then.
class KnownStates {
 public:
  void add(const std::filesystem::path& path, const StateMark& mark) {
    const std::filesystem::path name = name_of(path);
    std::erase_if(known_, [&](const Known& known) { return known.name == name; });
    if (known_.size() == kMost) known_.erase(known_.begin());
    known_.push_back({name, mark});
  }

  /// Whether the file at a path, if there is one, is still as it was when it was added. One that
  /// was not is nobody's concern. Errors: mismatch; io, for a file that cannot be read.
  [[nodiscard]] Result<void> check(const std::filesystem::path& path) const {
    const auto known = std::ranges::find(known_, name_of(path), &Known::name);
    if (known == known_.end() || check_absent(path)) return {};
    const Result<StateMark> mark = StateMark::read(path);
    if (!mark) return mark.error();
    if (*mark == known->mark) return {};
    return not_replaced(path, "another program has changed it since it was loaded or saved here");
  }

 private:
  /// So many: a program may save to a new name each time, for years.
  static constexpr std::size_t kMost = 16;

  struct Known {
    std::filesystem::path name;
    StateMark mark;
  };

  /// The same for all ways to name a file that is there.
  [[nodiscard]] static std::filesystem::path name_of(const std::filesystem::path& path) {
    std::error_code failed;
    std::filesystem::path name = std::filesystem::canonical(path, failed);
    return failed ? path : name;
  }

  std::vector<Known> known_;  // the oldest first
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
