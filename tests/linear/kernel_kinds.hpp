// SPDX-License-Identifier: Apache-2.0
// The kernels of every kind that this build has, for tests that compare them.
#pragma once

#include <cstddef>
#include <string>
#include <type_traits>

#include "mamba2/kernels/native.hpp"

namespace tests {

/// The kernels of one kind: for Int8, Int4 and so on.
template <class Int8Kernel, class Int4Kernel, class Q8_0Kernel, class Q4_KKernel, class Q6_KKernel,
          class Q4_1Kernel, class Q5_0Kernel, class Q5_1Kernel, class Q5_KKernel,
          class IQ4_NLKernel, class IQ4_XSKernel, class TernaryKernel, class Q2_0Kernel>
struct Kernels {
  using Int8 = Int8Kernel;
  using Int4 = Int4Kernel;
  using Q8_0 = Q8_0Kernel;
  using Q4_K = Q4_KKernel;
  using Q6_K = Q6_KKernel;
  using Ternary = TernaryKernel;
  using Q2_0 = Q2_0Kernel;
  using Q4_1 = Q4_1Kernel;
  using Q5_0 = Q5_0Kernel;
  using Q5_1 = Q5_1Kernel;
  using Q5_K = Q5_KKernel;
  using IQ4_NL = IQ4_NLKernel;
  using IQ4_XS = IQ4_XSKernel;
};

/// The kernel for blocks of this type.
template <mamba2::DType kType, class Kernels>
using BlockKernel = std::conditional_t<
    kType == mamba2::DType::Q4_1, typename Kernels::Q4_1,
    std::conditional_t<kType == mamba2::DType::Q5_0, typename Kernels::Q5_0,
                       std::conditional_t<kType == mamba2::DType::Q5_1, typename Kernels::Q5_1,
                                          typename Kernels::IQ4_NL>>>;

/// The kernel for super-blocks of this type, and the bits of its codes.
template <mamba2::DType kType, class Kernels>
using SuperBlockKernel = std::conditional_t<
    kType == mamba2::DType::Q4_K, typename Kernels::Q4_K,
    std::conditional_t<kType == mamba2::DType::Q5_K, typename Kernels::Q5_K,
                       std::conditional_t<kType == mamba2::DType::IQ4_XS, typename Kernels::IQ4_XS,
                                          typename Kernels::Q6_K>>>;
template <mamba2::DType kType>
inline constexpr std::size_t kSuperBlockBits = kType == mamba2::DType::Q5_K   ? 5
                                               : kType == mamba2::DType::Q6_K ? 6
                                                                              : 4;

#define KERNELS_OF(kind)                                                                     \
  tests::Kernels<                                                                            \
      mamba2::kernels::kind::Int8, mamba2::kernels::kind::Int4, mamba2::kernels::kind::Q8_0, \
      mamba2::kernels::kind::Q4_K, mamba2::kernels::kind::Q6_K, mamba2::kernels::kind::Q4_1, \
      mamba2::kernels::kind::Q5_0, mamba2::kernels::kind::Q5_1, mamba2::kernels::kind::Q5_K, \
      mamba2::kernels::kind::IQ4_NL, mamba2::kernels::kind::IQ4_XS,                          \
      mamba2::kernels::kind::Ternary, mamba2::kernels::kind::Q2_0>

/// Calls body.operator()<Kernels<...>>() for every kind in this build, scalar first.
template <class Body>
void for_each_kernel(const Body& body) {
  body.template operator()<KERNELS_OF(scalar)>();
#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
  body.template operator()<KERNELS_OF(avx2)>();
#endif
#if defined(__AVX512BW__)
  body.template operator()<KERNELS_OF(avx512)>();
#endif
#if defined(__AVX512VNNI__)
  body.template operator()<KERNELS_OF(avx512_vnni)>();
#endif
#if defined(__aarch64__)
  body.template operator()<KERNELS_OF(neon)>();
#endif
#if defined(__ARM_FEATURE_DOTPROD)
  body.template operator()<KERNELS_OF(neon_dotprod)>();
#endif
#if defined(__ARM_FEATURE_DOTPROD) && defined(__ARM_FEATURE_MATMUL_INT8)
  body.template operator()<KERNELS_OF(neon_i8mm)>();
#endif
}
#undef KERNELS_OF

/// The name of the kernels that this build should choose. Nothing that BF16 brings serves integers.
inline std::string native_kernel() {
  const std::string isa(mamba2::isa());
  return isa == "x86_64" ? "scalar" : isa == "avx512_bf16" ? "avx512_vnni" : isa;
}

}  // namespace tests
