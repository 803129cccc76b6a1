// SPDX-License-Identifier: Apache-2.0
// Products with weights of 2 bits by every kernel in this build: with a scale for each row, or for
// 64 columns as in GGUF files.
#include <mamba2/mamba2.hpp>
#include <string>

#include "bench/kernels/benchmarks.hpp"
#include "bench/kernels/products.hpp"

namespace bench {
namespace {

template <class Ternary, class Q2_0>
void add_kernels(bool slow = false) {
  const std::string name(Ternary::name);
  add_products<mamba2::BasicTernaryRows<Ternary>, Int8Unit>("ternary/" + name, slow);
  add_products<mamba2::BasicGroups<Q2_0, 2>, Int8Unit>("q2_0/" + name, slow);
}

}  // namespace

void add_ternary_products() {
  namespace kernels = mamba2::kernels;
  add_kernels<kernels::scalar::Ternary, kernels::scalar::Q2_0>(true);
#if defined(__AVX2__) && defined(__FMA__)
  add_kernels<kernels::avx2::Ternary, kernels::avx2::Q2_0>();
#endif
#if defined(__AVX512BW__)
  add_kernels<kernels::avx512::Ternary, kernels::avx512::Q2_0>();
#endif
#if defined(__AVX512VNNI__)
  add_kernels<kernels::avx512_vnni::Ternary, kernels::avx512_vnni::Q2_0>();
#endif
#if defined(__aarch64__)
  add_kernels<kernels::neon::Ternary, kernels::neon::Q2_0>();
#endif
#if defined(__ARM_FEATURE_DOTPROD)
  add_kernels<kernels::neon_dotprod::Ternary, kernels::neon_dotprod::Q2_0>();
#endif
#if defined(__ARM_FEATURE_DOTPROD) && defined(__ARM_FEATURE_MATMUL_INT8)
  add_kernels<kernels::neon_i8mm::Ternary, kernels::neon_i8mm::Q2_0>();
#endif
}

}  // namespace bench
