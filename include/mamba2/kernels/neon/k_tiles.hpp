// SPDX-License-Identifier: Apache-2.0
// Products with weights of the types Q4_K, Q5_K and Q6_K on ARM: all but the instructions that
// multiply.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

#include "mamba2/core/views.hpp"
#include "mamba2/kernels/k_layout.hpp"
#include "mamba2/kernels/neon/tile.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::neon {

/// The codes of 16 columns, unsigned numbers in the halves of bytes: 4 columns to a register.
inline void load_nibbles(const std::byte* from, int8x16_t (&w)[4]) {
  const auto* weights = reinterpret_cast<const std::uint8_t*>(from);
  const uint8x16_t columns_0 = vld1q_u8(weights);
  const uint8x16_t columns_8 = vld1q_u8(weights + 16);
  const uint8x16_t low = vdupq_n_u8(15);
  w[0] = vreinterpretq_s8_u8(vandq_u8(columns_0, low));
  w[1] = vreinterpretq_s8_u8(vshrq_n_u8(columns_0, 4));
  w[2] = vreinterpretq_s8_u8(vandq_u8(columns_8, low));
  w[3] = vreinterpretq_s8_u8(vshrq_n_u8(columns_8, 4));
}

/// The codes of 16 columns of Q6_K: 4 columns to a register.
inline void load_six_bits(const std::byte* from, int8x16_t (&w)[4]) {
  const auto* weights = reinterpret_cast<const std::uint8_t*>(from);
  const uint8x16_t columns_0 = vld1q_u8(weights);
  const uint8x16_t columns_4 = vld1q_u8(weights + 16);
  const uint8x16_t columns_8 = vld1q_u8(weights + 32);
  const uint8x16_t low = vdupq_n_u8(63);
  w[0] = vreinterpretq_s8_u8(vandq_u8(columns_0, low));
  w[1] = vreinterpretq_s8_u8(vandq_u8(columns_4, low));
  w[2] = vreinterpretq_s8_u8(vandq_u8(columns_8, low));
  const uint8x16_t high = vsriq_n_u8(vsriq_n_u8(columns_0, columns_4, 2), columns_8, 4);
  w[3] = vreinterpretq_s8_u8(vshrq_n_u8(high, 2));
}

/// The four bytes of a chunk for each row, signed numbers, as floats. The bits of the float
/// 1.5 * 2^23 + i are those of 1.5 * 2^23, plus i, so that a widening addition and a subtraction
/// convert: on both vector pipes, where SCVTF alone would keep one of them busy for two cycles.
struct ByteFloats {
  int16x8_t halves[2];

  explicit ByteFloats(const std::byte* from) {
    const int8x16_t bytes = vld1q_s8(reinterpret_cast<const std::int8_t*>(from));
    halves[0] = vmovl_s8(vget_low_s8(bytes));
    halves[1] = vmovl_high_s8(bytes);
  }
  /// The i-th byte of each row.
  [[nodiscard]] float32x4_t operator[](std::size_t i) const {
    const float32x4_t zero = vdupq_n_f32(0x1.8p23F);
    const int32x4_t bits = vreinterpretq_s32_f32(zero);
    const int32x4_t sum = i % 2 == 0 ? vaddw_s16(bits, vget_low_s16(halves[i / 2]))
                                     : vaddw_high_s16(bits, halves[i / 2]);
    return vsubq_f32(vreinterpretq_f32_s32(sum), zero);
  }
};

/// What `Products` says for an instruction set and a type, besides what GroupTiles names, is
///   kGroup   columns that share a scale: 16 in Q6_K, 32 in the others
///   kBits    of a code
///   kMins    whether there are minima, as in all but Q6_K
///   kBias    what codes are above what they stand for; sums start with -kBias times the inputs
///   start    makes sums a number for each token
/// Its add() is for the columns of a group.
template <class Products>
struct KTiles {
  static constexpr std::size_t kRows = 4;

  /// y = x m^T: bands of a matrix m with `rows` rows, x made ready, y (x.tokens, rows).
  static void multiply(const KLayout& layout, const std::byte* bands, std::size_t rows,
                       const Inputs& x, MutableRows y) {
    for_tiles<KTiles, 1, Products::kTokens>(layout, bands, rows, x, y);
  }

