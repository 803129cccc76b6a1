// SPDX-License-Identifier: Apache-2.0
// The selective state space recurrence for many tokens at once: the chunked form of Mamba-2
// (arXiv 2405.21060, "state space duality"), in which nearly all work is matrix products.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "mamba2/core/linkage.hpp"
#include "mamba2/core/views.hpp"
#include "mamba2/kernels/activations.hpp"
#include "mamba2/kernels/scan.hpp"
#include "mamba2/kernels/simd.hpp"
#include "mamba2/kernels/unroll.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels {

/// Tokens of a chunk, at most. Longer ones do more work inside the chunk, shorter ones pass through
/// the state more often: for heads of 64 x 128, 64 tokens were the fastest (32: +6 %, 128: +14 %).
inline constexpr std::size_t kChunk = 64;
static_assert(kChunk % kLanes == 0);

/// Columns that the products of a head are worked on at a time, and rows: their sums fill the
/// registers.
inline constexpr std::size_t kPanelVectors = kLanes == 8 ? 2 : 4;
inline constexpr std::size_t kTileRows = 6;

/// Sums of kRows rows and kVectors registers of columns.
template <std::size_t kRows, std::size_t kVectors>
using Tile = Floats[kRows][kVectors];

/// sums[r] += sum_k a[r * a_row + k * a_column] * b[k * b_row ...], k < count.
template <std::size_t kRows, std::size_t kVectors, class Element>
MAMBA2_INLINE inline void add_product(Tile<kRows, kVectors>& sums, const float* a,
                                      std::size_t a_row, std::size_t a_column, const Element* b,
                                      std::size_t b_row, std::size_t count) {
  for (std::size_t k = 0; k < count; ++k, a += a_column, b += b_row) {
    Floats row[kVectors];
    unroll<kVectors>([&](auto v) MAMBA2_INLINE { row[v] = load(b + v * kLanes); });
    unroll<kRows>([&](auto r) MAMBA2_INLINE {
      const Floats factor(a[r * a_row]);
      unroll<kVectors>(
          [&](auto v) MAMBA2_INLINE { sums[r][v] = multiply_add(factor, row[v], sums[r][v]); });
    });
  }
}

/// Calls body(Constant<tile rows>, first row) for blocks of rows, kTileRows where that fits, last
/// rows first.
template <class Body>
void for_each_tile_backwards(std::size_t rows, Body body) {
  static_assert(kTileRows == 6);
  std::size_t end = rows;
  if (end % kTileRows >= 4) body(Constant<4>(), end -= 4);
  if (end % kTileRows >= 2) body(Constant<2>(), end -= 2);
  if (end % kTileRows >= 1) body(Constant<1>(), end -= 1);
  while (end > 0) body(Constant<kTileRows>(), end -= kTileRows);
}

/// Whether chunks are faster than the recurrence, and possible.
[[nodiscard]] inline bool chunks_pay(const Ssm& ssm, std::size_t tokens) {
  return tokens >= kTileRows && ssm.headdim % kLanes == 0 && ssm.d_state > 1;
}

/// The products that all heads of a group share, for the tokens [first, end): C_i . B_j for all j
/// <= i of i's chunk, and 0 beyond. CB (tokens, ngroups * kChunk).
inline void chunk_products(const Ssm& ssm, const ScanRows& rows, std::size_t group,
                           std::size_t first, std::size_t end, MutableRows CB) noexcept {
  constexpr std::size_t kColumns = 4;
  const ConstRows B = rows.B.columns(group * ssm.d_state, ssm.d_state);
  const ConstRows C = rows.C.columns(group * ssm.d_state, ssm.d_state);
  for (std::size_t i = first; i < end; ++i) {
    const std::size_t chunk = i / kChunk * kChunk;
    float* products = CB[i] + group * kChunk;
    for (std::size_t j = chunk; j <= i; j += kColumns) {
      Floats sums[kColumns];
      const float* columns[kColumns];
      unroll<kColumns>([&](auto k) MAMBA2_INLINE {
        sums[k] = Floats(0.0F);
        columns[k] = B[std::min(j + k, i)];  // beyond i it is of no use
      });
      for_each_vector(C.cols, [&](std::size_t n, auto lanes) MAMBA2_INLINE {
        const Floats c = lanes.load(C[i] + n);
        unroll<kColumns>([&](auto k) MAMBA2_INLINE {
          sums[k] = multiply_add(c, lanes.load(columns[k] + n), sums[k]);
        });
      });
      unroll<kColumns>([&](auto k) MAMBA2_INLINE { products[j - chunk + k] = sum(sums[k]); });
    }
    std::fill(products + (i - chunk) + 1, products + kChunk, 0.0F);
  }
}

