// SPDX-License-Identifier: Apache-2.0
// Q5_0, Q5_1 and Q5_K products with VPMADDUBSW, which multiplies unsigned by signed bytes: codes of
// Q5_0 are stored + 16.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <string_view>

#include "mamba2/kernels/avx512/five_bits.hpp"
#include "mamba2/kernels/avx512/pairs.hpp"
#include "mamba2/kernels/avx512/vectors.hpp"
#include "mamba2/kernels/unroll.hpp"
#include "mamba2/kernels/x86/group_tiles.hpp"
#include "mamba2/kernels/x86/k_tiles.hpp"

MAMBA2_INTRINSICS_BEGIN

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::avx512 {

struct Q5Products : Vectors {
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
      __m512i pairs[kBands][kTokens];
      unroll<kBands, kTokens>([&](auto b, auto t)
                                  MAMBA2_INLINE { pairs[b][t] = _mm512_setzero_si512(); });
      unroll<4>([&](auto i) MAMBA2_INLINE {
        constexpr std::size_t kIndex = 4 * half + i;
        __m512i w[kBands];
        unroll<kBands>(
            [&](auto b) MAMBA2_INLINE { w[b] = load_five_bits<kIndex>(weights + b * band_bytes); });
        unroll<kTokens>([&](auto t) MAMBA2_INLINE {
          const __m512i v = broadcast_codes(x + t * x_stride + 4 * kIndex);
          unroll<kBands>([&](auto b)
                             MAMBA2_INLINE { pairs[b][t] = dot_pairs(pairs[b][t], w[b], v); });
        });
      });
      unroll<kBands, kTokens>([&](auto b, auto t) MAMBA2_INLINE {
        sums[0][b][t] = add_pairs(sums[0][b][t], pairs[b][t]);
      });
    });
  }
};

struct Q5_0 : GroupTiles<Q5Products> {
  static constexpr std::string_view name = "avx512";
};

struct Q5_1 : GroupTiles<WithMins<Q5Products>> {
  static constexpr std::string_view name = "avx512";
};

struct Q5_K : KTiles<WithMins<Q5Products>> {
  static constexpr std::string_view name = "avx512";
};

}  // namespace kernels::avx512
}  // namespace MAMBA2_ISA
}  // namespace mamba2

MAMBA2_INTRINSICS_END
