// SPDX-License-Identifier: Apache-2.0
// Which instruction set this translation unit is compiled for.
#pragma once

#include <string_view>

#if __cplusplus < 201709L
#error "mamba2 needs C++20: -std=c++20"
#endif
#if defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__
#error "mamba2 tells NaN and infinity from numbers, which -ffast-math and -ffinite-math-only forbid"
#endif

// The name is part of every symbol (an inline namespace): code built with other flags is another
// library to the linker, so that mixing the two across an interface fails to link instead of
// silently calling whichever copy came first.
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && \
    defined(__AVX512VL__) && defined(__AVX512VNNI__) && defined(__AVX512BF16__)
#define MAMBA2_ISA avx512_bf16
#define MAMBA2_ISA_NAME "avx512_bf16"
#elif defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && \
    defined(__AVX512VL__) && defined(__AVX512VNNI__)
#define MAMBA2_ISA avx512_vnni
#define MAMBA2_ISA_NAME "avx512_vnni"
#elif defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && \
    defined(__AVX512VL__)
#define MAMBA2_ISA avx512
#define MAMBA2_ISA_NAME "avx512"
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define MAMBA2_ISA avx2
#define MAMBA2_ISA_NAME "avx2"
#elif defined(__x86_64__)
#define MAMBA2_ISA x86_64
#define MAMBA2_ISA_NAME "x86_64"
#elif defined(__aarch64__) && defined(__ARM_FEATURE_DOTPROD) && defined(__ARM_FEATURE_MATMUL_INT8)
#define MAMBA2_ISA neon_i8mm
#define MAMBA2_ISA_NAME "neon_i8mm"
#elif defined(__aarch64__) && defined(__ARM_FEATURE_DOTPROD)
#define MAMBA2_ISA neon_dotprod
#define MAMBA2_ISA_NAME "neon_dotprod"
#elif defined(__aarch64__)
#define MAMBA2_ISA neon
#define MAMBA2_ISA_NAME "neon"
#else
#error "mamba2 supports x86-64 and AArch64"
#endif

// Whether the CPU is an Intel Xeon of the Sapphire Rapids kind or later, which is told by its FP16
// arithmetic: its AMX is hidden by most virtual machines. Of AMD's, Zen 6 has FP16 arithmetic, too;
// a compiler that does not know it takes it for one of those before.
#if defined(__AVX512FP16__) && !defined(__znver4__) && !defined(__znver5__) && !defined(__znver6__)
#define MAMBA2_SAPPHIRE_RAPIDS 1
#else
#define MAMBA2_SAPPHIRE_RAPIDS 0
#endif

// Whether products of BF16 numbers pay: on Sapphire Rapids, VDPBF16PS has half the rate of FP32
// multiply-adds (measured), on AMD's CPUs the double.
#if defined(__AVX512BF16__) && !MAMBA2_SAPPHIRE_RAPIDS
#define MAMBA2_BF16_DOT 1
#else
#define MAMBA2_BF16_DOT 0
#endif

// Around code that uses AVX-512 intrinsics: GCC 12 takes what its own headers leave uninitialised
// on purpose for a mistake (GCC bug 105593).
#if defined(__AVX512F__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
#define MAMBA2_INTRINSICS_BEGIN                                                        \
  _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wuninitialized\"") \
      _Pragma("GCC diagnostic ignored \"-Wmaybe-uninitialized\"")
#define MAMBA2_INTRINSICS_END _Pragma("GCC diagnostic pop")
#else
#define MAMBA2_INTRINSICS_BEGIN
#define MAMBA2_INTRINSICS_END
#endif

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// The instruction set that this code was compiled for: "avx512_bf16", "avx512_vnni", "avx512",
/// "avx2", "x86_64" (no SIMD flags given: slow), "neon_i8mm", "neon_dotprod" or "neon".
[[nodiscard]] constexpr std::string_view isa() noexcept { return MAMBA2_ISA_NAME; }

}  // namespace MAMBA2_ISA
}  // namespace mamba2
