// SPDX-License-Identifier: Apache-2.0
// BF16 products: with VDPBF16PS, which multiplies pairs of BF16 numbers, for many tokens; with FP32
// activations for few.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "mamba2/core/views.hpp"
#include "mamba2/kernels/avx512/vectors.hpp"
#include "mamba2/kernels/tiles.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::avx512_bf16 {

/// A band of kRows rows: for every 2 columns, row by row, 2 numbers. An input: cols floats, then
/// cols BF16 numbers. cols, padded with zeros, is even.
struct Bf16 {
  static constexpr std::size_t kRows = 16;

  [[nodiscard]] static constexpr std::size_t band_bytes(std::size_t cols) {
    return kRows * cols * 2;
  }

  /// to = x rounded to nearest, ties to even; subnormals to zero. x, to (16).
  static void round(const float* x, std::uint16_t* to) {
    const __m256bh rounded = _mm512_cvtneps_pbh(_mm512_loadu_ps(x));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), reinterpret_cast<__m256i>(rounded));
  }

  /// y = x m^T: bands of a matrix m with `rows` rows, x made ready, y (x.tokens, rows).
  static void multiply(std::size_t cols, const std::byte* bands, std::size_t rows, const Inputs& x,
                       MutableRows y) {
    constexpr std::size_t kAlone = 3;  // as many as have room for the sums of one in all chains
    for_tiles<kRows, 2, 12, kFewTokens, kAlone>(
        bands, band_bytes(cols), rows, x, y,
        [&](auto n, auto tokens, const std::byte* band, const Inputs& from, const MutableRows& to) {
          if constexpr (n == 1 && tokens <= kAlone) {
            if (x.alone) return exact<tokens, chains(1)>(cols, band, from, to);
          }
          if constexpr (n == 1 && tokens <= kFewTokens) {
            if (x.tokens <= kFewTokens) return exact<tokens, chains(tokens)>(cols, band, from, to);
          }
          dot<n, tokens>(cols, band, from, to);
        });
  }

  /// The same for numbers of tokens that are multiplied alike, to the bit.
  [[nodiscard]] static constexpr std::size_t arithmetic(std::size_t tokens) {
    return tokens <= kFewTokens ? chains(tokens) : 0;
  }

 private:
  /// Into how many each of the two sums of a product with few tokens is split.
  [[nodiscard]] static constexpr std::size_t chains(std::size_t tokens) {
    return tokens == 1 ? 4 : 2;
  }

  /// One band times kTokens tokens, FP32 activations.
  template <std::size_t kTokens, std::size_t kChains>
  static void exact(std::size_t cols, const std::byte* band, const Inputs& x,
                    const MutableRows& y) {
    __m512 sums[kChains][2][kTokens];
    unroll<2, kTokens>([&](auto i, auto t) MAMBA2_INLINE {
      unroll<kChains>([&](auto c) MAMBA2_INLINE { sums[c][i][t] = _mm512_setzero_ps(); });
    });
    const auto add_pair = [&](std::size_t k, auto c) MAMBA2_INLINE {
      const __m512i w = avx512::load_weights(band + k * kRows * 2);
      const __m512i high = _mm512_set1_epi32(static_cast<int>(0xFFFF0000U));
      const __m512 even = _mm512_castsi512_ps(_mm512_maskz_slli_epi32(avx512::kAllLanes, w, 16));
      const __m512 odd = _mm512_castsi512_ps(_mm512_and_si512(w, high));
      unroll<kTokens>([&](auto t) MAMBA2_INLINE {
        const auto* v = reinterpret_cast<const float*>(x[t]) + k;
        sums[c][0][t] = _mm512_fmadd_ps(even, _mm512_set1_ps(v[0]), sums[c][0][t]);
        sums[c][1][t] = _mm512_fmadd_ps(odd, _mm512_set1_ps(v[1]), sums[c][1][t]);
      });
    };
    std::size_t k = 0;
    for (; k + 2 * kChains <= cols; k += 2 * kChains) {
      prefetch_inputs<kTokens>(x.data + k * sizeof(float), x.stride);
      unroll<kChains>([&](auto c) MAMBA2_INLINE { add_pair(k + 2 * c, c); });
    }
    for (; k < cols; k += 2) add_pair(k, Constant<0>());
    unroll<kTokens>([&](auto t) MAMBA2_INLINE {
      unroll<kChains>([&](auto c) MAMBA2_INLINE {
        if constexpr (c > 0) sums[0][0][t] = _mm512_add_ps(sums[0][0][t], sums[c][0][t]);
        sums[0][0][t] = _mm512_add_ps(sums[0][0][t], sums[c][1][t]);
      });
      avx512::store(sums[0][0][t], y[t], y.cols);
    });
  }

  /// kBands bands times kTokens tokens, BF16 activations.
  template <std::size_t kBands, std::size_t kTokens>
  static void dot(std::size_t cols, const std::byte* bands, const Inputs& x, const MutableRows& y) {
    const std::size_t bytes = band_bytes(cols);
    const Inputs rounded = {x.data + cols * sizeof(float), x.tokens, x.stride};
    __m512 sums[kBands][kTokens];
    unroll<kBands, kTokens>([&](auto b, auto t)
                                MAMBA2_INLINE { sums[b][t] = _mm512_setzero_ps(); });
    for (std::size_t k = 0; k < cols; k += 2) {
      __m512i w[kBands];
      unroll<kBands>([&](auto b) MAMBA2_INLINE {
        w[b] = avx512::load_weights(bands + b * bytes + k * kRows * 2);
      });
      unroll<kTokens>([&](auto t) MAMBA2_INLINE {
        const __m512i pair = avx512::broadcast_codes(rounded[t] + 2 * k);
        unroll<kBands>([&](auto b) MAMBA2_INLINE {
          sums[b][t] = _mm512_dpbf16_ps(sums[b][t], reinterpret_cast<__m512bh>(w[b]),
                                        reinterpret_cast<__m512bh>(pair));
        });
      });
    }
    unroll<kBands, kTokens>([&](auto b, auto t) MAMBA2_INLINE {
      avx512::store(sums[b][t], y[t] + b * kRows, y.cols - b * kRows);
    });
  }
};

}  // namespace kernels::avx512_bf16
}  // namespace MAMBA2_ISA
}  // namespace mamba2
