// SPDX-License-Identifier: Apache-2.0
// The selective state space recurrence of Mamba-2 in chunks (arXiv 2405.21060, "state space
// duality"): the state stands where the last chunk ended, and a token is computed of it and of the
// rows since, mostly by matrix products.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "mamba2/core/views.hpp"
#include "mamba2/kernels/activations.hpp"
#include "mamba2/kernels/scan.hpp"
#include "mamba2/kernels/simd.hpp"
#include "mamba2/kernels/unroll.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels {

/// Tokens of a chunk. One begins at every multiple of it, counted from the beginning of the
/// sequence, and a token's arithmetic depends on nothing but its place in its chunk: it gets the
/// same bits in whatever pieces a text is read. Decoding reads the state once a token and writes it
/// once a chunk. Longer chunks are more rows to keep and to read again with every token; shorter
/// ones pass through the state more often: heads of 64 x 128 took prompts of 192 tokens in 2.86 ms
/// a layer of 2.7b, with 32 tokens to a chunk in 2.54, with 64 in 2.66 (Zen 5).
inline constexpr std::size_t kChunk = 16;
static_assert(kChunk % kLanes == 0);

/// Columns that the products of a head are worked on at a time, and rows: their sums fill the
/// registers. Of a single row as many columns as lie in 256 bytes, because its state comes from
/// memory, which is read in order.
inline constexpr std::size_t kPanelVectors = kLanes == 8 ? 2 : 4;
inline constexpr std::size_t kRowVectors = 64 / kLanes;
inline constexpr std::size_t kTileRows = 6;
/// How far ahead of its use a single row asks for the state, in bytes. On Zen 5, as ratios to the
/// time with this, of FP32 and of FP16: 1 KiB 1.15, 1.36; 4 KiB 1.02, 1.10; 8 KiB 1.15, 0.98.
inline constexpr std::size_t kStateAhead = 6144;

/// Sums of kRows rows and kVectors registers of columns.
template <std::size_t kRows, std::size_t kVectors>
using Tile = Floats[kRows][kVectors];

/// sums[r] += sum_k a[r * a_row + k * a_column] * b[k * b_row ...], k < count. kAhead: see
/// kStateAhead; 0: b is in the cache.
template <std::size_t kAhead = 0, std::size_t kRows, std::size_t kVectors, class Lanes,
          class Element>