  /// A band times kTokens tokens, x_stride bytes apart; y has as many columns as the band has rows
  /// that are not filling. Not inlined: among five others GCC would copy sums from one register to
  /// another.
  template <std::size_t kBands, std::size_t kTokens>
  [[gnu::noinline]] static void tile(const KLayout& layout, const std::byte* band,
                                     const std::byte* x, std::size_t x_stride,
                                     const MutableRows& y) {
    static_assert(kBands == 1);
    const std::int8_t* codes = KLayout::codes(x);
    const float* scales = layout.scales(x);
    const float* value_sums = layout.value_sums(x);
    const std::int32_t* sums = layout.sums(x);
    float32x4_t totals[kTokens] = {};
    for (std::size_t k = 0; k < layout.cols; k += KLayout::kSuperBlock) {
      if constexpr (Products::kMins) {
        subtract_mins(band, value_sums + k / kGroup, x_stride, totals);
      }
      add_codes(band, codes + k, scales + k / KLayout::kInputGroup, sums + k / kGroup, x_stride,
                totals);
      band += kSizes.super_block_bytes(kRows);
    }
#pragma GCC unroll 8
    for (std::size_t t = 0; t < kTokens; ++t) store(totals[t], y[t], y.cols);
  }

 private:
  static constexpr std::size_t kGroup = Products::kGroup;
  static constexpr std::size_t kGroups = KLayout::kChunk / kGroup;
  static constexpr KLayout kSizes = KLayout::of(KLayout::kSuperBlock, kGroup, Products::kBits);

  /// The number for another token, `stride` bytes further on.
  template <class Number>
  static Number of_token(const Number* first, std::size_t token, std::size_t stride) {
    return first[token * (stride / sizeof(Number))];
  }

  /// totals -= dmin * the sum over the groups of a super-block of min * the sum of inputs.
  template <std::size_t kTokens>
  static void subtract_mins(const std::byte* block, const float* value_sums, std::size_t x_stride,
                            float32x4_t (&totals)[kTokens]) {
    const float32x4_t dmin = load_halves(block + 2 * kRows);
    const std::byte* chunk = block + 4 * kRows;
    float32x4_t sums[kTokens] = {};
#pragma GCC unroll 4
    for (std::size_t k = 0; k < KLayout::kSuperBlock; k += KLayout::kChunk) {
      const ByteFloats floats(chunk);
      chunk += kSizes.chunk_bytes(kRows);
#pragma GCC unroll 2
      for (std::size_t i = 0; i < kGroups; ++i) {
        const float32x4_t min = floats[kGroups + i];
#pragma GCC unroll 8
        for (std::size_t t = 0; t < kTokens; ++t) {
          sums[t] = vfmaq_n_f32(sums[t], min, of_token(value_sums, t, x_stride));
        }
        ++value_sums;
      }
      pin(sums, chunk);
    }
#pragma GCC unroll 8
    for (std::size_t t = 0; t < kTokens; ++t) totals[t] = vfmsq_f32(totals[t], sums[t], dmin);
  }

  /// totals += d * the sum over the groups of a super-block of scale * codes times inputs.
  template <std::size_t kTokens>
  static void add_codes(const std::byte* block, const std::int8_t* codes, const float* input_scales,
                        const std::int32_t* input_sums, std::size_t x_stride,
                        float32x4_t (&totals)[kTokens]) {
    const float32x4_t d = load_halves(block);
    const std::byte* weights = block + 4 * kRows;
    float32x4_t sums_of_block[kTokens] = {};
#pragma GCC unroll 1
    for (std::size_t k = 0; k < KLayout::kSuperBlock; k += KLayout::kChunk) {
      const ByteFloats floats(weights);
      weights += 4 * kRows;
#pragma GCC unroll 4
      for (std::size_t i = 0; i < kGroups; ++i) {
        std::int32_t starts[kTokens] = {};
        if constexpr (Products::kBias != 0) {
#pragma GCC unroll 8
          for (std::size_t t = 0; t < kTokens; ++t) {
            starts[t] = -Products::kBias * of_token(input_sums, t, x_stride);
          }
          ++input_sums;
        }
        typename Products::template Sums<kTokens, kGroup> sums;
        Products::start(starts, sums);
        Products::add(weights, codes, x_stride, sums);
        weights += kSizes.group_bytes(kRows);
        codes += kGroup;
        const float32x4_t scale = floats[i];
        const float* input_scale = input_scales + (k + i * kGroup) / KLayout::kInputGroup;
#pragma GCC unroll 8
        for (std::size_t t = 0; t < kTokens; ++t) {
          sums_of_block[t] = vfmaq_f32(sums_of_block[t], Products::to_float(sums, t),
                                       vmulq_n_f32(scale, of_token(input_scale, t, x_stride)));
        }
        pin(sums_of_block, weights);
      }
    }
#pragma GCC unroll 8
    for (std::size_t t = 0; t < kTokens; ++t) {
      totals[t] = vfmaq_f32(totals[t], sums_of_block[t], d);
    }
  }
};

}  // namespace kernels::neon
}  // namespace MAMBA2_ISA
}  // namespace mamba2
