// SPDX-License-Identifier: Apache-2.0
// How much processor time the control groups of this process grant. (Which processors they grant,
// cpuset, needs no looking up: the system narrows the affinity mask, see allowed_cpus().)
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "mamba2/core/linkage.hpp"
#include "mamba2/core/platform.hpp"
#include "mamba2/core/system_file.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// Processors' worth of time that the control groups (version 1 or 2) of this process grant: the
/// strictest of its group and those above, rounded down but at least 1; nothing if there is no
/// limit. `root` is where the system's / is found.
[[nodiscard]] std::optional<std::size_t> cpu_quota(const std::filesystem::path& root = "/");

#if MAMBA2_HAS_DEFINITIONS

namespace detail {

/// Microseconds of processor time in every period of so many microseconds, as whole processors.
/// Rounded down: one thread too many, and all are stopped for the rest of each period.
inline std::optional<std::size_t> whole_cpus(std::optional<std::size_t> time,
                                             std::optional<std::size_t> period) {
  if (!time || !period || *period == 0) return std::nullopt;
  return std::max(*time / *period, std::size_t{1});
}

/// What a group of version 2 grants: cpu.max is "TIME PERIOD", or "max PERIOD" for no limit.
inline std::optional<std::size_t> group_v2_cpus(const std::filesystem::path& group) {
  const std::optional<std::string> text = read_system_file(group / "cpu.max");
  std::string_view rest = text ? *text : std::string_view();
  const auto time = take_number<std::size_t>(rest);
  if (!rest.starts_with(' ')) return std::nullopt;
  rest.remove_prefix(1);
  return whole_cpus(time, take_number<std::size_t>(rest));
}

/// What a group of version 1 grants: a time of -1 is no limit.
inline std::optional<std::size_t> group_v1_cpus(const std::filesystem::path& group) {
  return whole_cpus(read_system_number<std::size_t>(group / "cpu.cfs_quota_us"),
                    read_system_number<std::size_t>(group / "cpu.cfs_period_us"));
}

/// The least of what a group and all those above it grant, SIZE_MAX if none has a limit. In a
/// container the group may be named as outside, where there is no such folder: the topmost is then
/// the container's own.
template <class Group>
std::size_t strictest_group(const std::filesystem::path& top, std::string name, Group cpus) {
  for (std::size_t least = SIZE_MAX;; name.resize(name.rfind('/'))) {
    least = std::min(least, cpus(top.native() + name).value_or(SIZE_MAX));
    if (name.empty()) return least;
  }
}

/// Whether "cpu,cpuacct" has "cpu".
inline bool has_cpu_controller(std::string_view controllers) {
  while (!controllers.empty()) {
    const std::size_t comma = std::min(controllers.find(','), controllers.size());
    if (controllers.substr(0, comma) == "cpu") return true;
    controllers.remove_prefix(std::min(comma + 1, controllers.size()));
  }
  return false;
}

}  // namespace detail

MAMBA2_FUNCTION std::optional<std::size_t> cpu_quota(const std::filesystem::path& root) {
  const std::string groups = detail::read_system_file(root / "proc/self/cgroup").value_or("");
  const std::filesystem::path top = root / "sys/fs/cgroup";
  std::size_t quota = SIZE_MAX;
  // Lines "ID:CONTROLLERS:/NAME"; that of version 2 is "0::/NAME".
  for (std::string_view rest = groups; !rest.empty();) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const auto id = detail::take_number<unsigned>(line);
    const std::size_t colon = line.find(':', 1);
    if (!id || !line.starts_with(':') || colon == std::string_view::npos) continue;
    const std::string_view controllers = line.substr(1, colon - 1);
    const std::string name(line.substr(colon + 1));
    if (!name.starts_with('/')) continue;
    if (*id == 0 && controllers.empty()) {
      quota = std::min(quota, detail::strictest_group(top, name, detail::group_v2_cpus));
    } else if (detail::has_cpu_controller(controllers)) {
      quota = std::min(quota, detail::strictest_group(top / "cpu", name, detail::group_v1_cpus));
    }
  }
  return quota == SIZE_MAX ? std::nullopt : std::optional(quota);
}

#endif

}  // namespace MAMBA2_ISA
}  // namespace mamba2
