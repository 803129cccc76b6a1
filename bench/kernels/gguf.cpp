// SPDX-License-Identifier: Apache-2.0
// Products with weights as GGUF files have them, by every kernel in this build. Those of Q4_0 are
// int4's with an activation scale for each 32 values: "32x32".
#include <mamba2/mamba2.hpp>
#include <string>

#include "bench/kernels/benchmarks.hpp"
#include "bench/kernels/products.hpp"

namespace bench {
namespace {

template <class Q8_0, class Q4_K, class Q6_K>
void add_kernels(bool slow = false) {
  const std::string name(Q8_0::name);
  add_products<mamba2::BasicGroups<Q8_0, 8>, Int8Unit>("q8_0/" + name, slow);
  add_products<mamba2::BasicSuperBlocks<Q4_K, 4>, Int8Unit>("q4_k/" + name, slow);
  add_products<mamba2::BasicSuperBlocks<Q6_K, 6>, Int8Unit>("q6_k/" + name, slow);
}

}  // namespace

void add_gguf_products() {
  namespace kernels = mamba2::kernels;
  add_kernels<kernels::scalar::Q8_0, kernels::scalar::Q4_K, kernels::scalar::Q6_K>(true);
#if defined(__AVX2__) && defined(__FMA__)
  add_kernels<kernels::avx2::Q8_0, kernels::avx2::Q4_K, kernels::avx2::Q6_K>();
#endif
#if defined(__AVX512BW__)
  add_kernels<kernels::avx512::Q8_0, kernels::avx512::Q4_K, kernels::avx512::Q6_K>();
#endif
#if defined(__AVX512VNNI__)
  add_kernels<kernels::avx512_vnni::Q8_0, kernels::avx512_vnni::Q4_K, kernels::avx512_vnni::Q6_K>();
#endif
#if defined(__aarch64__)
  add_kernels<kernels::neon::Q8_0, kernels::neon::Q4_K, kernels::neon::Q6_K>();
#endif
#if defined(__ARM_FEATURE_DOTPROD)
  add_kernels<kernels::neon_dotprod::Q8_0, kernels::neon_dotprod::Q4_K,
              kernels::neon_dotprod::Q6_K>();
#endif
#if defined(__ARM_FEATURE_DOTPROD) && defined(__ARM_FEATURE_MATMUL_INT8)
  add_kernels<kernels::neon_i8mm::Q8_0, kernels::neon_i8mm::Q4_K, kernels::neon_i8mm::Q6_K>();
#endif
}

}  // namespace bench