MAMBA2_INLINE inline void add_product(Tile<kRows, kVectors>& sums, const Lanes& lanes,
                                      const float* a, std::size_t a_row, std::size_t a_column,
                                      const Element* b, std::size_t b_row, std::size_t count) {
  for (std::size_t k = 0; k < count; ++k, a += a_column, b += b_row) {
    Floats row[kVectors];
    unroll<kVectors>([&](auto v) MAMBA2_INLINE { row[v] = lanes.load(b + v * kLanes); });
    if constexpr (kAhead > 0) {
      constexpr std::size_t kLine = 64 / sizeof(Element);
      unroll<kVectors * kLanes / kLine>([&](auto line) MAMBA2_INLINE {
        prefetch(reinterpret_cast<const std::byte*>(b + line * kLine) + kAhead);
      });
    }
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

/// What the heads of a group share: the products of the C of a chunk's i'th row with B_j for all
/// rows j <= i, and 0 beyond. C (d_state), B (rows, d_state) of the group; products (kChunk).
inline void chunk_products(const float* C, ConstRows B, std::size_t i, float* products) noexcept {
  constexpr std::size_t kColumns = 4;
  static_assert(kChunk % kColumns == 0);
  for (std::size_t j = 0; j <= i; j += kColumns) {
    Floats sums[kColumns];
    const float* columns[kColumns];
    unroll<kColumns>([&](auto k) MAMBA2_INLINE {
      sums[k] = Floats(0.0F);
      columns[k] = B[std::min(j + k, i)];  // beyond i it is of no use
    });
    for_each_vector(B.cols, [&](std::size_t n, auto lanes) MAMBA2_INLINE {
      const Floats c = lanes.load(C + n);
      unroll<kColumns>([&](auto k) MAMBA2_INLINE {
        sums[k] = multiply_add(c, lanes.load(columns[k] + n), sums[k]);
      });
    });
    unroll<kColumns>([&](auto k) MAMBA2_INLINE { products[j + k] = sum(sums[k]); });
  }
  std::fill(products + i + 1, products + kChunk, 0.0F);
}

/// What a head has of the rows of a chunk that have been read: `since` and `entering` after the
/// last of them.
struct Decays {
  float* since;     ///< (kChunk): for each row j delta_j prod(a_{j+1} .. a_last), where
                    ///< a_t = exp(delta_t A); 0 for rows to come
  float* entering;  ///< one number: prod(a_0 .. a_last)
};

/// The tokens at hand of a chunk, its last rows, for one head.
struct ChunkTokens {
  ConstRows x;         ///< (rows, headdim): of all rows that have been read
  ConstRows B;         ///< (rows, d_state): likewise
  ConstRows C;         ///< (tokens, d_state)
  ConstRows CB;        ///< (tokens, kChunk): see chunk_products()
  const float* delta;  ///< the first row's; those of the others are delta_stride apart
  std::size_t delta_stride;
  std::size_t known;  ///< rows that decays have: those before the tokens, or 0 to compute them anew
  MutableRows y;      ///< (tokens, headdim): may be where their rows of x are
};

/// Takes tokens of a chunk through the recurrence of one head. Element: of the state, float or
/// std::uint16_t for FP16.
template <class Element>
class ChunkHead {
 public:
  /// decays: after tokens.known rows; anything, if there are none. They become those after the last
  /// row. state (d_state, headdim): where the chunk began.
  ChunkHead(const Ssm& ssm, std::size_t head, const ChunkTokens& tokens, const Decays& decays,
            const Element* state) noexcept
      : t_(tokens),
        first_(tokens.x.rows - tokens.y.rows),
        headdim_(ssm.headdim),
        d_state_(ssm.d_state),
        D_(ssm.D + head * ssm.headdim),
        since_(decays.since),
        state_(state) {
    decay(ssm.A[head], decays);
  }

  /// Writes y; and to `end`, if it is not nullptr, the state after the last row. It may be the
  /// state itself.
  void run(Element* end) noexcept {
    end_ = end;
    std::size_t p = 0;
    if (end == nullptr && t_.y.rows == 1) {
      for (; p + kRowVectors * kLanes <= headdim_; p += kRowVectors * kLanes) {
        outputs<1, kRowVectors, kStateAhead>(AllLanes{}, 0, p);
      }
    }
    for (; p + kPanelVectors * kLanes <= headdim_; p += kPanelVectors * kLanes) {
      panel<kPanelVectors>(AllLanes{}, p);
    }
    for_each_vector(headdim_ - p, [&](std::size_t i, auto lanes) { panel<1>(lanes, p + i); });
  }

 private:
  /// M[i][j] = CB[i][j] delta_j prod(a_{j+1} .. a_i), 0 for j > i. The products of decays grow from
  /// row to row. They are not exp(cs_i - cs_j) of prefix sums cs: behind a strong decay the
  /// difference of two large sums would be all rounding.
  void decay(float A, const Decays& decays) noexcept {
    const std::size_t known = t_.known;
    const std::size_t rows = t_.x.rows;
    const auto delta = [&](std::size_t i) { return t_.delta[i * t_.delta_stride]; };
    alignas(64) std::array<float, kChunk> factors{};  // from the known rows on
    for (std::size_t i = known; i < rows; ++i) factors[i - known] = delta(i) * A;
    for (std::size_t i = 0; known + i < rows; i += kLanes) {
      store(exp(load(&factors[i])), &factors[i]);
    }
    constexpr std::size_t kVectors = kChunk / kLanes;
    Floats since[kVectors];
    unroll<kVectors>([&](auto v) MAMBA2_INLINE {
      since[v] = known == 0 ? Floats(0.0F) : load(since_ + v * kLanes);
    });
    entering_last_ = known == 0 ? 1.0F : *decays.entering;
    for (std::size_t i = known; i < rows; ++i) {
      entering_last_ *= factors[i - known];
      const float* unit = &kUnit[kChunk - i];
      unroll<kVectors>([&](auto v) MAMBA2_INLINE {
        const Floats L = since[v] * Floats(factors[i - known]);
        // Arithmetic with subnormal numbers is slow.
        since[v] = multiply_add(load(unit + v * kLanes), Floats(delta(i)),
                                xsimd::select(L > Floats(1e-30F), L, Floats(0.0F)));
      });
      if (i < first_) continue;
      const std::size_t t = i - first_;
      entering_[t] = entering_last_;
      unroll<kVectors>([&](auto v) MAMBA2_INLINE {
        store(since[v] * load(t_.CB[t] + v * kLanes), &M_[t * kChunk + v * kLanes]);
      });
    }
    *decays.entering = entering_last_;
    unroll<kVectors>([&](auto v) MAMBA2_INLINE { store(since[v], since_ + v * kLanes); });
  }

  template <std::size_t kVectors, class Lanes>
  void panel(const Lanes& lanes, std::size_t p) noexcept {
    constexpr std::size_t kWidth = kVectors * kLanes;
    // The inputs as they arrive in the state at the end of the chunk; y may replace them.
    alignas(64) std::array<float, kChunk * kWidth> arriving;
    for (std::size_t j = 0; end_ != nullptr && j < t_.x.rows; ++j) {
      unroll<kVectors>([&](auto v) MAMBA2_INLINE {
        store(lanes.load(t_.x[j] + p + v * kLanes) * Floats(since_[j]),
              &arriving[j * kWidth + v * kLanes]);
      });
    }
    for_each_tile_backwards(
        t_.y.rows, [&](auto rows, std::size_t i) { outputs<rows, kVectors>(lanes, i, p); });
    if (end_ == nullptr) return;
    for_each_tile_backwards(d_state_, [&](auto rows, std::size_t n) {
      update<rows, kVectors>(lanes, n, p, arriving.data());
    });
  }

  /// y_i = (prod a) S C_i + sum_{j <= i} M_ij x_j + D x_i, from the last row to the first: x_i is
  /// not needed by the rows before.
  template <std::size_t kRows, std::size_t kVectors, std::size_t kAhead = 0, class Lanes>
  void outputs(const Lanes& lanes, std::size_t i, std::size_t p) noexcept {
    Tile<kRows, kVectors> tile;
    unroll<kRows, kVectors>([&](auto r, auto v) MAMBA2_INLINE { tile[r][v] = Floats(0.0F); });
    add_product<kAhead>(tile, lanes, t_.C[i], t_.C.stride, 1, state_ + p, headdim_, d_state_);
    const float* entering = &entering_[i];
    unroll<kRows>([&](auto r) MAMBA2_INLINE {
      const Floats factor(entering[r]);
      unroll<kVectors>([&](auto v) MAMBA2_INLINE { tile[r][v] *= factor; });
    });
    add_product(tile, lanes, &M_[i * kChunk], kChunk, 1, t_.x.data + p, t_.x.stride,
                first_ + i + kRows);
    const float* D = D_ + p;
    const float* x = t_.x[first_ + i] + p;
    float* y = t_.y[i] + p;
    unroll<kRows, kVectors>(
        [&, x_stride = t_.x.stride, y_stride = t_.y.stride](auto r, auto v) MAMBA2_INLINE {
          lanes.store(multiply_add(lanes.load(D + v * kLanes),
                                   lanes.load(x + r * x_stride + v * kLanes), tile[r][v]),
                      y + r * y_stride + v * kLanes);
        });
  }

  /// S_n = (prod a) S_n + sum_j B_j[n] arriving_j.
  template <std::size_t kRows, std::size_t kVectors, class Lanes>
  void update(const Lanes& lanes, std::size_t n, std::size_t p, const float* arriving) noexcept {
    Tile<kRows, kVectors> tile;
    const std::size_t stride = headdim_;
    const Element* state = state_ + n * stride + p;
    Element* end = end_ + n * stride + p;
    const Floats decay(entering_last_);
    unroll<kRows, kVectors>([&](auto r, auto v) MAMBA2_INLINE {
      const Element* place = state + r * stride + v * kLanes;
      // The same of the next head: memory would be idle while this chunk is taken in.
      prefetch<kIntoL2>(place + d_state_ * stride);
      tile[r][v] = lanes.load(place) * decay;
    });
    add_product(tile, AllLanes{}, t_.B.data + n, 1, t_.B.stride, arriving, kVectors * kLanes,
                t_.x.rows);
    unroll<kRows, kVectors>([&](auto r, auto v) MAMBA2_INLINE {
      lanes.store(tile[r][v], end + r * stride + v * kLanes);
    });
  }

  /// A one among zeros, to put delta_i into its place.
  static constexpr std::array<float, 2 * kChunk> kUnit = [] {
    std::array<float, 2 * kChunk> unit{};
    unit[kChunk] = 1.0F;
    return unit;
  }();

  ChunkTokens t_;
  std::size_t first_;  // of the rows: the first token
  std::size_t headdim_;
  std::size_t d_state_;
  const float* D_;
  float* since_;
  const Element* state_;
  Element* end_ = nullptr;
  float entering_last_ = 1.0F;
  alignas(64) std::array<float, kChunk> entering_;  // of each token
  alignas(64) std::array<float, kChunk * kChunk> M_;
};

}  // namespace kernels
}  // namespace MAMBA2_ISA
}  // namespace mamba2
