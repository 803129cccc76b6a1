// SPDX-License-Identifier: Apache-2.0
// IQ4_NL and IQ4_XS products with VPMADDUBSW: values are looked up, and signs moved to the inputs
// as in those of INT8.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <string_view>

#include "mamba2/formats/blocks.hpp"
#include "mamba2/kernels/avx2/vectors.hpp"
#include "mamba2/kernels/unroll.hpp"
#include "mamba2/kernels/x86/group_tiles.hpp"
#include "mamba2/kernels/x86/k_tiles.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::avx2 {

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
    const __m256i values = _mm256_broadcastsi128_si256(
        _mm_loadu_si128(reinterpret_cast<const __m128i*>(detail::kIq4Values.data())));
    const std::byte* const end = x + columns;
    do {
      prefetch_inputs<kTokens>(x, x_stride);
      __m256i w[2][kBands];
      unroll<kBands>([&](auto b) MAMBA2_INLINE {
        prefetch(weights + b * band_bytes);
        const __m256i codes = load_weights(weights + b * band_bytes);
        w[0][b] = _mm256_shuffle_epi8(values, low_nibbles(codes));
        w[1][b] = _mm256_shuffle_epi8(values, high_nibbles(codes));
      });
      unroll<2>([&](auto half) MAMBA2_INLINE {
        __m256i magnitudes[kBands];
        unroll<kBands>([&](auto b) MAMBA2_INLINE { magnitudes[b] = _mm256_abs_epi8(w[half][b]); });
        unroll<kTokens>([&](auto t) MAMBA2_INLINE {
          const __m256i v = broadcast_codes(x + t * x_stride + 4 * half);
          unroll<kBands>([&](auto b) MAMBA2_INLINE {
            const __m256i pairs =
                _mm256_maddubs_epi16(magnitudes[b], _mm256_sign_epi8(v, w[half][b]));
            sums[0][b][t] = add_pairs(sums[0][b][t], pairs);
          });
        });
      });
      weights += 4 * kRows;
      x += 8;
    } while (x != end);
  }
};

struct IQ4_NL : GroupTiles<IQ4Products> {
  static constexpr std::string_view name = "avx2";
};

struct IQ4_XS : KTiles<IQ4Products> {
  static constexpr std::string_view name = "avx2";
};

}  // namespace kernels::avx2
}  // namespace MAMBA2_ISA
}  // namespace mamba2
