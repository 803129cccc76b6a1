// SPDX-License-Identifier: Apache-2.0
// The processors of this machine: which may be used, which are fast, and how to stay on them.
#pragma once

#include <pthread.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "mamba2/core/cpu_quota.hpp"
#include "mamba2/core/linkage.hpp"
#include "mamba2/core/result.hpp"
#include "mamba2/core/system_file.hpp"

#if defined(__linux__)
#include <sched.h>
#endif

namespace mamba2 {
inline namespace MAMBA2_ISA {

namespace detail {

inline constexpr int kMaxCpus = 8192;  // what Linux can be configured for

// Everything that differs between operating systems.
#if defined(__linux__)

using CpuMask = std::array<cpu_set_t, kMaxCpus / CPU_SETSIZE>;

/// The CPUs that the calling thread may run on, ascending.
inline std::vector<int> system_cpus() {
  CpuMask mask{};
  std::vector<int> cpus;
  if (::sched_getaffinity(0, sizeof mask, mask.data()) != 0) return cpus;
  for (std::size_t cpu = 0; cpu < kMaxCpus; ++cpu) {
    if (CPU_ISSET_S(cpu, sizeof mask, mask.data())) cpus.push_back(static_cast<int>(cpu));
  }
  return cpus;
}

/// Confines a thread to CPUs from 0 to kMaxCpus - 1; 0 or an errno.
inline int confine_thread(pthread_t thread, std::span<const int> cpus) {
  CpuMask mask{};
  for (const int cpu : cpus) CPU_SET_S(static_cast<std::size_t>(cpu), sizeof mask, mask.data());
  return ::pthread_setaffinity_np(thread, sizeof mask, mask.data());
}

inline void name_this_thread(const char* name) { ::pthread_setname_np(::pthread_self(), name); }

#else

inline std::vector<int> system_cpus() { return {}; }
inline int confine_thread(pthread_t, std::span<const int>) { return ENOSYS; }
inline void name_this_thread(const char*) {}

#endif

}  // namespace detail

/// Reads "0-3,8" as {0, 1, 2, 3, 8}: the notation of taskset and /sys. Ascending, without
/// duplicates. Error invalid_argument: anything else, numbers from 8192 up.
[[nodiscard]] Result<std::vector<int>> parse_cpu_list(std::string_view text);

/// The opposite of parse_cpu_list, for messages. `cpus` ascend.
[[nodiscard]] inline std::string format_cpu_list(std::span<const int> cpus) {
  std::string text;
  for (std::size_t first = 0, last = 0; first < cpus.size(); first = ++last) {
    while (last + 1 < cpus.size() && cpus[last + 1] == cpus[last] + 1) ++last;
    if (!text.empty()) text += ',';
    detail::append(text, cpus[first]);
    if (last != first) detail::append(text += '-', cpus[last]);
  }
  return text;
}

/// The CPUs that the calling thread may use (taskset, cgroup and place_this_thread restrict them),
/// ascending and never empty. Where the system does not say, as many as there are hardware threads.
[[nodiscard]] inline std::vector<int> allowed_cpus() {
  std::vector<int> cpus = detail::system_cpus();
  if (!cpus.empty()) return cpus;
  const unsigned count = std::max(1U, std::thread::hardware_concurrency());
  for (unsigned cpu = 0; cpu < count; ++cpu) cpus.push_back(static_cast<int>(cpu));
  return cpus;
}

/// What the system tells about one CPU.
struct Cpu {
  int id = 0;
  std::uint64_t speed = 0;  ///< only to be compared; 0 for all if nothing tells them apart
  int core = 0;             ///< equal for the hyper-threads of a core: the lowest of their ids
};

/// Looks the CPUs up in /sys. Never fails: without usable files they are equal, a core each.
/// `root` is where the system's / is found.
[[nodiscard]] std::vector<Cpu> describe_cpus(std::span<const int> ids,
                                             const std::filesystem::path& root = "/");

/// Those with at least 75 % of the speed of the fastest. (The A55 cores of an RK3588 have 40 to
/// 50 % of its A76 cores, 64 % by their clocks; the preferred cores of a desktop processor are a
/// few percent ahead.)
[[nodiscard]] inline std::vector<Cpu> fast_cpus(std::span<const Cpu> cpus) {
  std::uint64_t fastest = 0;
  for (const Cpu& cpu : cpus) fastest = std::max(fastest, cpu.speed);
  std::vector<Cpu> fast;
  std::ranges::copy_if(cpus, std::back_inserter(fast),
                       [fastest](const Cpu& cpu) { return 4 * cpu.speed >= 3 * fastest; });
  return fast;
}

/// Where work runs if nobody says otherwise.
struct Placement {
  std::size_t threads = 1;  ///< one per fast core, within the quota
  std::vector<int> cpus;    ///< the fast CPUs, ascending; empty if there are no slow ones
};

/// The default placement on these CPUs. `root` is where the system's / is found.
[[nodiscard]] Placement default_placement(std::span<const int> allowed,
                                          const std::filesystem::path& root = "/");

/// Those of these CPUs that the calling thread may use now: a core that is switched off, or that
/// taskset or a control group withholds, is left out. Error invalid_argument: a CPU that this
/// machine does not have; or none is left. `allowed` ascend; `root` is where the system's / is
/// found.
[[nodiscard]] Result<std::vector<int>> usable_cpus(std::span<const int> cpus,
                                                   std::span<const int> allowed,
                                                   const std::filesystem::path& root = "/");

namespace detail {

/// Error unsupported: the system does not do it. A thread whose CPUs have all been switched off
/// since they were looked up may run anywhere, as it may when that happens later.
inline Result<void> place_thread(pthread_t thread, std::span<const int> cpus) {
  const int error = confine_thread(thread, cpus);
  if (error == 0 || error == EINVAL) return {};
  return Error{ErrorCode::unsupported,
               concat("cannot place a thread on CPUs ", format_cpu_list(cpus), ": errno ", error)};
}

}  // namespace detail

/// Keeps the calling thread, and the threads that it starts from now on, on those of these CPUs
/// that it may use. For programs that want their main thread beside a pool's workers; the library
/// never does it. An empty list, as ThreadPool::cpus() may be, changes nothing. Errors: those of
/// usable_cpus (narrowing cannot be undone by this function); unsupported: the system cannot do it.
[[nodiscard]] inline Result<void> place_this_thread(std::span<const int> cpus) {
  if (cpus.empty()) return {};
  const auto usable = usable_cpus(cpus, allowed_cpus());
  return usable ? detail::place_thread(::pthread_self(), *usable) : usable.error();
}

#if MAMBA2_HAS_DEFINITIONS

MAMBA2_FUNCTION Result<std::vector<int>> parse_cpu_list(std::string_view text) {
  const Error failure{ErrorCode::invalid_argument,
                      detail::concat("expected a list of CPUs like 0-3,8, found '", text, "'")};
  std::vector<int> cpus;
  for (;;) {
    const std::optional<int> first = detail::take_number<int>(text);
    std::optional<int> last = first;
    if (text.starts_with('-')) {
      text.remove_prefix(1);
      last = detail::take_number<int>(text);
    }
    if (!first || !last || *last < *first || *last >= detail::kMaxCpus) return failure;
    for (int cpu = *first; cpu <= *last; ++cpu) cpus.push_back(cpu);
    if (text.empty()) break;
    if (text.front() != ',') return failure;
    text.remove_prefix(1);
    if (cpus.size() > std::size_t{detail::kMaxCpus}) return failure;
  }
  std::ranges::sort(cpus);
  cpus.erase(std::unique(cpus.begin(), cpus.end()), cpus.end());
  return cpus;
}

namespace detail {

/// How fast a core of this kind is, roughly: 1 if it executes in order, 2 if not. From the parts of
/// Arm's MIDR_EL1: implementer in bits 24-31, part number in bits 4-15.
inline std::uint64_t speed_of_midr(std::uint64_t midr) {
  constexpr std::uint64_t kArm = 0x41;
  constexpr std::array<std::uint64_t, 6> kInOrder = {0xd02, 0xd03, 0xd04,   // Cortex-A34, A53, A35
                                                     0xd05, 0xd46, 0xd80};  // A55, A510, A520
  const bool in_order = (midr >> 24U & 0xffU) == kArm &&
                        std::ranges::find(kInOrder, midr >> 4U & 0xfffU) != kInOrder.end();
  return in_order ? 1 : 2;
}

/// What can be known of a CPU's speed, from its folder in /sys; 0 if it is not there. The first is
/// the best; each can be compared with the same of other CPUs only.
inline constexpr std::array<std::uint64_t (*)(const std::filesystem::path&), 3> kCpuMeasures = {
    // Of a device tree, so of ARM boards: 1024 is the fastest.
    [](const std::filesystem::path& cpu) -> std::uint64_t {
      return read_system_number<std::uint32_t>(cpu / "cpu_capacity").value_or(0);
    },
    // "0x00000000414fd0b1": a Cortex-A76.
    [](const std::filesystem::path& cpu) -> std::uint64_t {
      const auto text = read_system_file(cpu / "regs/identification/midr_el1");
      if (!text || !text->starts_with("0x")) return 0;
      std::string_view digits = std::string_view(*text).substr(2);
      const auto midr = take_number<std::uint64_t>(digits, 16);
      return midr && digits.empty() ? speed_of_midr(*midr) : 0;
    },
    // MHz squared: cores that are built to be clocked lower do less in each cycle, too. (Cortex-A55
    // and A76 have 1.8 and 2.3 GHz, and are 2.5 times apart.)
    [](const std::filesystem::path& cpu) -> std::uint64_t {
      const auto khz = read_system_number<std::uint32_t>(cpu / "cpufreq/cpuinfo_max_freq");
      const std::uint64_t mhz = khz.value_or(0) / 1000;
      return mhz * mhz;
    }};

}  // namespace detail

MAMBA2_FUNCTION std::vector<Cpu> describe_cpus(std::span<const int> ids,
                                               const std::filesystem::path& root) {
  std::vector<Cpu> cpus;
  const auto folder = [&root](int id) {
    return root / "sys/devices/system/cpu" / detail::concat("cpu", id);
  };
  for (const int id : ids) {
    Cpu& cpu = cpus.emplace_back(Cpu{id, 0, id});
    const auto text = detail::read_system_file(folder(id) / "topology/thread_siblings_list");
    const auto siblings = parse_cpu_list(text.value_or(""));
    if (siblings && std::ranges::find(*siblings, id) != siblings->end()) cpu.core = (*siblings)[0];
  }
  // A measure counts only where every CPU has it, and where it tells them apart: the capacity is
  // 1024 for all where the device tree does not say.
  for (const auto measure : detail::kCpuMeasures) {
    const bool complete = std::ranges::all_of(
        cpus, [&](Cpu& cpu) { return (cpu.speed = measure(folder(cpu.id))) != 0; });
    const auto another = [&](const Cpu& cpu) { return cpu.speed != cpus.front().speed; };
    if (complete && std::ranges::any_of(cpus, another)) return cpus;
  }
  for (Cpu& cpu : cpus) cpu.speed = 0;
  return cpus;
}

MAMBA2_FUNCTION Placement default_placement(std::span<const int> allowed,
                                            const std::filesystem::path& root) {
  const std::vector<Cpu> fast = fast_cpus(describe_cpus(allowed, root));
  Placement placement;
  std::vector<int> cores;
  for (const Cpu& cpu : fast) {
    if (fast.size() < allowed.size()) placement.cpus.push_back(cpu.id);
    if (std::ranges::find(cores, cpu.core) == cores.end()) cores.push_back(cpu.core);
  }
  const std::size_t quota = cpu_quota(root).value_or(SIZE_MAX);
  placement.threads = std::max(std::min(cores.size(), quota), std::size_t{1});
  return placement;
}

MAMBA2_FUNCTION Result<std::vector<int>> usable_cpus(std::span<const int> cpus,
                                                     std::span<const int> allowed,
                                                     const std::filesystem::path& root) {
  const auto text = detail::read_system_file(root / "sys/devices/system/cpu/present");
  const auto present = parse_cpu_list(text.value_or(""));
  std::vector<int> usable;
  int missing = 0;
  for (const int cpu : cpus) {
    if (std::ranges::find(allowed, cpu) != allowed.end()) {
      usable.push_back(cpu);
      continue;
    }
    missing = cpu;
    if (!present || std::ranges::find(*present, cpu) == present->end()) {
      usable.clear();
      break;
    }
  }
  if (!usable.empty() || cpus.empty()) return usable;
  return Error{ErrorCode::invalid_argument,
               detail::concat("cannot use CPU ", missing, ": this thread may use ",
                              format_cpu_list(allowed))};
}

#endif

}  // namespace MAMBA2_ISA
}  // namespace mamba2
