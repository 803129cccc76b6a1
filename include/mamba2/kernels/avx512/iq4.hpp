// SPDX-License-Identifier: Apache-2.0
// IQ4_NL and IQ4_XS products with VPMADDUBSW: values are looked up, and signs moved to the inputs
// as in those of INT8.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <string_view>

#include "mamba2/formats/blocks.hpp"
#include "mamba2/kernels/avx512/pairs.hpp"
#include "mamba2/kernels/avx512/vectors.hpp"
#include "mamba2/kernels/unroll.hpp"
#include "mamba2/kernels/x86/group_tiles.hpp"
#include "mamba2/kernels/x86/k_tiles.hpp"

MAMBA2_INTRINSICS_BEGIN

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::avx512 {

/// What codes stand for, plus a number, in every 16 bytes.
[[nodiscard]] inline __m512i load_iq4_values(int plus) {
  const __m128i values =
      _mm_loadu_si128(reinterpret_cast<const __m128i*>(detail::kIq4Values.data()));
  return _mm512_maskz_broadcast_i32x4(kAllLanes,
                                      _mm_add_epi8(values, _mm_set1_epi8(static_cast<char>(plus))));
}

/// For groups of 32 columns.
struct IQ4Products : Vectors {
  static constexpr int kBias = 0;
  static constexpr std::size_t kGroup = 32;
  static constexpr std::size_t kTokens = 4;
  static constexpr std::size_t chains(std::size_t) { return 1; }

  /// sums += weights times x, over `columns` columns. Exact: the sum of two products, at most
  /// 2 * 127 * 127 = 32258, fits into 16 bits.
  template <std::size_t kBands, std::size_t kTokens>
  MAMBA2_INLINE static void add_products(const std::byte* weights, std::size_t band_bytes,
                                         const std::byte* x, std::size_t x_stride,
                                         std::size_t columns, Sums (&sums)[1][kBands][kTokens]) {
    const __m512i values = load_iq4_values(0);
    const std::byte* const end = x + columns;
    do {
      prefetch_inputs<kTokens>(x, x_stride);
      __m512i w[2][kBands];
      unroll<kBands>([&](auto b) MAMBA2_INLINE {
        const __m512i codes = load_weights(weights + b * band_bytes);
        w[0][b] = _mm512_shuffle_epi8(values, low_nibbles(codes));
        w[1][b] = _mm512_shuffle_epi8(values, high_nibbles(codes));
      });
      unroll<2>([&](auto half) MAMBA2_INLINE {
        __m512i magnitudes[kBands];
        __mmask64 negative[kBands];
        unroll<kBands>([&](auto b) MAMBA2_INLINE {
          magnitudes[b] = _mm512_abs_epi8(w[half][b]);
          negative[b] = _mm512_movepi8_mask(w[half][b]);
        });
        unroll<kTokens>([&](auto t) MAMBA2_INLINE {
          const __m512i v = broadcast_codes(x + t * x_stride + 4 * half);
          unroll<kBands>([&](auto b) MAMBA2_INLINE {
            const __m512i s = _mm512_mask_sub_epi8(v, negative[b], _mm512_setzero_si512(), v);
            sums[0][b][t] = add_pairs(sums[0][b][t], _mm512_maddubs_epi16(magnitudes[b], s));
          });
        });
      });
      weights += 4 * kRows;
      x += 8;
    } while (x != end);
  }
};

struct IQ4_NL : GroupTiles<IQ4Products> {
  static constexpr std::string_view name = "avx512";
};

struct IQ4_XS : KTiles<IQ4Products> {
  static constexpr std::string_view name = "avx512";
};

}  // namespace kernels::avx512
}  // namespace MAMBA2_ISA
}  // namespace mamba2

MAMBA2_INTRINSICS_END
