// SPDX-License-Identifier: Apache-2.0
// How much time control groups grant: against trees of files as other machines have them.
#include "mamba2/core/cpu_quota.hpp"

#include <doctest/doctest.h>

#include <string>

#include "mamba2/core/cpus.hpp"
#include "tests/core/fake_root.hpp"

using mamba2::cpu_quota;
using mamba2_tests::FakeRoot;

namespace {

const std::string kV2 = "sys/fs/cgroup/";
const std::string kV1 = "sys/fs/cgroup/cpu/";

void set_v1(const FakeRoot& root, const std::string& group, const char* time, const char* period) {
  root.file(kV1 + group + "cpu.cfs_quota_us", time);
  root.file(kV1 + group + "cpu.cfs_period_us", period);
}

}  // namespace

TEST_CASE("quota: the strictest of a group and those above it, rounded down") {
  const FakeRoot root;
  root.file("proc/self/cgroup", "1:name=systemd:/x\n0::/system.slice/app.service\n");
  CHECK(!cpu_quota(root.path()));
  root.file(kV2 + "system.slice/app.service/cpu.max", "max 100000\n");
  CHECK(!cpu_quota(root.path()));
  root.file(kV2 + "system.slice/cpu.max", "390000 100000\n");
  CHECK(cpu_quota(root.path()).value() == 3);
  root.file(kV2 + "system.slice/app.service/cpu.max", "20000 100000\n");
  CHECK(cpu_quota(root.path()).value() == 1);
  root.file(kV2 + "cpu.max", "100000000000000000000 100000\n");
  CHECK(cpu_quota(root.path()).value() == 1);
  root.file(kV2 + "system.slice/app.service/cpu.max", "1600000 100000\n");
  root.file(kV2 + "system.slice/cpu.max", "5 0\n");
  root.file(kV2 + "cpu.max", "200000 100000\n");
  CHECK(cpu_quota(root.path()).value() == 2);
}

TEST_CASE("quota: broken files are no quota") {
  const FakeRoot root;
  CHECK(!cpu_quota(root.path()));
  root.file("sys/fs/cgroup/cpu.max", "200000 100000");
  set_v1(root, "", "200000\n", "100000\n");
  for (const char* groups : {"", "\n", "0::", "7:cpuset:/\n", "7:cpu2,xcpu:/\n", "7:/\n",
                             "7:cpu:", ":cpu:/", "cpu:/", "garbage", "0", "\xff:"}) {
    CAPTURE(groups);
    root.file("proc/self/cgroup", groups);
    CHECK(!cpu_quota(root.path()));
  }
  root.file("proc/self/cgroup", "0::/");
  CHECK(cpu_quota(root.path()).value() == 2);
  for (const char* limit : {"", "max", "100000", "100000 ", "100000 -1", "100000 0", "-1 100000"}) {
    CAPTURE(limit);
    root.file("sys/fs/cgroup/cpu.max", limit);
    CHECK(!cpu_quota(root.path()));
  }
  root.file("proc/self/cgroup", "4:cpu:/\n");
  CHECK(cpu_quota(root.path()).value() == 2);
  for (const char* time : {"", "-1\n", "max\n", "2e5\n", "200000 100000\n"}) {
    CAPTURE(time);
    set_v1(root, "", time, "100000\n");
    CHECK(!cpu_quota(root.path()));
  }
  for (const char* period : {"", "0\n", "-1\n", "x"}) {
    CAPTURE(period);
    set_v1(root, "", "200000\n", period);
    CHECK(!cpu_quota(root.path()));
  }
}

TEST_CASE("quota: version 1, and both") {
  const FakeRoot root;
  root.file(
      "proc/self/cgroup",
      "12:cpuset:/elsewhere\n4:cpuacct,cpu:/docker/1234\n1:name=systemd:/\n0::/docker/1234\n");
  set_v1(root, "elsewhere/", "100000\n", "100000\n");
  CHECK(!cpu_quota(root.path()));
  set_v1(root, "docker/1234/", "-1\n", "100000\n");
  CHECK(!cpu_quota(root.path()));
  set_v1(root, "docker/1234/", "550000\n", "100000\n");
  CHECK(cpu_quota(root.path()).value() == 5);
  set_v1(root, "docker/", "200000\n", "50000\n");
  CHECK(cpu_quota(root.path()).value() == 4);
  root.file(kV2 + "docker/cpu.max", "300000 100000\n");
  CHECK(cpu_quota(root.path()).value() == 3);
  // As a container sees its own group: the name is that outside.
  const FakeRoot container;
  container.file("proc/self/cgroup", "4:cpu,cpuacct:/docker/1234\n");
  set_v1(container, "", "70000\n", "100000\n");
  CHECK(cpu_quota(container.path()).value() == 1);
}

TEST_CASE("quota: a long list of groups is read as far as 16 KiB") {
  const FakeRoot root;
  std::string groups;
  for (int i = 0; i < 1000; ++i)
    groups += std::to_string(i + 1) + ":name=" + std::string(30, 'x') + ":/\n";
  root.file("proc/self/cgroup", groups + "0::/\n");
  root.file(kV2 + "cpu.max", "200000 100000\n");
  CHECK(!cpu_quota(root.path()));
}
