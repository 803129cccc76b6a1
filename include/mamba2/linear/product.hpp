// SPDX-License-Identifier: Apache-2.0
// Matrix products by many threads, for tokens of one sequence or of many.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include "mamba2/core/executor.hpp"
#include "mamba2/linear/matrix.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// Calls body(first, count) for all panels, each a few bands of a matrix. A panel is a task,
/// whatever the number of threads.
template <class Body>
void for_panels(Executor& executor, const Matrix& m, Body body) {
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

/// Calls body(some, first) for ranges of tokens that together cover those of all parts, which
/// follow each other: some are the inputs x from the token `first` on. Part has first and count.
/// Products over such ranges give each part the bits that it has alone. Where the number of tokens
/// matters, there are several ranges, the later ones for weights that the first has brought into
/// the cache.
template <class Part, class Body>
void for_equals(const Matrix& m, std::span<const Part> parts, const Inputs& x, Body body) {
  for (auto part = parts.begin(); part != parts.end();) {
    const std::size_t arithmetic = m.arithmetic(part->count);
    const bool single = part->count == 1;
    const std::size_t first = part->first;
    std::size_t count = part->count;
    for (++part; part != parts.end(); ++part) {
      const bool both_single = single && part->count == 1;
      const bool equal = m.arithmetic(part->count) == arithmetic &&
                         m.arithmetic(count + part->count) == arithmetic;
      if (!both_single && !equal) break;
      count += part->count;
    }
    Inputs some = x.middle(first, count);
    some.alone = m.arithmetic(count) != arithmetic;
    body(some, first);
  }
}

/// y = x m^T, for each part as it is alone: x (tokens, m.cols) made ready, y (tokens, m.rows). A
/// task ends with then(first, count), which may work on its rows [first, first + count), the
/// columns of y, while they are in the cache.
template <class Part, class Then>
void multiply(Executor& executor, const Matrix& m, std::span<const Part> parts, const Inputs& x,
              MutableRows y, Then then) {
  for_panels(executor, m, [&](std::size_t first, std::size_t count) {
    for_equals(m, parts, x, [&](const Inputs& some, std::size_t token) {
      m.multiply(first, count, some, y.middle(token, some.tokens));
    });
    then(first * m.format->band_rows, m.rows_in(first, count));
  });
}

/// For multiply(): nothing to do at the end of a task.
inline constexpr auto kNothing = [](std::size_t, std::size_t) {};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
