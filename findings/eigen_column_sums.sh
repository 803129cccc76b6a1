#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Eigen 3.4.0 (Debian 12's libeigen3-dev 3.4.0-4; g++ 12, x86-64): the sums of a matrix's columns,
# to = X.colwise().sum(), have other bits where `to` lies at another place in memory, and so have
# X.colwise().squaredNorm(). The input is the same, at the same place; there is one thread.
#
# One would think that a column is summed in one order. But columns up to the first aligned place of
# the destination, and those after the last, are summed one by one, by a sum in several chains; those
# between go through registers, a register of columns at a time, row after row. Which columns are
# which follows from the address of the destination, which malloc chooses: so a program can give one
# result today and another tomorrow, or with another number of threads.
#
# Seen: of 15 destinations, one float after the other from an aligned one on, 12 differ from the
# first; all that are not a multiple of 16 bytes away.
# What helps: sum in loops of one's own, or into an Eigen::RowVectorXf, which is aligned.
# Needs Debian 12, g++, and apt's lists (apt-get update). Exit status: 0 as described, 1 not so.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get download -q libeigen3-dev=3.4.0-4 >/dev/null
dpkg-deb -x libeigen3-dev_*.deb eigen
cat >sums.cpp <<'END'
#include <Eigen/Core>
#include <cstdio>

int main() {
  constexpr int kRows = 96, kCols = 100;
  Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> X(kRows, kCols);
  unsigned random = 1;
  for (int i = 0; i < kRows * kCols; ++i) {
    random = random * 1664525U + 1013904223U;
    X.data()[i] = static_cast<float>(random >> 8) / (1 << 24);
  }
  alignas(64) static float memory[kCols + 16];
  Eigen::RowVectorXf sums, norms;
  int other_sums = 0, other_norms = 0;
  for (int shift = 0; shift < 16; ++shift) {
    Eigen::Map<Eigen::RowVectorXf> to(memory + shift, kCols);
    to = X.colwise().sum();
    if (shift == 0) sums = to;
    other_sums += to != sums;
    to = X.colwise().squaredNorm();
    if (shift == 0) norms = to;
    other_norms += to != norms;
  }
  std::printf("Eigen %d.%d.%d: other bits at %d and %d of 15 places\n", EIGEN_WORLD_VERSION,
              EIGEN_MAJOR_VERSION, EIGEN_MINOR_VERSION, other_sums, other_norms);
}
END
g++ -std=c++17 -O2 -Ieigen/usr/include/eigen3 sums.cpp -o sums
seen=$(./sums)
echo "$seen"
[ "$seen" = "Eigen 3.4.0: other bits at 12 and 12 of 15 places" ]
