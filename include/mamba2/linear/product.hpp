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
/// [first, first + count), the columns of y, while they are in the cache.
template <WeightPolicy WeightT, class Then>
void multiply(Executor& executor, const Matrix<WeightT>& m, const Inputs& x, MutableRows y,
              Then then) {
  // Large, because between two panels the stream of weights pauses; but many tasks, so that threads
  // end together. An even number of bands, as kernels may take two at a time.
  constexpr std::size_t kPanelBytes = std::size_t{192} << 10;
  constexpr std::size_t kTasks = 64;
  const std::size_t bands = std::min(kPanelBytes / m.band_bytes(), m.band_count() / kTasks);
  const std::size_t panel = std::max<std::size_t>(2, bands / 2 * 2);
  const std::size_t panels = (m.band_count() + panel - 1) / panel;
  executor.run(panels, [&](std::size_t task) {
    const std::size_t first = task * panel;
    const std::size_t count = std::min(panel, m.band_count() - first);
    m.multiply(first, count, x, y);
    then(first * WeightT::kBandRows, m.rows_in(first, count));
  });
}

/// For multiply(): nothing to do at the end of a task.
inline constexpr auto kNothing = [](std::size_t, std::size_t) {};

}  // namespace mamba2::inline MAMBA2_ISA
