// SPDX-License-Identifier: Apache-2.0
// Products with weights as GGUF files have them, by every kernel in this build. Those of Q4_0 are
// int4's with an activation scale for each 32 values: "32x32".
#include <mamba2/mamba2.hpp>
#include <string>

#include "bench/kernels/benchmarks.hpp"
#include "bench/kernels/products.hpp"

namespace bench {
namespace {

template <class Q4_1, class Q5_0, class Q5_1, class IQ4_NL>
void add_blocks(bool slow) {
  using mamba2::BasicCodedBlocks;
  using mamba2::DType;
  const std::string name(Q4_1::name);
  add_products<BasicCodedBlocks<Q4_1, DType::Q4_1>, Int8Unit>("q4_1/" + name, slow);
  add_products<BasicCodedBlocks<Q5_0, DType::Q5_0>, Int8Unit>("q5_0/" + name, slow);
  add_products<BasicCodedBlocks<Q5_1, DType::Q5_1>, Int8Unit>("q5_1/" + name, slow);
  add_products<BasicCodedBlocks<IQ4_NL, DType::IQ4_NL>, Int8Unit>("iq4_nl/" + name, slow);
}

template <class Q8_0, class Q4_K, class Q5_K, class Q6_K, class IQ4_XS>
void add_others(bool slow) {
  const std::string name(Q8_0::name);
  add_products<mamba2::BasicGroups<Q8_0, 8>, Int8Unit>("q8_0/" + name, slow);
  add_products<mamba2::BasicSuperBlocks<Q4_K, 4>, Int8Unit>("q4_k/" + name, slow);
  add_products<mamba2::BasicSuperBlocks<Q5_K, 5>, Int8Unit>("q5_k/" + name, slow);
  add_products<mamba2::BasicSuperBlocks<Q6_K, 6>, Int8Unit>("q6_k/" + name, slow);
  add_products<mamba2::BasicSuperBlocks<IQ4_XS, 4, false>, Int8Unit>("iq4_xs/" + name, slow);
}

}  // namespace

/// Those of an instruction set. slow: see add_products().
#define ADD_KERNELS(isa, slow)                                                               \
  add_others<kernels::isa::Q8_0, kernels::isa::Q4_K, kernels::isa::Q5_K, kernels::isa::Q6_K, \
             kernels::isa::IQ4_XS>(slow);                                                    \
  add_blocks<kernels::isa::Q4_1, kernels::isa::Q5_0, kernels::isa::Q5_1, kernels::isa::IQ4_NL>(slow)

void add_gguf_products() {
  namespace kernels = mamba2::kernels;
  ADD_KERNELS(scalar, true);
#if defined(__AVX2__) && defined(__FMA__)
  ADD_KERNELS(avx2, false);
#endif
#if defined(__AVX512BW__)
  ADD_KERNELS(avx512, false);
#endif
#if defined(__AVX512VNNI__)
  ADD_KERNELS(avx512_vnni, false);
#endif
#if defined(__aarch64__)
  ADD_KERNELS(neon, false);
#endif
#if defined(__ARM_FEATURE_DOTPROD)
  ADD_KERNELS(neon_dotprod, false);
#endif
#if defined(__ARM_FEATURE_DOTPROD) && defined(__ARM_FEATURE_MATMUL_INT8)
  ADD_KERNELS(neon_i8mm, false);
#endif
}

}  // namespace bench
