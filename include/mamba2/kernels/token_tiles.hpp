// SPDX-License-Identifier: Apache-2.0
// How a batch of tokens is cut into tiles that fit into registers.
#pragma once

#include <algorithm>
#include <cstddef>
#include <type_traits>

#include "mamba2/core/platform.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels {

/// A number of tokens, known to the compiler.
template <std::size_t kTokens>
using Tokens = std::integral_constant<std::size_t, kTokens>;

/// Up to so many tokens a product is bound by memory on every CPU: it takes the weights as one
/// stream.
inline constexpr std::size_t kFewTokens = 4;

/// Calls tile(Tokens<n>, first) for tiles [first, first + n) that cover 0..tokens-1, for at
/// least 4 tokens: n is kWide or 4. The last ones may overlap, and tokens in both are then
/// computed twice, to the same bits: cheaper than tiles of every width.
template <std::size_t kWide, class Tile>
void for_token_tiles(std::size_t tokens, Tile tile) {
  static_assert(kWide % 4 == 0);
  std::size_t first = 0;
  for (; first + kWide <= tokens; first += kWide) tile(Tokens<kWide>(), first);
  if (tokens >= kWide && tokens - first > kWide - 4) {
    tile(Tokens<kWide>(), tokens - kWide);
    return;
  }
  for (; first < tokens; first += 4) tile(Tokens<4>(), std::min(first, tokens - 4));
}

/// Calls tile(Tokens<tokens>), for up to kFewTokens tokens.
template <class Tile>
void with_few_tokens(std::size_t tokens, Tile tile) {
  switch (tokens) {
    case 0:
      return;
    case 1:
      return tile(Tokens<1>());
    case 2:
      return tile(Tokens<2>());
    case 3:
      return tile(Tokens<3>());
    default:
      return tile(Tokens<4>());
  }
}

/// Calls tile(Tokens<n>, first) for one tile, or two that overlap, that cover 0..tokens-1, for up
/// to kMost tokens.
template <std::size_t kMost, class Tile>
void for_streamed_tiles(std::size_t tokens, Tile tile) {
  static_assert(kMost == kFewTokens || kMost == 8 || kMost == 16);
  if (tokens <= kFewTokens) {
    return with_few_tokens(tokens, [&](auto n) { tile(n, std::size_t{0}); });
  }
  const auto cover = [&](auto n) {
    tile(n, std::size_t{0});
    if (tokens > n) tile(n, tokens - n);
  };
  if constexpr (kMost >= 8) {
    if (tokens < 6) return cover(Tokens<4>());
    if (tokens < 8) return cover(Tokens<6>());
    if (kMost == 8 || tokens < 12) return cover(Tokens<8>());
  }
  if constexpr (kMost == 16) {
    if (tokens < 16) return cover(Tokens<12>());
    cover(Tokens<16>());
  }
}

}  // namespace kernels
}  // namespace MAMBA2_ISA
}  // namespace mamba2
