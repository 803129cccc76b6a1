// SPDX-License-Identifier: Apache-2.0
// Products of unsigned codes of few bits by VPMADDUBSW, where there is no VNNI: sums of pairs in 16
// bits, and of these in 32.
#pragma once

#include <algorithm>
#include <cstddef>

#include "mamba2/kernels/unroll.hpp"

MAMBA2_INTRINSICS_BEGIN

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels {

/// Weights of 2 bits, stored + 1. Pairs: the vectors of an instruction set (avx2::Pairs).
template <class Pairs>
struct TwoBitProducts : Pairs {
  using typename Pairs::Bytes;
  using typename Pairs::Sums;
  static constexpr int kBias = 1;
  static constexpr std::size_t kTokens = 4;
  static constexpr std::size_t chains(std::size_t) { return 1; }
  /// Columns whose sums fit into 16 bits: a lane gets half of them, 64 * 3 * 127 = 24384.
  static constexpr std::size_t kShort = 128;

  /// sums += weights times x, over `columns` columns.
  template <std::size_t kBands, std::size_t kTokens>
  MAMBA2_INLINE static void add_products(const std::byte* weights, std::size_t band_bytes,
                                         const std::byte* x, std::size_t x_stride,
                                         std::size_t columns, Sums (&sums)[1][kBands][kTokens]) {
    const std::byte* const end = x + columns;
    do {
      const std::byte* const part =
          x + std::min<std::size_t>(kShort, static_cast<std::size_t>(end - x));
      Bytes pairs[kBands][kTokens];
      unroll<kBands, kTokens>([&](auto b, auto t) MAMBA2_INLINE { pairs[b][t] = Pairs::zero(); });
      do {
        prefetch_inputs<kTokens>(x, x_stride);
        Bytes w[kBands];
        unroll<kBands>([&](auto b)
                           MAMBA2_INLINE { w[b] = Pairs::load_weights(weights + b * band_bytes); });
        unroll<4>([&](auto i) MAMBA2_INLINE {
          Bytes codes[kBands];
          unroll<kBands>([&](auto b)
                             MAMBA2_INLINE { codes[b] = Pairs::template two_bits<i>(w[b]); });
          unroll<kTokens>([&](auto t) MAMBA2_INLINE {
            const Bytes v = Pairs::broadcast_codes(x + t * x_stride + 4 * i);
            unroll<kBands>([&](auto b) MAMBA2_INLINE {
              pairs[b][t] = Pairs::dot_pairs(pairs[b][t], codes[b], v);
            });
          });
        });
        weights += 4 * Pairs::kRows;
        x += 16;
      } while (x != part);
      unroll<kBands, kTokens>([&](auto b, auto t) MAMBA2_INLINE {
        sums[0][b][t] = Pairs::add_pairs(sums[0][b][t], pairs[b][t]);
      });
    } while (x != end);
  }
};

/// Weights of 5 bits, of which those of Q5_0 are stored + 16.
template <class Pairs>
struct FiveBitProducts : Pairs {
  using typename Pairs::Bytes;
  using typename Pairs::Sums;
  static constexpr int kBias = 16;
  static constexpr std::size_t kTokens = 4;
  static constexpr std::size_t chains(std::size_t) { return 1; }

  /// sums += weights times x, over the columns of one group. Exact: a 16-bit lane holds at most 8
  /// products of 31 * 127, 31496.
  template <std::size_t kBands, std::size_t kTokens>
  MAMBA2_INLINE static void add_products(const std::byte* weights, std::size_t band_bytes,
                                         const std::byte* x, std::size_t x_stride, std::size_t,
                                         Sums (&sums)[1][kBands][kTokens]) {
    prefetch_inputs<kTokens>(x, x_stride);
    unroll<2>([&](auto half) MAMBA2_INLINE {
      Bytes pairs[kBands][kTokens];
      unroll<kBands, kTokens>([&](auto b, auto t) MAMBA2_INLINE { pairs[b][t] = Pairs::zero(); });
      unroll<4>([&](auto i) MAMBA2_INLINE {
        constexpr std::size_t kIndex = 4 * half + i;
        Bytes w[kBands];
        unroll<kBands>([&](auto b) MAMBA2_INLINE {
          w[b] = Pairs::template five_bits<kIndex>(weights + b * band_bytes);
        });
        unroll<kTokens>([&](auto t) MAMBA2_INLINE {
          const Bytes v = Pairs::broadcast_codes(x + t * x_stride + 4 * kIndex);
          unroll<kBands>(
              [&](auto b) MAMBA2_INLINE { pairs[b][t] = Pairs::dot_pairs(pairs[b][t], w[b], v); });
        });
      });
      unroll<kBands, kTokens>([&](auto b, auto t) MAMBA2_INLINE {
        sums[0][b][t] = Pairs::add_pairs(sums[0][b][t], pairs[b][t]);
      });
    });
  }
};

}  // namespace kernels
}  // namespace MAMBA2_ISA
}  // namespace mamba2

MAMBA2_INTRINSICS_END
