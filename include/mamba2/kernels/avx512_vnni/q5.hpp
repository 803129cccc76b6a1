// SPDX-License-Identifier: Apache-2.0
// Q5_0, Q5_1 and Q5_K products with VPDPBUSD, which multiplies unsigned by signed bytes: codes of
// Q5_0 are stored + 16.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <string_view>

#include "mamba2/kernels/avx512/five_bits.hpp"
#include "mamba2/kernels/avx512/vectors.hpp"
#include "mamba2/kernels/avx512_vnni/dot.hpp"
#include "mamba2/kernels/unroll.hpp"
#include "mamba2/kernels/x86/group_tiles.hpp"
#include "mamba2/kernels/x86/k_tiles.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::avx512_vnni {

struct Q5Products : avx512::Vectors {
  static constexpr int kBias = 16;
  static constexpr std::size_t kTokens = 8;
  /// Of a small tile, to overlap additions.
  static constexpr std::size_t chains(std::size_t sums) { return sums < 8 ? 2 : 1; }

  /// sums += weights times x, over the columns of one group.
  template <std::size_t kBands, std::size_t kTokens, std::size_t kChains>
  MAMBA2_INLINE static void add_products(const std::byte* weights, std::size_t band_bytes,
                                         const std::byte* x, std::size_t x_stride, std::size_t,
                                         Sums (&sums)[kChains][kBands][kTokens]) {
    prefetch_inputs<kTokens>(x, x_stride);
    unroll<8>([&](auto i) MAMBA2_INLINE {
      __m512i w[kBands];
      unroll<kBands>([&](auto b) MAMBA2_INLINE {
        w[b] = avx512::load_five_bits<i>(weights + b * band_bytes);
      });
      unroll<kTokens>([&](auto t) MAMBA2_INLINE {
        const __m512i v = avx512::broadcast_codes(x + t * x_stride + 4 * i);
        unroll<kBands>([&](auto b) MAMBA2_INLINE {
          Sums& sum = sums[i % kChains][b][t];
          sum = dot(sum, w[b], v);
        });
      });
    });
  }
};

struct Q5_0 : GroupTiles<Q5Products> {
  static constexpr std::string_view name = "avx512_vnni";
};

struct Q5_1 : GroupTiles<WithMins<Q5Products>> {
  static constexpr std::string_view name = "avx512_vnni";
};

struct Q5_K : KTiles<WithMins<Q5Products>> {
  static constexpr std::string_view name = "avx512_vnni";
};

}  // namespace kernels::avx512_vnni
}  // namespace MAMBA2_ISA
}  // namespace mamba2
