// SPDX-License-Identifier: Apache-2.0
// Products with floating-point weights.
#include <mamba2/mamba2.hpp>

#include "bench/kernels/benchmarks.hpp"
#include "bench/kernels/products.hpp"

namespace bench {

void add_float_products() {
  add_products<mamba2::Fp32, FmaUnit>("fp32");
  add_products<mamba2::Fp16, FmaUnit>("fp16");
  add_products<mamba2::Bf16, Bf16Unit>("bf16");
}

}  // namespace bench
