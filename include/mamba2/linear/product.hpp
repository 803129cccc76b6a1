// SPDX-License-Identifier: Apache-2.0
// Matrix products by many threads, for tokens of one sequence or of many.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include "mamba2/core/executor.hpp"
#include "mamba2/linear/matrix.hpp"

namespace mamba2::inline MAMBA2_ISA {

/// Calls body(first, count) for all panels, each a few bands of a matrix. A panel is a task,
/// whatever the number of threads.
template <WeightPolicy WeightT, class Body>
void for_panels(Executor& executor, const Matrix<WeightT>& m, Body body) {
  // Large, because between two panels the stream of weights pauses; but many tasks, so that threads
  // end together; and in the L2 cache there is room for one. An even number of bands, as kernels
  // may take two at a time.
  constexpr std::size_t kPanelBytes = std::size_t{192} << 10;
  constexpr std::size_t kTasks = 64;
  const std::size_t bands = std::min(kPanelBytes / m.band_bytes(), m.band_count() / kTasks);
  const std::size_t panel = std::max<std::size_t>(2, bands / 2 * 2);
  const std::size_t panels = (m.band_count() + panel - 1) / panel;
  executor.run(panels, [&](std::size_t task) {
    const std::size_t first = task * panel;
    body(first, std::min(panel, m.band_count() - first));
  });
}

/// Calls body(first, count) for ranges of tokens that together cover those of all parts, which
/// follow each other; Part has first and count. A product over such a range gives each part the
/// bits that it has alone: where the number of tokens matters, parts are multiplied one by one,
/// with weights that the first has brought into the cache.
template <WeightPolicy WeightT, class Part, class Body>
void for_equals(const Matrix<WeightT>& m, std::span<const Part> parts, Body body) {
  for (std::size_t i = 0; i < parts.size();) {
    const std::size_t arithmetic = m.arithmetic(parts[i].count);
    const std::size_t first = parts[i].first;
    std::size_t count = parts[i].count;
    std::size_t end = i + 1;
    while (end < parts.size() && m.arithmetic(parts[end].count) == arithmetic &&
           m.arithmetic(count + parts[end].count) == arithmetic) {
      count += parts[end++].count;
    }
    body(first, count);
    i = end;
  }
}

/// y = x m^T, for each part as it is alone: x (tokens, m.cols) made ready, y (tokens, m.rows). A
/// task ends with then(first, count), which may work on its rows [first, first + count), the
/// columns of y, while they are in the cache.
template <WeightPolicy WeightT, class Part, class Then>
void multiply(Executor& executor, const Matrix<WeightT>& m, std::span<const Part> parts,
              const Inputs& x, MutableRows y, Then then) {
  for_panels(executor, m, [&](std::size_t first, std::size_t count) {
    for_equals(m, parts, [&](std::size_t token, std::size_t tokens) {
      m.multiply(first, count, x.middle(token, tokens), y.middle(token, tokens));
    });
    then(first * WeightT::kBandRows, m.rows_in(first, count));
  });
}

/// For multiply(): nothing to do at the end of a task.
inline constexpr auto kNothing = [](std::size_t, std::size_t) {};

}  // namespace mamba2::inline MAMBA2_ISA
