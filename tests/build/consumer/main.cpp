// SPDX-License-Identifier: Apache-2.0
// The least that shows that headers, libraries and flags have arrived: a job for two threads.
#include <atomic>
#include <cstddef>
#include <iostream>
#include <mamba2/mamba2.hpp>

int main() {
  const auto pool = mamba2::ThreadPool::create({.threads = 2}).value();
  std::atomic<std::size_t> sum = 0;
  pool->run(10, [&sum](std::size_t i) { sum += i; });
  std::cout << "mamba2 " << MAMBA2_VERSION << ", " << sum << '\n';
}
