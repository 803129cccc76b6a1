// SPDX-License-Identifier: Apache-2.0
// The inner loops of the library, each as a function of its own: for bench/arm_pipeline.py, which
// has them compiled for ARM and looks at what they execute.
#pragma once

#include <cstddef>
#include <span>

namespace bench {

/// What a loop works on. All is zero: no loop takes a way that depends on the values.
struct Work {
  std::size_t rows;
  std::size_t cols;
  std::size_t tokens;
  std::byte* weights;
  std::byte* inputs;
  float* x;
  float* y;
};

struct Loop {
  const char* name;
  void (*run)(const Work&);
  std::size_t (*weight_bytes)(const Work&);  ///< or nullptr
};

[[nodiscard]] std::span<const Loop> float_products();
[[nodiscard]] std::span<const Loop> int_products();
[[nodiscard]] std::span<const Loop> scans();
[[nodiscard]] std::span<const Loop> elementwise();

}  // namespace bench