/// The tokens of a chunk for one head. rows as for scan_head, with at most kChunk tokens; CB
/// (tokens, kChunk) of the head's group; headdim a multiple of kLanes.
template <class Element>
class ChunkHead {
 public:
  ChunkHead(const Ssm& ssm, std::size_t head, const ScanRows& rows, ConstRows CB,
            Element* state) noexcept
      : headdim_(ssm.headdim),
        d_state_(ssm.d_state),
        group_(head / (ssm.nheads / ssm.ngroups) * ssm.d_state),
        x_(rows.x.columns(head * ssm.headdim, ssm.headdim)),
        B_(rows.B.columns(group_, ssm.d_state)),
        C_(rows.C.columns(group_, ssm.d_state)),
        D_(ssm.D + head * ssm.headdim),
        state_(state) {
    decays(rows.delta, head, ssm.A[head], CB);
  }

  void run() noexcept {
    std::size_t p = 0;
    for (; p + kPanelVectors * kLanes <= x_.cols; p += kPanelVectors * kLanes) {
      panel<kPanelVectors>(p);
    }
    for (; p < x_.cols; p += kLanes) panel<1>(p);
  }

 private:
  /// M[i][j] = CB[i][j] delta_j prod(a_{j+1} .. a_i), 0 for j > i, where a_t = exp(delta_t A).
  /// The products of decays grow from row to row. They are not exp(cs_i - cs_j) of prefix sums cs:
  /// behind a strong decay the difference of two large sums would be all rounding.
  void decays(ConstRows delta, std::size_t head, float A, ConstRows CB) noexcept {
    alignas(64) std::array<float, kChunk> steps{};
    alignas(64) std::array<float, kChunk> factors{};
    const std::size_t tokens = x_.rows;
    for (std::size_t t = 0; t < tokens; ++t) steps[t] = delta[t][head];
    for (std::size_t t = 0; t < tokens; t += kLanes) {
      store(exp(load(&steps[t]) * Floats(A)), &factors[t]);
    }
    // A one in lane i % kLanes of zeros, to put delta_i into its place.
    std::array<float, 2 * kLanes> unit{};
    unit[kLanes] = 1.0F;
    since_.fill(0.0F);
    float entering = 1.0F;
    for (std::size_t i = 0; i < tokens; ++i) {
      entering_[i] = entering *= factors[i];
      for (std::size_t j = 0; j <= i; j += kLanes) {
        Floats L = load(&since_[j]) * Floats(factors[i]);
        // Arithmetic with subnormal numbers is slow.
        L = xsimd::select(L > Floats(1e-30F), L, Floats(0.0F));
        if (j + kLanes > i) L = multiply_add(load(&unit[kLanes - (i - j)]), Floats(steps[i]), L);
        store(L, &since_[j]);
        store(L * load(CB[i] + j), &M_[i * kChunk + j]);
      }
      // As far as a tile of rows reads.
      const std::size_t filled = detail::round_up(i + 1, kLanes);
      std::fill(&M_[i * kChunk] + filled,
                &M_[i * kChunk] + std::max(filled, std::min(kChunk, i + kTileRows)), 0.0F);
    }
  }

  template <std::size_t kVectors>
  void panel(std::size_t p) noexcept {
    // The inputs as they arrive in the state at the end of the chunk; y will replace them.
    alignas(64) std::array<float, kChunk * kPanelVectors * kLanes> arriving;
    constexpr std::size_t kWidth = kVectors * kLanes;
    for (std::size_t t = 0; t < x_.rows; ++t) {
      for (std::size_t v = 0; v < kWidth; v += kLanes) {
        store(load(x_[t] + p + v) * Floats(since_[t]), &arriving[t * kWidth + v]);
      }
    }
    for_each_tile_backwards(x_.rows,
                            [&](auto rows, std::size_t i) { outputs<rows, kVectors>(i, p); });
    for_each_tile_backwards(
        d_state_, [&](auto rows, std::size_t n) { update<rows, kVectors>(n, p, arriving.data()); });
  }

