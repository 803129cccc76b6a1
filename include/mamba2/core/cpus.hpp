// SPDX-License-Identifier: Apache-2.0
// The processors of this machine: which may be used, which are fast, and how to stay on them.
#pragma once

#include <pthread.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "mamba2/core/result.hpp"

#if defined(__linux__)
#include <sched.h>
#endif

namespace mamba2::inline MAMBA2_ISA {

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

/// The first 16 KiB of a file in /sys or /proc, without the newline at its end; nothing if
/// unreadable.
inline std::optional<std::string> read_system_file(const std::filesystem::path& path) {
  std::FILE* file = std::fopen(path.c_str(), "re");
  if (file == nullptr) return std::nullopt;
  std::string text(16384, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file));
  std::fclose(file);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

/// Takes an unsigned decimal number off the front of the text.
template <class Number>
std::optional<Number> take_number(std::string_view& text) {
  Number number{};
  if (text.empty() || text.front() == '-') return std::nullopt;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return number;
}

}  // namespace detail

/// Reads "0-3,8" as {0, 1, 2, 3, 8}: the notation of taskset and /sys. Ascending, without
/// duplicates. Error invalid_argument: anything else, numbers from 8192 up.
[[nodiscard]] inline Result<std::vector<int>> parse_cpu_list(std::string_view text) {
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
  std::uint64_t speed = 0;  ///< only to be compared: capacity or kHz; 0 for all if not known
  int core = 0;             ///< equal for the hyper-threads of a core: the lowest of their ids
};

/// Looks the CPUs up in /sys. Never fails: without usable files they are equal, a core each.
/// `root` is where the system's / is found.
[[nodiscard]] inline std::vector<Cpu> describe_cpus(std::span<const int> ids,
                                                    const std::filesystem::path& root = "/") {
  std::vector<Cpu> cpus;
  const auto file = [&root](int id, const char* name) {
    return root / "sys/devices/system/cpu" / detail::concat("cpu", id) / name;
  };
  for (const int id : ids) {
    Cpu& cpu = cpus.emplace_back(Cpu{id, 0, id});
    const auto text = detail::read_system_file(file(id, "topology/thread_siblings_list"));
    const auto siblings = parse_cpu_list(text.value_or(""));
    if (siblings && std::ranges::find(*siblings, id) != siblings->end()) cpu.core = (*siblings)[0];
  }
  // A measure counts only where every CPU has it: 1024 (of capacity) is not less than 2400000 kHz.
  for (const char* measure : {"cpu_capacity", "cpufreq/cpuinfo_max_freq"}) {
    const bool complete = std::ranges::all_of(cpus, [&](Cpu& cpu) {
      const auto text = detail::read_system_file(file(cpu.id, measure));
      std::string_view digits = text ? *text : std::string_view();
      cpu.speed = detail::take_number<std::uint32_t>(digits).value_or(0);
      return cpu.speed != 0 && digits.empty();
    });
    if (complete) return cpus;
  }
  for (Cpu& cpu : cpus) cpu.speed = 0;
  return cpus;
}

/// Those with at least 75 % of the speed of the fastest. (The A55 cores of an RK3588 have 40 to
/// 50 % of its A76 cores; the preferred cores of a desktop processor are a few percent ahead.)
[[nodiscard]] inline std::vector<Cpu> fast_cpus(std::span<const Cpu> cpus) {
  std::uint64_t fastest = 0;
  for (const Cpu& cpu : cpus) fastest = std::max(fastest, cpu.speed);
  std::vector<Cpu> fast;
  std::ranges::copy_if(cpus, std::back_inserter(fast),
                       [fastest](const Cpu& cpu) { return 4 * cpu.speed >= 3 * fastest; });
  return fast;
}

/// Processors' worth of time that the control groups (version 2) of this process grant, rounded
/// down but at least 1; nothing if there is no limit. `root` is where the system's / is found.
[[nodiscard]] inline std::optional<std::size_t> cpu_quota(const std::filesystem::path& root = "/") {
  const std::string groups =
      "\n" + detail::read_system_file(root / "proc/self/cgroup").value_or("");
  const std::size_t start = groups.find("\n0::/");
  if (start == std::string::npos) return std::nullopt;
  std::string group = groups.substr(start + 4, groups.find('\n', start + 4) - start - 4);
  std::optional<std::size_t> quota;
  // Every group on the way up may set a limit; the strictest holds.
  for (;; group.resize(group.rfind('/'))) {
    const auto text = detail::read_system_file(root / ("sys/fs/cgroup" + group) / "cpu.max");
    std::string_view rest = text ? *text : std::string_view();
    const auto time = detail::take_number<std::size_t>(rest);
    if (time && rest.starts_with(' ')) {
      rest.remove_prefix(1);
      const std::size_t period = detail::take_number<std::size_t>(rest).value_or(0);
      const std::size_t whole = period == 0 ? SIZE_MAX : std::max(*time / period, std::size_t{1});
      if (whole < quota.value_or(SIZE_MAX)) quota = whole;
    }
    if (group.empty()) return quota;
  }
}

/// Where work runs if nobody says otherwise.
struct Placement {
  std::size_t threads = 1;  ///< one per fast core, within the quota
  std::vector<int> cpus;    ///< the fast CPUs, ascending; empty if there are no slow ones
};

/// The default placement on these CPUs. `root` is where the system's / is found.
[[nodiscard]] inline Placement default_placement(std::span<const int> allowed,
                                                 const std::filesystem::path& root = "/") {
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

namespace detail {

/// Error invalid_argument: one of the CPUs does not exist or may not be used.
inline Result<void> check_cpus(std::span<const int> cpus) {
  const std::vector<int> allowed = allowed_cpus();
  for (const int cpu : cpus) {
    if (std::ranges::find(allowed, cpu) != allowed.end()) continue;
    return Error{
        ErrorCode::invalid_argument,
        concat("cannot use CPU ", cpu, ": this thread may use ", format_cpu_list(allowed))};
  }
  return {};
}

/// Error unsupported: the system does not do it.
inline Result<void> place_thread(pthread_t thread, std::span<const int> cpus) {
  const int error = confine_thread(thread, cpus);
  if (error == 0) return {};
  return Error{ErrorCode::unsupported,
               concat("cannot place a thread on CPUs ", format_cpu_list(cpus), ": errno ", error)};
}

}  // namespace detail

/// Keeps the calling thread, and the threads that it starts from now on, on these CPUs. For
/// programs that want their main thread beside a pool's workers; the library never does it. An
/// empty list, as ThreadPool::cpus() may be, changes nothing. Error invalid_argument: a CPU that
/// does not exist or that the thread may not use (narrowing cannot be undone by this function);
/// unsupported: the system cannot do it.
[[nodiscard]] inline Result<void> place_this_thread(std::span<const int> cpus) {
  if (cpus.empty()) return {};
  const Result<void> usable = detail::check_cpus(cpus);
  return usable ? detail::place_thread(::pthread_self(), cpus) : usable;
}

}  // namespace mamba2::inline MAMBA2_ISA
