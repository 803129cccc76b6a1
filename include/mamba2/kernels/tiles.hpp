// SPDX-License-Identifier: Apache-2.0
// How a product is cut into tiles of rows and tokens that fit into registers.
#pragma once

#include <algorithm>
#include <cstddef>

#include "mamba2/core/views.hpp"
#include "mamba2/kernels/simd.hpp"
#include "mamba2/kernels/token_tiles.hpp"
#include "mamba2/kernels/unroll.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels {

/// y = x m^T, y (x.tokens, rows), m in bands of kRows rows and `band_bytes` bytes: calls
///   tile(Constant<bands>, Constant<tokens>, band, x, y)
/// for all tiles, with the band, the tokens and the columns of y where the tile begins; y.cols is
/// what is left there, and may be less than the rows of the bands.
///
/// A product with up to kStreamed tokens is bound by memory: a tile is one band and all tokens, and
/// the weights are one stream. With more, a tile has kBands bands, which stay in the L2 cache while
/// they meet kTokens tokens at a time. Tokens that are alone meet a band kAlone at a time; the tile
/// is told by its x.
template <std::size_t kRows, std::size_t kBands, std::size_t kTokens,
          std::size_t kStreamed = kFewTokens, std::size_t kAlone = 1, class Tile>
void for_tiles(const std::byte* bands, std::size_t band_bytes, std::size_t rows, const Inputs& x,
               const MutableRows& y, const Tile& tile) {
  if (x.alone) {
    for (std::size_t r = 0; r < rows; r += kRows, bands += band_bytes) {
      for (std::size_t t = 0; t < x.tokens; t += kAlone) {
        const std::size_t count = std::min(kAlone, x.tokens - t);
        with_few_tokens(count, [&](auto tokens) {
          tile(Constant<1>(), tokens, bands, x.middle(t, count),
               y.middle(t, count).columns(r, rows - r));
        });
      }
    }
    return;
  }
  if (x.tokens <= kStreamed) {
    for (std::size_t r = 0; r < rows; r += kRows, bands += band_bytes) {
      for_streamed_tiles<kStreamed>(x.tokens, [&](auto tokens, std::size_t first) {
        tile(Constant<1>(), tokens, bands, x.middle(first, tokens),
             y.middle(first, tokens).columns(r, rows - r));
      });
    }
    return;
  }
  for (std::size_t r = 0; r < rows;) {
    const bool whole = rows - r > (kBands - 1) * kRows;
    for_token_tiles<kTokens>(x.tokens, [&](auto tokens, std::size_t first) {
      const Inputs from = x.middle(first, tokens);
      const MutableRows to = y.middle(first, tokens).columns(r, rows - r);
      if (whole) {
        tile(Constant<kBands>(), tokens, bands, from, to);
      } else {
        tile(Constant<1>(), tokens, bands, from, to);
      }
    });
    const std::size_t count = whole ? kBands : 1;
    r += count * kRows;
    bands += count * band_bytes;
  }
}

/// Asks for what a tile of few tokens needs next of its inputs. Every band of weights that streams
/// through the L1 cache pushes them out to L2: on Zen 4 this is worth 2 to 11 % of a product.
template <std::size_t kTokens>
MAMBA2_INLINE inline void prefetch_inputs(const std::byte* x, std::size_t stride) {
  constexpr std::size_t kAhead = 128;
  if constexpr (kTokens <= kFewTokens) {
    unroll<kTokens>([&](auto t) MAMBA2_INLINE { prefetch<kIntoL1>(x + t * stride + kAhead); });
  }
}

}  // namespace kernels
}  // namespace MAMBA2_ISA
}  // namespace mamba2
