// SPDX-License-Identifier: Apache-2.0
// Which processors there are: against trees of files as other machines have them.
#include "mamba2/core/cpus.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/core/fake_root.hpp"

using mamba2::Cpu;
using mamba2::default_placement;
using mamba2::ErrorCode;
using mamba2_tests::FakeRoot;
using mamba2_tests::Ids;
using mamba2_tests::up_to;

namespace {

/// Orange Pi 5: four Cortex-A55 (0-3), two pairs of Cortex-A76.
void make_rk3588(const FakeRoot& root) {
  for (const int id : up_to(8)) {
    root.cpu_file(id, "cpu_capacity", id < 4 ? "414\n" : id < 6 ? "1008\n" : "1024\n");
    root.cpu_file(id, "cpufreq/cpuinfo_max_freq", id < 4 ? "1800000\n" : "2256000\n");
    root.cpu_file(id, "topology/thread_siblings_list", std::to_string(id) + "\n");
  }
}

/// Four cores of two hyper-threads each, the second core with a higher turbo frequency.
void make_x86_smt(const FakeRoot& root) {
  for (const int id : up_to(8)) {
    const std::string first = std::to_string(id % 4);
    const std::string second = std::to_string(id % 4 + 4);
    root.cpu_file(id, "cpufreq/cpuinfo_max_freq", id % 4 == 1 ? "5300000\n" : "4900000\n");
    root.cpu_file(id, "topology/thread_siblings_list", first + "," + second + "\n");
  }
}

void check_placement(const FakeRoot& root, const Ids& allowed, std::size_t threads,
                     const Ids& cpus) {
  const auto placement = default_placement(allowed, root.path());
  CHECK(placement.threads == threads);
  CHECK(placement.cpus == cpus);
}

}  // namespace

TEST_CASE("CPU lists: read and written") {
  CHECK(mamba2::parse_cpu_list("0").value() == Ids{0});
  CHECK(mamba2::parse_cpu_list("0-3,8").value() == Ids{0, 1, 2, 3, 8});
  CHECK(mamba2::parse_cpu_list("8,2-3,0,3-4").value() == Ids{0, 2, 3, 4, 8});
  CHECK(mamba2::parse_cpu_list("8191").value() == Ids{8191});
  CHECK(mamba2::format_cpu_list(Ids{}).empty());
  CHECK(mamba2::format_cpu_list(Ids{5}) == "5");
  CHECK(mamba2::format_cpu_list(Ids{0, 1, 2, 3, 8, 10, 11}) == "0-3,8,10-11");
  CHECK(mamba2::format_cpu_list(mamba2::parse_cpu_list("0-8191").value()) == "0-8191");
}

TEST_CASE("CPU lists: what is none is an error") {
  for (const char* text : {"",    ",",   "1,",   ",1",           "-1",
                           "--1", "1-",  "3-1",  "1-2-3",        "a",
                           "1a",  "1 2", " 1",   "1\n",          "0x1",
                           "+1",  "1.5", "8192", "0-4294967296", "99999999999999999999"}) {
    CAPTURE(text);
    const auto cpus = mamba2::parse_cpu_list(text);
    REQUIRE(!cpus);
    CHECK(cpus.error().code == ErrorCode::invalid_argument);
    CHECK(cpus.error().message ==
          "expected a list of CPUs like 0-3,8, found '" + std::string(text) + "'");
  }
  std::string endless = "0-8191";
  for (int i = 0; i < 10000; ++i) endless += ",0-8191";
  CHECK(!mamba2::parse_cpu_list(endless));
}

TEST_CASE("placement: RK3588, on the four fast cores") {
  const FakeRoot root;
  make_rk3588(root);
  check_placement(root, up_to(8), 4, {4, 5, 6, 7});
  // Restricted from outside.
  check_placement(root, {2, 3, 4, 5}, 2, {4, 5});
  check_placement(root, {0, 1, 2}, 3, {});
  check_placement(root, {6, 7}, 2, {});
  check_placement(root, {1}, 1, {});
  const auto cpus = mamba2::describe_cpus(Ids{3, 4}, root.path());
  REQUIRE(cpus.size() == 2);
  CHECK(cpus[0].id == 3);
  CHECK(cpus[0].speed == 414);
  CHECK(cpus[1].speed == 1008);
  CHECK(cpus[1].core == 4);
}

