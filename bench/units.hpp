// SPDX-License-Identifier: Apache-2.0
// The instructions that matrix products are made of: what one of each does, to find out how many of
// them a core can do in a second.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mamba2/kernels/simd.hpp>
#include <string_view>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace bench {

/// A register of Element, of the width that the portable kernels use.
template <class Element>
using Vector [[gnu::vector_size(sizeof(mamba2::kernels::Floats))]] = Element;

/// Makes the compiler believe that a register is used and changes here: what it holds must be
/// computed, and what is computed from it must be computed again.
template <class Register>
inline void pin(Register& value) {
#if defined(__x86_64__)
  asm volatile("" : "+v"(value));
#else
  asm volatile("" : "+w"(value));
#endif
}

/// FP32 multiply-add. To the compiler, every Register is a vector of the sums that it holds:
/// between other types it would insert copies.
struct FmaUnit {
  using Register = Vector<float>;
  static constexpr std::string_view name = "FP32 multiply-add";
  static constexpr double kOperations = 2.0 * static_cast<double>(mamba2::kernels::kLanes);
  static Register start() { return Register{} + 1.0F; }
  /// Not operand * operand + sum: without an instruction for it, the product would be computed
  /// once.
  static Register step(Register sum, Register& operand) { return sum * 0.5F + operand; }
};

/// BF16 products that are added up in FP32, where they pay.
#if MAMBA2_BF16_DOT
struct Bf16Unit {
  using Register = __m512;
  static constexpr std::string_view name = "vdpbf16ps, 512 bit";
  static constexpr double kOperations = 64.0;
  static Register start() { return _mm512_set1_ps(1.0F); }
  static Register step(Register sum, Register& operand) {
    const auto pairs = reinterpret_cast<__m512bh>(operand);
    return _mm512_dpbf16_ps(sum, pairs, pairs);
  }
};
#else
using Bf16Unit = FmaUnit;
#endif

/// INT8 products that are added up in INT32.
struct Int8Unit {
  using Register = Vector<std::int32_t>;
  static Register start() { return Register{} + 0x01010101; }
#if defined(__AVX512VNNI__)
  static constexpr std::string_view name = "vpdpbusd, 512 bit";
  static constexpr double kOperations = 128.0;
  static Register step(Register sum, Register& operand) {
    const auto codes = reinterpret_cast<__m512i>(operand);
    return reinterpret_cast<Register>(
        _mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sum), codes, codes));
  }
#elif defined(__AVX512BW__)
  static constexpr std::string_view name = "vpmaddubsw + vpmaddwd + vpaddd, 512 bit";
  static constexpr double kOperations = 128.0;
  static Register step(Register sum, Register& operand) {
    pin(operand);
    const auto codes = reinterpret_cast<__m512i>(operand);
    const __m512i pairs = _mm512_maddubs_epi16(codes, codes);
    return sum + reinterpret_cast<Register>(_mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
  }
#elif defined(__AVXVNNI__)
  static constexpr std::string_view name = "vpdpbusd, 256 bit";
  static constexpr double kOperations = 64.0;
  static Register step(Register sum, Register& operand) {
    const auto codes = reinterpret_cast<__m256i>(operand);
    return reinterpret_cast<Register>(
        _mm256_dpbusd_avx_epi32(reinterpret_cast<__m256i>(sum), codes, codes));
  }
#elif defined(__AVX2__)
  static constexpr std::string_view name = "vpmaddubsw + vpmaddwd + vpaddd, 256 bit";
  static constexpr double kOperations = 64.0;
  static Register step(Register sum, Register& operand) {
    pin(operand);
    const auto codes = reinterpret_cast<__m256i>(operand);
    const __m256i pairs = _mm256_maddubs_epi16(codes, codes);
    return sum + reinterpret_cast<Register>(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
#elif defined(__x86_64__)
  static constexpr std::string_view name = "pmaddwd + paddd, 128 bit";
  static constexpr double kOperations = 16.0;
  static Register step(Register sum, Register& operand) {
    pin(operand);
    const auto words = reinterpret_cast<__m128i>(operand);
    return sum + reinterpret_cast<Register>(_mm_madd_epi16(words, words));
  }
#elif defined(__ARM_FEATURE_MATMUL_INT8)
  static constexpr std::string_view name = "SMMLA";
  static constexpr double kOperations = 64.0;
  static Register step(Register sum, Register& operand) {
    const auto codes = reinterpret_cast<int8x16_t>(operand);
    return reinterpret_cast<Register>(vmmlaq_s32(reinterpret_cast<int32x4_t>(sum), codes, codes));
  }
#elif defined(__ARM_FEATURE_DOTPROD)
  static constexpr std::string_view name = "SDOT";
  static constexpr double kOperations = 32.0;
  static Register step(Register sum, Register& operand) {
    const auto codes = reinterpret_cast<int8x16_t>(operand);
    return reinterpret_cast<Register>(vdotq_s32(reinterpret_cast<int32x4_t>(sum), codes, codes));
  }
#else
  static constexpr std::string_view name = "SMULL + SMLAL2 + SADALP";
  static constexpr double kOperations = 32.0;
  static Register step(Register sum, Register& operand) {
    pin(operand);
    const auto codes = reinterpret_cast<int8x16_t>(operand);
    const int16x8_t low = vmull_s8(vget_low_s8(codes), vget_low_s8(codes));
    return reinterpret_cast<Register>(
        vpadalq_s16(reinterpret_cast<int32x4_t>(sum), vmlal_high_s8(low, codes, codes)));
  }
#endif
};

}  // namespace bench
