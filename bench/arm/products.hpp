// SPDX-License-Identifier: Apache-2.0
// Products of packed weights as loops.
#pragma once

#include <cstddef>

#include "bench/arm/loops.hpp"
#include "mamba2/core/views.hpp"
#include "mamba2/linear/matrix.hpp"

namespace bench {

template <class W>
[[nodiscard]] mamba2::Matrix matrix(const Work& work) {
  return {&mamba2::kFormat<W>, work.weights, work.rows, work.cols};
}

/// y = x m^T for a matrix (rows, cols) and tokens: what the library calls for the rows of a task.
template <class W>
void product(const Work& work) {
  const mamba2::Matrix m = matrix<W>(work);
  m.multiply(0, m.band_count(), {work.inputs, work.tokens, m.input_bytes()},
             {work.y, work.tokens, work.rows});
}

template <class W>
std::size_t weight_bytes(const Work& work) {
  return matrix<W>(work).bytes();
}

/// Makes one input ready for a product: activation quantization.
template <class W>
void prepare(const Work& work) {
  matrix<W>(work).prepare(work.x, work.inputs);
}

}  // namespace bench
