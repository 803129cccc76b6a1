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
  std::size_t bands = 0;  ///< of a panel
  std::size_t count = 0;
  std::size_t all_bands = 0;

  Panels() = default;
  explicit Panels(const Matrix& m) : all_bands(m.band_count()) {
    // Large, because between two panels the stream of weights pauses; but many tasks, so that
    // threads end together; and in the L2 cache there is room for one. An even number of bands, as
    // kernels may take two at a time.
    constexpr std::size_t kPanelBytes = std::size_t{192} << 10;
    constexpr std::size_t kTasks = 64;
    const std::size_t most = std::min(kPanelBytes / m.band_bytes(), all_bands / kTasks);
    bands = std::max<std::size_t>(2, most / 2 * 2);
    count = (all_bands + bands - 1) / bands;
  }

  /// Calls body(first, count) with the bands of a panel.
  template <class Body>
  void with(std::size_t panel, Body body) const {
    const std::size_t first = panel * bands;
    body(first, std::min(bands, all_bands - first));
  }
};

/// Calls body(first, count) for all panels, with their bands.
template <class Body>
void for_panels(Executor& executor, const Matrix& m, Body body) {
  const Panels panels(m);
  executor.run(panels.count, [&](std::size_t task) { panels.with(task, body); });
}

/// Calls body(some, first) for ranges of tokens that together cover those of all parts, which
/// follow each other: some are the inputs x from the token `first` on. Part has first and count.
/// Products over such ranges give each part the bits that it has alone. Where the number of tokens
/// matters, there are several ranges, the later ones for weights that the first has brought into
/// the cache.
template <class Part, class Body>
void for_equals(const Matrix& m, std::span<const Part> parts, const Inputs& x, Body body) {
  if (parts.size() == 1) return body(x.middle(parts[0].first, parts[0].count), parts[0].first);
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

/// A product's columns that the bands [first, first + count) give, for each part as it is alone.
template <class Part>
void multiply_bands(const Product& product, std::size_t first, std::size_t count,
                    std::span<const Part> parts) {
  for_equals(product.m, parts, product.x, [&](const Inputs& some, std::size_t token) {
    product.m.multiply(first, count, some, product.y.middle(token, some.tokens));
  });
}

/// Several products, for each part as it is alone; threads meet once. A task ends with
/// then(product, first, count), which may work on the rows [first, first + count) of a matrix, the
/// columns of its y, while they are in the cache.
template <std::size_t kProducts, class Part, class Then>
void multiply(Executor& executor, const Product (&products)[kProducts], std::span<const Part> parts,
              Then then) {
  Panels panels[kProducts];
  std::size_t tasks = 0;
  for (std::size_t i = 0; i < kProducts; ++i) {
    panels[i] = Panels(products[i].m);
    tasks += panels[i].count;
  }
  executor.run(tasks, [&](std::size_t task) {
    std::size_t i = 0;
    for (; task >= panels[i].count; ++i) task -= panels[i].count;
    const Product& product = products[i];
    panels[i].with(task, [&](std::size_t first, std::size_t count) {
      multiply_bands(product, first, count, parts);
      then(i, first * product.m.format->band_rows, product.m.rows_in(first, count));
    });
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
  const Product product = {*m, x, y};
  panels.with(task - (end - panels.count), [&, own = parts](std::size_t first, std::size_t count) {
    multiply_bands(product, first, count, own);
  });
}

/// For multiply(): nothing to do at the end of a task.
inline constexpr auto kNothing = [](std::size_t, std::size_t) {};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
