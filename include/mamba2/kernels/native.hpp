// SPDX-License-Identifier: Apache-2.0
// Which kernels this translation unit uses: the best that the compiler's flags allow.
#pragma once

#include "mamba2/core/platform.hpp"
#include "mamba2/kernels/scalar/int4.hpp"
#include "mamba2/kernels/scalar/int8.hpp"
#include "mamba2/kernels/scalar/iq4.hpp"
#include "mamba2/kernels/scalar/q4_1.hpp"
#include "mamba2/kernels/scalar/q4_k.hpp"
#include "mamba2/kernels/scalar/q5.hpp"
#include "mamba2/kernels/scalar/q6_k.hpp"
#include "mamba2/kernels/scalar/q8_0.hpp"
#include "mamba2/kernels/scalar/ternary.hpp"

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#include "mamba2/kernels/avx2/int4.hpp"
#include "mamba2/kernels/avx2/int8.hpp"
#include "mamba2/kernels/avx2/iq4.hpp"
#include "mamba2/kernels/avx2/q4_1.hpp"
#include "mamba2/kernels/avx2/q4_k.hpp"
#include "mamba2/kernels/avx2/q5.hpp"
#include "mamba2/kernels/avx2/q6_k.hpp"
#include "mamba2/kernels/avx2/q8_0.hpp"
#include "mamba2/kernels/avx2/ternary.hpp"
#endif
#if defined(__AVX512BW__)
#include "mamba2/kernels/avx512/int4.hpp"
#include "mamba2/kernels/avx512/int8.hpp"
#include "mamba2/kernels/avx512/iq4.hpp"
#include "mamba2/kernels/avx512/q4_1.hpp"
#include "mamba2/kernels/avx512/q4_k.hpp"
#include "mamba2/kernels/avx512/q5.hpp"
#include "mamba2/kernels/avx512/q6_k.hpp"
#include "mamba2/kernels/avx512/q8_0.hpp"
#include "mamba2/kernels/avx512/ternary.hpp"
#endif
#if defined(__AVX512VNNI__)
#include "mamba2/kernels/avx512_vnni/int4.hpp"
#include "mamba2/kernels/avx512_vnni/int8.hpp"
#include "mamba2/kernels/avx512_vnni/iq4.hpp"
#include "mamba2/kernels/avx512_vnni/q4_1.hpp"
#include "mamba2/kernels/avx512_vnni/q4_k.hpp"
#include "mamba2/kernels/avx512_vnni/q5.hpp"
#include "mamba2/kernels/avx512_vnni/q6_k.hpp"
#include "mamba2/kernels/avx512_vnni/q8_0.hpp"
#include "mamba2/kernels/avx512_vnni/ternary.hpp"
#endif
#if defined(__aarch64__)
#include "mamba2/kernels/neon/int4.hpp"
#include "mamba2/kernels/neon/int8.hpp"
#include "mamba2/kernels/neon/iq4.hpp"
#include "mamba2/kernels/neon/q4_1.hpp"
#include "mamba2/kernels/neon/q4_k.hpp"
#include "mamba2/kernels/neon/q5.hpp"
#include "mamba2/kernels/neon/q6_k.hpp"
#include "mamba2/kernels/neon/q8_0.hpp"
#include "mamba2/kernels/neon/ternary.hpp"
#endif
#if defined(__ARM_FEATURE_DOTPROD)
#include "mamba2/kernels/neon_dotprod/int4.hpp"
#include "mamba2/kernels/neon_dotprod/int8.hpp"
#include "mamba2/kernels/neon_dotprod/iq4.hpp"
#include "mamba2/kernels/neon_dotprod/q4_1.hpp"
#include "mamba2/kernels/neon_dotprod/q4_k.hpp"
#include "mamba2/kernels/neon_dotprod/q5.hpp"
#include "mamba2/kernels/neon_dotprod/q6_k.hpp"
#include "mamba2/kernels/neon_dotprod/q8_0.hpp"
#include "mamba2/kernels/neon_dotprod/ternary.hpp"
#endif
#if defined(__ARM_FEATURE_DOTPROD) && defined(__ARM_FEATURE_MATMUL_INT8)
#include "mamba2/kernels/neon_i8mm/int4.hpp"
#include "mamba2/kernels/neon_i8mm/int8.hpp"
#include "mamba2/kernels/neon_i8mm/iq4.hpp"
#include "mamba2/kernels/neon_i8mm/q4_1.hpp"
#include "mamba2/kernels/neon_i8mm/q4_k.hpp"
#include "mamba2/kernels/neon_i8mm/q5.hpp"
#include "mamba2/kernels/neon_i8mm/q6_k.hpp"
#include "mamba2/kernels/neon_i8mm/q8_0.hpp"
#include "mamba2/kernels/neon_i8mm/ternary.hpp"
#endif

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels {

// The names are those of isa(), but where it has nothing of its own to offer.
namespace x86_64 = scalar;
#if defined(__AVX512BF16__)
namespace avx512_bf16 {
using avx512_vnni::Int4;
using avx512_vnni::Int8;
using avx512_vnni::IQ4_NL;
using avx512_vnni::IQ4_XS;
using avx512_vnni::Q2_0;
using avx512_vnni::Q4_1;
using avx512_vnni::Q4_K;
using avx512_vnni::Q5_0;
using avx512_vnni::Q5_1;
using avx512_vnni::Q5_K;
using avx512_vnni::Q6_K;
using avx512_vnni::Q8_0;
using avx512_vnni::Ternary;
}  // namespace avx512_bf16
#endif
using Int8Native = MAMBA2_ISA::Int8;
using Int4Native = MAMBA2_ISA::Int4;
using Q8_0Native = MAMBA2_ISA::Q8_0;
using Q4_1Native = MAMBA2_ISA::Q4_1;
using Q5_0Native = MAMBA2_ISA::Q5_0;
using Q5_1Native = MAMBA2_ISA::Q5_1;
using IQ4_NLNative = MAMBA2_ISA::IQ4_NL;
using IQ4_XSNative = MAMBA2_ISA::IQ4_XS;
using Q4_KNative = MAMBA2_ISA::Q4_K;
using Q5_KNative = MAMBA2_ISA::Q5_K;
using Q6_KNative = MAMBA2_ISA::Q6_K;
using Q2_0Native = MAMBA2_ISA::Q2_0;
using TernaryNative = MAMBA2_ISA::Ternary;

}  // namespace kernels
}  // namespace MAMBA2_ISA
}  // namespace mamba2