TEST_CASE("placement: Raspberry Pi 5, four equal cores") {
  const FakeRoot root;
  for (const int id : up_to(4)) {
    root.cpu_file(id, "cpu_capacity", "1024\n");
    root.cpu_file(id, "topology/thread_siblings_list", std::to_string(id) + "\n");
  }
  check_placement(root, up_to(4), 4, {});
}

TEST_CASE("placement: hyper-threads are one core, turbo frequencies are no classes") {
  const FakeRoot root;
  make_x86_smt(root);
  check_placement(root, up_to(8), 4, {});
  check_placement(root, {1, 4, 5}, 2, {});
  check_placement(root, {5}, 1, {});
  const auto cpus = mamba2::describe_cpus(Ids{5, 6}, root.path());
  CHECK(cpus[0].speed == 5300 * 5300);
  CHECK(cpus[1].core == 2);
  CHECK(cpus[1].speed == 4900 * 4900);
}

TEST_CASE("placement: RK3588, by the clocks alone") {
  for (const char* fast : {"2400000\n", "2256000\n", "2208000\n"}) {
    const FakeRoot root;
    for (const int id : up_to(8)) {
      root.cpu_file(id, "cpufreq/cpuinfo_max_freq", id < 4 ? "1800000\n" : fast);
    }
    check_placement(root, up_to(8), 4, {4, 5, 6, 7});
    check_placement(root, {0, 1, 7}, 1, {7});
    // What a kernel says whose device tree does not.
    for (const int id : up_to(8)) root.cpu_file(id, "cpu_capacity", "1024\n");
    check_placement(root, up_to(8), 4, {4, 5, 6, 7});
  }
}

TEST_CASE("placement: by the kind of core, whatever its clock") {
  const FakeRoot root;
  const std::string midr = "regs/identification/midr_el1";
  // Amlogic S922X: two Cortex-A53, which are clocked higher, and four A73.
  for (const int id : up_to(6)) {
    root.cpu_file(id, midr, id < 2 ? "0x00000000410fd034\n" : "0x00000000410fd092\n");
    root.cpu_file(id, "cpufreq/cpuinfo_max_freq", id < 2 ? "1896000\n" : "1800000\n");
  }
  check_placement(root, up_to(6), 4, {2, 3, 4, 5});
  check_placement(root, {0, 1}, 2, {});
  for (const char* in_order :
       {"0x410fd020", "0x411fd041", "0x00000000412fd050", "0x410fd46f", "0x410fd80f"}) {
    CAPTURE(in_order);
    root.cpu_file(0, midr, in_order);
    check_placement(root, {0, 2}, 1, {2});
  }
  // A Cortex-A76, other makers' cores with such numbers; the clocks decide.
  for (const char* other : {"0x414fd0b1", "0x51afd034", "0x00"}) {
    CAPTURE(other);
    root.cpu_file(0, midr, other);
    check_placement(root, {0, 2}, 2, {});
  }
  for (const char* broken : {"", "0x", "410fd034", "0xz", "0x410fd034 ", "0x410fd034410fd03400"}) {
    CAPTURE(broken);
    root.cpu_file(0, midr, broken);
    check_placement(root, {0, 2}, 2, {});
  }
}

TEST_CASE("placement: hybrid x86, by frequency") {
  const FakeRoot root;
  for (const int id : up_to(6)) {
    root.cpu_file(id, "cpufreq/cpuinfo_max_freq", id < 4 ? "5000000" : "3700000");
    root.cpu_file(id, "topology/thread_siblings_list", id < 2 ? "0-1" : id < 4 ? "2-3" : "bad");
  }
  check_placement(root, up_to(6), 2, {0, 1, 2, 3});
}

TEST_CASE("placement: the bound is 75 percent") {
  const FakeRoot root;
  const auto capacities = {"1024", "768", "767"};
  int id = 0;
  for (const char* capacity : capacities) root.cpu_file(id++, "cpu_capacity", capacity);
  check_placement(root, up_to(3), 2, {0, 1});
}

TEST_CASE("placement: capacity and frequency are not compared with each other") {
  const FakeRoot root;
  root.cpu_file(0, "cpu_capacity", "1024\n");
  root.cpu_file(0, "cpufreq/cpuinfo_max_freq", "2000000\n");
  root.cpu_file(1, "cpufreq/cpuinfo_max_freq", "2100000\n");
  check_placement(root, up_to(2), 2, {});
}

