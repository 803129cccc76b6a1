// SPDX-License-Identifier: Apache-2.0
// IQ4_NL and IQ4_XS products with VPDPBUSD, which multiplies unsigned by signed bytes: values are
// looked up
// + 128.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <string_view>

#include "mamba2/kernels/avx512/iq4.hpp"
#include "mamba2/kernels/avx512/vectors.hpp"
#include "mamba2/kernels/avx512_vnni/dot.hpp"
#include "mamba2/kernels/unroll.hpp"
#include "mamba2/kernels/x86/group_tiles.hpp"
#include "mamba2/kernels/x86/k_tiles.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::avx512_vnni {

/// For groups of 32 columns.
struct IQ4Products : avx512::Vectors {
  static constexpr int kBias = 128;
  static constexpr std::size_t kGroup = 32;
  static constexpr std::size_t kTokens = 8;
  /// Of a small tile, to overlap additions.
  static constexpr std::size_t chains(std::size_t sums) { return sums < 8 ? 2 : 1; }

  /// sums += weights times x, over `columns` columns.
  template <std::size_t kBands, std::size_t kTokens, std::size_t kChains>
  MAMBA2_INLINE static void add_products(const std::byte* weights, std::size_t band_bytes,
                                         const std::byte* x, std::size_t x_stride,
                                         std::size_t columns,
                                         Sums (&sums)[kChains][kBands][kTokens]) {
    const __m512i values = avx512::load_iq4_values(kBias);
    const std::byte* const end = x + columns;
    do {
      prefetch_inputs<kTokens>(x, x_stride);
      __m512i low[kBands];
      __m512i high[kBands];
      unroll<kBands>([&](auto b) MAMBA2_INLINE {
        const __m512i w = avx512::load_weights(weights + b * band_bytes);
        low[b] = _mm512_shuffle_epi8(values, avx512::low_nibbles(w));
        high[b] = _mm512_shuffle_epi8(values, avx512::high_nibbles(w));
      });
      unroll<kTokens>([&](auto t) MAMBA2_INLINE {
        const __m512i first = avx512::broadcast_codes(x + t * x_stride);
        const __m512i second = avx512::broadcast_codes(x + t * x_stride + 4);
        unroll<kBands>([&](auto b) MAMBA2_INLINE {
          sums[0][b][t] = dot(sums[0][b][t], low[b], first);
          sums[kChains - 1][b][t] = dot(sums[kChains - 1][b][t], high[b], second);
        });
      });
      weights += 4 * kRows;
      x += 8;
    } while (x != end);
  }
};

struct IQ4_NL : GroupTiles<IQ4Products> {
  static constexpr std::string_view name = "avx512_vnni";
};

struct IQ4_XS : KTiles<IQ4Products> {
  static constexpr std::string_view name = "avx512_vnni";
};

}  // namespace kernels::avx512_vnni
}  // namespace MAMBA2_ISA
}  // namespace mamba2
