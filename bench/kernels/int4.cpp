// SPDX-License-Identifier: Apache-2.0
// INT4 products by every kernel in this build, with a weight scale for 32 or 128 columns, and one
// activation scale for a token or for as many of its values.
#include <mamba2/mamba2.hpp>
#include <string>

#include "bench/kernels/benchmarks.hpp"
#include "bench/kernels/products.hpp"

namespace bench {
namespace {

template <class Kernel>
void add_kernel(bool slow = false) {
  using mamba2::BasicInt4;
  using mamba2::Int8;
  const std::string name = "int4/" + std::string(Kernel::name);
  add_products<BasicInt4<Kernel, 32, false, 0, Int8>, Int8Unit>(name + "/32", slow);
  add_products<BasicInt4<Kernel, 128, false, 0, Int8>, Int8Unit>(name + "/128", slow);
  add_products<BasicInt4<Kernel, 32, true, 0, Int8>, Int8Unit>(name + "/32x32", slow);
  add_products<BasicInt4<Kernel, 128, true, 0, Int8>, Int8Unit>(name + "/128x128", slow);
}

}  // namespace

void add_int4_products() {
  namespace kernels = mamba2::kernels;
  add_kernel<kernels::scalar::Int4>(true);
#if defined(__AVX2__) && defined(__FMA__)
  add_kernel<kernels::avx2::Int4>();
#endif
#if defined(__AVX512BW__)
  add_kernel<kernels::avx512::Int4>();
#endif
#if defined(__AVX512VNNI__)
  add_kernel<kernels::avx512_vnni::Int4>();
#endif
#if defined(__aarch64__)
  add_kernel<kernels::neon::Int4>();
#endif
#if defined(__ARM_FEATURE_DOTPROD)
  add_kernel<kernels::neon_dotprod::Int4>();
#endif
#if defined(__ARM_FEATURE_DOTPROD) && defined(__ARM_FEATURE_MATMUL_INT8)
  add_kernel<kernels::neon_i8mm::Int4>();
#endif
}

}  // namespace bench
