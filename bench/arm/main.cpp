// SPDX-License-Identifier: Apache-2.0
// arm-loops NAME ROWS COLS TOKENS: runs one loop and prints the bytes of its weights.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "bench/arm/loops.hpp"

namespace {

constexpr std::size_t kBytes = std::size_t{1} << 22;
alignas(64) std::byte weights[kBytes];
alignas(64) std::byte inputs[kBytes];
alignas(64) float x[kBytes / sizeof(float)];
alignas(64) float y[kBytes / sizeof(float)];

const bench::Loop* find(const char* name) {
  for (const auto loops :
       {bench::float_products(), bench::int_products(), bench::scans(), bench::elementwise()}) {
    for (const bench::Loop& loop : loops) {
      if (std::strcmp(loop.name, name) == 0) return &loop;
    }
  }
  return nullptr;
}

std::size_t number(const char* text) { return std::strtoul(text, nullptr, 10); }

}  // namespace

/// What is executed from here until main() goes on is the loop.
extern "C" [[gnu::noinline]] void traced(const bench::Loop& loop, const bench::Work& work) {
  loop.run(work);
}

int main(int argc, char** argv) {
  const bench::Loop* loop = argc == 5 ? find(argv[1]) : nullptr;
  if (loop == nullptr) {
    std::fputs("usage: arm-loops NAME ROWS COLS TOKENS\n", stderr);
    return 2;
  }
  const bench::Work work{number(argv[2]), number(argv[3]), number(argv[4]), weights, inputs, x, y};
  traced(*loop, work);
  std::printf("%zu\n", loop->weight_bytes == nullptr ? 0 : loop->weight_bytes(work));
}