  /// y_i = (prod a) S C_i + sum_{j <= i} M_ij x_j + D x_i, from the last row to the first: x_i is
  /// not needed by the rows before.
  template <std::size_t kRows, std::size_t kVectors>
  void outputs(std::size_t i, std::size_t p) noexcept {
    Tile<kRows, kVectors> tile;
    unroll<kRows, kVectors>([&](auto r, auto v) MAMBA2_INLINE { tile[r][v] = Floats(0.0F); });
    add_product<kRows, kVectors>(tile, C_[i], C_.stride, 1, state_ + p, headdim_, d_state_);
    const float* entering = &entering_[i];
    unroll<kRows>([&](auto r) MAMBA2_INLINE {
      const Floats factor(entering[r]);
      unroll<kVectors>([&](auto v) MAMBA2_INLINE { tile[r][v] *= factor; });
    });
    add_product<kRows, kVectors>(tile, &M_[i * kChunk], kChunk, 1, x_.data + p, x_.stride,
                                 i + kRows);
    const float* D = D_ + p;
    float* y = x_[i] + p;
    const std::size_t stride = x_.stride;
    unroll<kRows, kVectors>([&](auto r, auto v) MAMBA2_INLINE {
      float* place = y + r * stride + v * kLanes;
      store(multiply_add(load(D + v * kLanes), load(place), tile[r][v]), place);
    });
  }

  /// S_n = (prod a) S_n + sum_j B_j[n] arriving_j.
  template <std::size_t kRows, std::size_t kVectors>
  void update(std::size_t n, std::size_t p, const float* arriving) noexcept {
    Tile<kRows, kVectors> tile;
    const std::size_t stride = headdim_;
    Element* state = state_ + n * stride + p;
    const Floats decay(entering_[x_.rows - 1]);
    unroll<kRows, kVectors>([&](auto r, auto v) MAMBA2_INLINE {
      tile[r][v] = load(state + r * stride + v * kLanes) * decay;
    });
    add_product<kRows, kVectors>(tile, B_.data + n, 1, B_.stride, arriving, kVectors * kLanes,
                                 x_.rows);
    unroll<kRows, kVectors>(
        [&](auto r, auto v) MAMBA2_INLINE { store(tile[r][v], state + r * stride + v * kLanes); });
  }

  std::size_t headdim_;
  std::size_t d_state_;
  std::size_t group_;
  MutableRows x_;  // (tokens, headdim)
  ConstRows B_;    // (tokens, d_state)
  ConstRows C_;    // (tokens, d_state)
  const float* D_;
  Element* state_;                                  // (d_state, headdim)
  alignas(64) std::array<float, kChunk> entering_;  // prod(a_0 .. a_i)
  alignas(64) std::array<float, kChunk> since_;     // delta_j prod(a_{j+1} .. a_last)
  alignas(64) std::array<float, kChunk * kChunk> M_;
};

/// What scan_head does, in chunks. CB as chunk_products() leaves it, for all tokens and groups.
/// Never inlined: its stack, which decoding does not need, would be part of the caller's.
template <class Element>
[[gnu::noinline]] void scan_head_in_chunks(const Ssm& ssm, std::size_t head, const ScanRows& rows,
                                           ConstRows CB, Element* state) noexcept {
  const std::size_t group = head / (ssm.nheads / ssm.ngroups);
  const ConstRows products = CB.columns(group * kChunk, kChunk);
  for (std::size_t first = 0; first < rows.x.rows; first += kChunk) {
    const std::size_t count = std::min(kChunk, rows.x.rows - first);
    ChunkHead<Element>(ssm, head, rows.middle(first, count), products.middle(first, count), state)
        .run();
  }
}

#if defined(MAMBA2_SEPARATE)
MAMBA2_INSTANTIATION void scan_head_in_chunks<float>(const Ssm&, std::size_t, const ScanRows&,
                                                     ConstRows, float*) noexcept;
MAMBA2_INSTANTIATION void scan_head_in_chunks<std::uint16_t>(const Ssm&, std::size_t,
                                                             const ScanRows&, ConstRows,
                                                             std::uint16_t*) noexcept;
#endif

}  // namespace kernels
}  // namespace MAMBA2_ISA
}  // namespace mamba2
