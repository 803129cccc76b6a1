// SPDX-License-Identifier: Apache-2.0
// What the NEON products share: the order of their tiles, and loads and stores around them.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

#include "mamba2/core/views.hpp"
#include "mamba2/kernels/token_tiles.hpp"
#include "mamba2/kernels/unroll.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::neon {

/// Asks for the line that is needed soon. The end of a band is no end: the next one follows there.
/// 12 GB/s, what a core alone can read, from a memory 150 ns away: 1.8 KB are on their way.
MAMBA2_INLINE inline void prefetch(const std::byte* place) { __builtin_prefetch(place + 2048); }

/// Keeps sums in their registers from one step of a loop to the next: it does nothing, but GCC,
/// which does not know that, no longer interleaves steps at the price of copies.
inline void pin(int32x4_t& sum) { asm("" : "+w"(sum)); }

/// Has what is loaded from a place, or from column k on, wait for a sum.
inline void pin(int32x4_t& sum, std::size_t& k) { asm("" : "+w"(sum), "+r"(k)); }
inline void pin(float32x4_t& sum, const std::byte*& place) { asm("" : "+w"(sum), "+r"(place)); }

/// For all of some sums, so that groups of columns are not interleaved, either.
template <std::size_t kCount>
void pin(float32x4_t (&sums)[kCount], const std::byte*& place) {
#pragma GCC unroll 8
  for (std::size_t i = 0; i < kCount; ++i) pin(sums[i], place);
}

template <class Sums, std::size_t kCount>
void pin(Sums (&sums)[kCount]) {
#pragma GCC unroll 8
  for (std::size_t i = 0; i < kCount; ++i) pin(sums[i]);
}

/// As pin(), for all sums of a large tile together: the loads of a step wait for the sums of the
/// one before, as GCC would have more of them at a time than there are registers. Does nothing to
/// the sums of other tiles, which leave enough.
template <class Sums>
void fence(Sums&) {}
inline void fence(int32x4_t (&sums)[8][1]) {
  asm(""
      : "+w"(sums[0][0]), "+w"(sums[1][0]), "+w"(sums[2][0]), "+w"(sums[3][0]), "+w"(sums[4][0]),
        "+w"(sums[5][0]), "+w"(sums[6][0]), "+w"(sums[7][0]));
}
/// What is loaded from a and b after it waits, too.
template <std::size_t kCount, class A, class B>
void fence(float32x4_t (&totals)[kCount], const A*& a, const B*& b) {
  if constexpr (kCount == 8) {
    asm(""
        : "+w"(totals[0]), "+w"(totals[1]), "+w"(totals[2]), "+w"(totals[3]), "+w"(totals[4]),
          "+w"(totals[5]), "+w"(totals[6]), "+w"(totals[7]), "+r"(a), "+r"(b));
  }
}

/// Writes the first `count` lanes, all four if count is larger.
inline void store(float32x4_t values, float* to, std::size_t count) {
  if (count >= 4) {
    vst1q_f32(to, values);
    return;
  }
  to[0] = vgetq_lane_f32(values, 0);
  if (count > 1) to[1] = vgetq_lane_f32(values, 1);
  if (count > 2) to[2] = vgetq_lane_f32(values, 2);
}

/// Four FP16 numbers.
inline float32x4_t load_halves(const std::byte* from) {
  return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(reinterpret_cast<const std::uint16_t*>(from))));
}

/// The kLane-th 4 bytes in every 4 lanes.
template <int kLane>
int8x16_t broadcast(int8x16_t bytes) {
  return vreinterpretq_s8_s32(vdupq_laneq_s32(vreinterpretq_s32_s8(bytes), kLane));
}

/// The sum of the chains that a sum was split into.
template <std::size_t kChains>
int32x4_t sum_of(const int32x4_t (&chains)[kChains]) {
  if constexpr (kChains == 1) {
    return chains[0];
  } else if constexpr (kChains == 2) {
    return vaddq_s32(chains[0], chains[1]);
  } else {
    static_assert(kChains == 4);
    return vaddq_s32(vaddq_s32(chains[0], chains[1]), vaddq_s32(chains[2], chains[3]));
  }
}

/// Calls Kernel::tile<bands, tokens>() for tiles that cover y = x m^T. Few tokens take the weights
/// as one stream. Many go through them in tiles of kBands bands and kTokens tokens: while all bands
/// pass, the tokens of a tile stay in the L1 cache, and the bands should stay in the L2 cache.
template <class Kernel, std::size_t kBands, std::size_t kTokens, class Layout>
void for_tiles(const Layout& layout, const std::byte* bands, std::size_t rows, const Inputs& x,
               const MutableRows& y) {
  static_assert(kBands == 1 || kBands == 2);
  constexpr std::size_t kRows = Kernel::kRows;
  const std::size_t bytes = layout.band_bytes(kRows);
  if (x.tokens <= kFewTokens) {
    with_few_tokens(x.tokens, [&](auto n) {
      for (std::size_t r = 0; r < rows; r += kRows) {
        Kernel::template tile<1, n>(layout, bands + r / kRows * bytes, x.data, x.stride,
                                    y.columns(r, rows - r));
      }
    });
    return;
  }
  for_token_tiles<kTokens>(x.tokens, [&](auto n, std::size_t t) {
    for (std::size_t r = 0; r < rows; r += kBands * kRows) {
      const std::byte* band = bands + r / kRows * bytes;
      const MutableRows to = y.middle(t, n).columns(r, rows - r);
      if (to.cols > (kBands - 1) * kRows) {
        Kernel::template tile<kBands, n>(layout, band, x[t], x.stride, to);
      } else {
        Kernel::template tile<1, n>(layout, band, x[t], x.stride, to);
      }
    }
  });
}

}  // namespace kernels::neon
}  // namespace MAMBA2_ISA
}  // namespace mamba2
