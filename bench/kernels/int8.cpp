// SPDX-License-Identifier: Apache-2.0
// INT8 products by every kernel in this build, with one activation scale for a token, or one for 32
// or 128 of its values.
#include <mamba2/mamba2.hpp>
#include <string>

#include "bench/kernels/benchmarks.hpp"
#include "bench/kernels/products.hpp"

namespace bench {
namespace {

template <class Kernel>
void add_kernel(bool slow = false) {
  using mamba2::BasicInt8;
  const std::string name = "int8/" + std::string(Kernel::name);
  add_products<BasicInt8<Kernel, 0, 0>, Int8Unit>(name + "/whole", slow);
  add_products<BasicInt8<Kernel, 32, 0>, Int8Unit>(name + "/32", slow);
  add_products<BasicInt8<Kernel, 128, 0>, Int8Unit>(name + "/128", slow);
}

}  // namespace

void add_int8_products() {
  namespace kernels = mamba2::kernels;
  add_kernel<kernels::scalar::Int8>(true);
#if defined(__AVX2__) && defined(__FMA__)
  add_kernel<kernels::avx2::Int8>();
#endif
#if defined(__AVX512BW__)
  add_kernel<kernels::avx512::Int8>();
#endif
#if defined(__AVX512VNNI__)
  add_kernel<kernels::avx512_vnni::Int8>();
#endif
#if defined(__aarch64__)
  add_kernel<kernels::neon::Int8>();
#endif
#if defined(__ARM_FEATURE_DOTPROD)
  add_kernel<kernels::neon_dotprod::Int8>();
#endif
#if defined(__ARM_FEATURE_DOTPROD) && defined(__ARM_FEATURE_MATMUL_INT8)
  add_kernel<kernels::neon_i8mm::Int8>();
#endif
}

}  // namespace bench