TEST_CASE("placement: missing and broken files make equal cores") {
  const FakeRoot root;
  check_placement(root, up_to(5), 5, {});
  check_placement(root, {}, 1, {});
  for (const char* text : {"", "\n", "fast", "-5", "0", "1024 ", "12three", "1e9",
                           "123456789012345678901234567890", "\xff\xfe"}) {
    CAPTURE(text);
    root.cpu_file(0, "cpu_capacity", text);
    root.cpu_file(0, "cpufreq/cpuinfo_max_freq", text);
    root.cpu_file(0, "topology/thread_siblings_list", text);
    root.cpu_file(1, "cpu_capacity", "1024");
    root.cpu_file(1, "cpufreq/cpuinfo_max_freq", "1000000");
    root.cpu_file(1, "topology/thread_siblings_list", "0,2-4");  // not even itself
    check_placement(root, up_to(2), 2, {});
  }
  root.cpu_file(2, "cpu_capacity/directory", "1024");
  check_placement(root, {2, 3}, 2, {});
}

TEST_CASE("placement: the quota of the control group bounds the threads") {
  const FakeRoot root;
  make_rk3588(root);
  root.file("proc/self/cgroup", "0::/app.service\n");
  check_placement(root, up_to(8), 4, {4, 5, 6, 7});
  root.file("sys/fs/cgroup/app.service/cpu.max", "390000 100000\n");
  check_placement(root, up_to(8), 3, {4, 5, 6, 7});
  root.file("sys/fs/cgroup/app.service/cpu.max", "20000 100000\n");
  check_placement(root, up_to(8), 1, {4, 5, 6, 7});
}

TEST_CASE("usable CPUs: those that are switched off or withheld are left out") {
  const FakeRoot root;
  root.file("sys/devices/system/cpu/present", "0-7\n");
  const auto usable = [&root](const Ids& cpus, const Ids& allowed) {
    return mamba2::usable_cpus(cpus, allowed, root.path());
  };
  CHECK(usable({4, 5, 6, 7}, up_to(8)).value() == Ids{4, 5, 6, 7});
  CHECK(usable({4, 5, 6, 7}, {0, 1, 2, 3, 4, 6}).value() == Ids{4, 6});
  CHECK(usable({4, 5, 6, 7}, {7}).value() == Ids{7});
  CHECK(usable({}, {7}).value().empty());
  // None is left, or there is no such CPU.
  for (const Ids& cpus : {Ids{4, 5}, Ids{5}, Ids{0, 5, 8}, Ids{8, 0}, Ids{-1, 0}}) {
    const int missing = cpus.size() == 3 ? 8 : cpus.back() == 0 ? cpus.front() : 5;
    const auto refused = usable(cpus, {0, 1});
    REQUIRE(!refused);
    CHECK(refused.error().code == ErrorCode::invalid_argument);
    CHECK(refused.error().message ==
          "cannot use CPU " + std::to_string(missing) + ": this thread may use 0-1");
  }
  // Where the system does not say what there is, there is what may be used.
  for (const char* present : {"", "all", "0-"}) {
    root.file("sys/devices/system/cpu/present", present);
    CHECK(usable({0, 1}, {0, 1}));
    CHECK(!usable({0, 1}, {0}));
  }
}

TEST_CASE("this machine has CPUs") {
  const Ids allowed = mamba2::allowed_cpus();
  REQUIRE(!allowed.empty());
  CHECK(allowed.front() >= 0);
  const auto placement = default_placement(allowed);
  CHECK(placement.threads >= 1);
  CHECK(placement.threads <= allowed.size());
}

TEST_CASE("a thread is placed where it may be") {
  const Ids allowed = mamba2::allowed_cpus();
  // In a thread of its own: it cannot be undone.
  std::thread([&allowed] {
    CHECK(mamba2::place_this_thread({}));
    CHECK(mamba2::allowed_cpus() == allowed);
    const Ids impossible{allowed[0], 8191};
    const auto refused = mamba2::place_this_thread(impossible);
    REQUIRE(!refused);
    CHECK(refused.error().code == ErrorCode::invalid_argument);
    CHECK(refused.error().message ==
          "cannot use CPU 8191: this thread may use " + mamba2::format_cpu_list(allowed));
    CHECK(mamba2::allowed_cpus() == allowed);
#if defined(__linux__)
    const Ids last{allowed.back()};
    CHECK(mamba2::place_this_thread(last));
    CHECK(mamba2::allowed_cpus() == last);
#endif
  }).join();
  CHECK(mamba2::allowed_cpus() == allowed);
}
