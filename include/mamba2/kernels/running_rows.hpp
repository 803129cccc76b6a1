// SPDX-License-Identifier: Apache-2.0
// Attention that has seen some of its tokens: what is known by then, and how two of that become
// one.
#pragma once

#include <algorithm>
#include <cstddef>

#include "mamba2/core/views.hpp"
#include "mamba2/kernels/activations.hpp"
#include "mamba2/kernels/kv_cache.hpp"
#include "mamba2/kernels/simd.hpp"

MAMBA2_INTRINSICS_BEGIN

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels {

/// Rows of attention, each the query of one head and token, after some of the tokens that it sees:
/// the values weighted by exp(score - largest) and added up (padded), the largest score, and the
/// sum of the weights.
struct RunningRows {
  float* data;
  std::size_t padded;  ///< headdim, rounded up to whole panels

  RunningRows(float* first, std::size_t headdim) noexcept
      : data(first), padded(detail::round_up(headdim, KvLayout::kPanel)) {}

  /// Floats from a row to the next.
  [[nodiscard]] static constexpr std::size_t stride(std::size_t headdim) noexcept {
    return detail::round_up(headdim, KvLayout::kPanel) + KvLayout::kPanel;
  }
  [[nodiscard]] std::size_t stride() const noexcept { return padded + KvLayout::kPanel; }

  [[nodiscard]] float* operator[](std::size_t row) const noexcept { return data + row * stride(); }
  [[nodiscard]] float& largest(std::size_t row) const noexcept { return (*this)[row][padded]; }
  [[nodiscard]] float& sum(std::size_t row) const noexcept { return (*this)[row][padded + 1]; }

  /// The rows from this one on.
  [[nodiscard]] RunningRows from(std::size_t row) const noexcept {
    RunningRows rows = *this;
    rows.data = (*this)[row];
    return rows;
  }
};

/// What rows count for where the tokens of a block are added to those before it.
struct Merge {
  Floats largest;  ///< of both
  Floats before;
  Floats block;

  MAMBA2_INLINE Merge(const Floats& largest_before, const Floats& largest_in_block)
      : largest(xsimd::max(largest_before, largest_in_block)),
        before(exp(largest_before - largest)),
        block(exp(largest_in_block - largest)) {}
};

/// The values of both, or the sums of weights.
[[nodiscard]] MAMBA2_INLINE inline Floats merged(const Floats& values, const Floats& before,
                                                 const Floats& block_values, const Floats& block) {
  return multiply_add(values, before, block_values * block);
}

/// Adds a row of a block to the one of the tokens before it.
inline void merge_row(const RunningRows& block, const RunningRows& running) noexcept {
  const Merge merge(Floats(running.largest(0)), Floats(block.largest(0)));
  running.largest(0) = first_lane(merge.largest);
  running.sum(0) =
      first_lane(merged(Floats(running.sum(0)), merge.before, Floats(block.sum(0)), merge.block));
  for (std::size_t c = 0; c < running.padded; c += kLanes) {
    float* to = running[0] + c;
    store(merged(load(to), merge.before, load(block[0] + c), merge.block), to);
  }
}

/// The result of a row that has seen all its tokens. out (headdim).
inline void finish_row(const RunningRows& running, std::size_t headdim, float* out) noexcept {
  const Floats inverse(1.0F / running.sum(0));
  for_each_vector(headdim, [&](std::size_t c, auto lanes) {
    lanes.store(load(running[0] + c) * inverse, out + c);
  });
}

}  // namespace kernels
}  // namespace MAMBA2_ISA
}  // namespace mamba2

MAMBA2_INTRINSICS_END
