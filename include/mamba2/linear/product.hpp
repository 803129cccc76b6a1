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

/// How a matrix is cut into panels, each a few bands: a panel is a task, whatever the number of
/// threads.
struct Panels {
  std::size_t bands;  ///< of a panel
  std::size_t count;

  explicit Panels(const Matrix& m) {
    // Large, because between two panels the stream of weights pauses; but many tasks, so that
    // threads end together; and in the L2 cache there is room for one. An even number of bands, as
    // kernels may take two at a time.
    constexpr std::size_t kPanelBytes = std::size_t{192} << 10;
    constexpr std::size_t kTasks = 64;
    const std::size_t most = std::min(kPanelBytes / m.band_bytes(), m.band_count() / kTasks);
    bands = std::max<std::size_t>(2, most / 2 * 2);
    count = (m.band_count() + bands - 1) / bands;
  }
};

/// Calls body(first, count) for all panels, with their bands.
template <class Body>
void for_panels(Executor& executor, const Matrix& m, Body body) {
  const Panels panels(m);
  executor.run(panels.count, [&](std::size_t task) {
    const std::size_t first = task * panels.bands;
    body(first, std::min(panels.bands, m.band_count() - first));
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

/// y = x m^T: x (tokens, m.cols) made ready, y (tokens, m.rows).
struct Product {
  const Matrix& m;
  Inputs x;
  MutableRows y;
};

/// Several products, for each part as it is alone; threads meet once. A task ends with
/// then(product, first, count), which may work on the rows [first, first + count) of a matrix, the
/// columns of its y, while they are in the cache.
template <std::size_t kProducts, class Part, class Then>
void multiply(Executor& executor, const Product (&products)[kProducts], std::span<const Part> parts,
              Then then) {
  std::size_t ends[kProducts];  // of the tasks of each
  std::size_t tasks = 0;
  for (std::size_t i = 0; i < kProducts; ++i) ends[i] = tasks += Panels(products[i].m).count;
  executor.run(tasks, [&](std::size_t task) {
    std::size_t i = 0;
    while (task >= ends[i]) ++i;
    const auto& [m, x, y] = products[i];
    const Panels panels(m);
    const std::size_t first = (task - (ends[i] - panels.count)) * panels.bands;
    const std::size_t count = std::min(panels.bands, m.band_count() - first);
    for_equals(m, parts, x, [&, &matrix = m, &rows = y](const Inputs& some, std::size_t token) {
      matrix.multiply(first, count, some, rows.middle(token, some.tokens));
    });
    then(i, first * m.format->band_rows, m.rows_in(first, count));
  });
}

/// One product.
template <class Part, class Then>
void multiply(Executor& executor, const Matrix& m, std::span<const Part> parts, const Inputs& x,
              MutableRows y, Then then) {
  multiply(executor, {{m, x, y}}, parts,
           [&](std::size_t, std::size_t first, std::size_t count) { then(first, count); });
}

/// One of many products: of rows of its own, those of its parts.
template <class Part>
struct OwnProduct {
  const Matrix* m = nullptr;
  Inputs x = {};
  MutableRows y = {nullptr, 0, 0};
  std::span<const Part> parts = {};
  std::size_t end = 0;  ///< of its tasks among those of all
};

/// Numbers the tasks of products, in their order, and answers how many there are.
template <class Part>
std::size_t number_tasks(std::span<OwnProduct<Part>> products) {
  std::size_t tasks = 0;
  for (OwnProduct<Part>& product : products) product.end = tasks += Panels(*product.m).count;
  return tasks;
}

/// Does one of these tasks.
template <class Part>
void multiply_task(std::span<OwnProduct<Part>> products, std::size_t task) {
  const auto& [m, x, y, parts, end] =
      *std::ranges::upper_bound(products, task, {}, &OwnProduct<Part>::end);
  const Panels panels(*m);
  const std::size_t first = (task - (end - panels.count)) * panels.bands;
  const std::size_t count = std::min(panels.bands, m->band_count() - first);
  for_equals(*m, parts, x, [&, matrix = m, &rows = y](const Inputs& some, std::size_t token) {
    matrix->multiply(first, count, some, rows.middle(token, some.tokens));
  });
}

/// For multiply(): nothing to do at the end of a task.
inline constexpr auto kNothing = [](std::size_t, std::size_t) {};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
