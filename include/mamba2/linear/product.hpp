// SPDX-License-Identifier: Apache-2.0
// Matrix products by many threads.
#pragma once

#include <algorithm>
#include <cstddef>

#include "mamba2/core/executor.hpp"
#include "mamba2/linear/matrix.hpp"

namespace mamba2::inline MAMBA2_ISA {

/// y = x m^T. x (tokens, m.cols) made ready, y (tokens, m.rows). A task is a panel of a few bands,
/// whatever the number of threads. It ends with then(first, count), which may work on its rows
/// [first, first + count), the columns of y, while they are in the cache; and begins with
/// before(first, count), which may ask for the memory that then() is going to need.
template <WeightPolicy WeightT, class Before, class Then>
void multiply(Executor& executor, const Matrix<WeightT>& m, const Inputs& x, MutableRows y,
              Before before, Then then) {
  // Large enough that starting a task costs nothing, small enough that threads end together. An
  // even number, as kernels may take two bands at a time.
  constexpr std::size_t kPanelBytes = std::size_t{96} << 10;
  const std::size_t bands = kPanelBytes / WeightT::band_bytes(m.cols) / 2 * 2;
  const std::size_t panel = std::max<std::size_t>(2, bands);
  const std::size_t panels = (m.band_count() + panel - 1) / panel;
  executor.run(panels, [&](std::size_t task) {
    const std::size_t first = task * panel;
    const std::size_t count = std::min(panel, m.band_count() - first);
    const std::size_t rows = m.rows_in(first, count);
    before(first * WeightT::kBandRows, rows);
    WeightT::multiply(m, first, count, x, y);
    then(first * WeightT::kBandRows, rows);
  });
}

/// For multiply(): nothing to do before or after.
inline constexpr auto kNothing = [](std::size_t, std::size_t) {};

}  // namespace mamba2::inline MAMBA2_ISA
