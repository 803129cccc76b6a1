// SPDX-License-Identifier: Apache-2.0
// Q6_K products with VPDPBUSD, which multiplies unsigned by signed bytes: codes are stored + 32.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <string_view>

#include "mamba2/kernels/avx512/six_bits.hpp"
#include "mamba2/kernels/avx512/vectors.hpp"
#include "mamba2/kernels/avx512_vnni/dot.hpp"
#include "mamba2/kernels/unroll.hpp"
#include "mamba2/kernels/x86/k_tiles.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::avx512_vnni {

struct Q6KProducts : avx512::Vectors {
  static constexpr int kBias = 32;
  static constexpr bool kMins = false;
  static constexpr std::size_t kGroup = 16;
  static constexpr std::size_t kTokens = 8;
  static constexpr std::size_t chains(std::size_t) { return 1; }

  /// sums += weights times x, over the columns of one group.
  template <std::size_t kBands, std::size_t kTokens>
  MAMBA2_INLINE static void add_products(const std::byte* weights, std::size_t band_bytes,
                                         const std::byte* x, std::size_t x_stride, std::size_t,
                                         Sums (&sums)[1][kBands][kTokens]) {
    prefetch_inputs<kTokens>(x, x_stride);
    __m512i w[kBands][4];
    unroll<kBands>([&](auto b)
                       MAMBA2_INLINE { avx512::load_six_bits(weights + b * band_bytes, w[b]); });
    unroll<kTokens, 4>([&](auto t, auto i) MAMBA2_INLINE {
      const __m512i v = avx512::broadcast_codes(x + t * x_stride + 4 * i);
      unroll<kBands>([&](auto b) MAMBA2_INLINE { sums[0][b][t] = dot(sums[0][b][t], w[b][i], v); });
    });
  }
};

struct Q6_K : KTiles<Q6KProducts> {
  static constexpr std::string_view name = "avx512_vnni";
};

}  // namespace kernels::avx512_vnni
}  // namespace MAMBA2_ISA
}  // namespace mamba2
