// SPDX-License-Identifier: Apache-2.0
// The products with float weights.
#include "bench/arm/products.hpp"
#include "mamba2/linear/floats.hpp"

namespace bench {

std::span<const Loop> float_products() {
  static constexpr Loop kLoops[] = {
      {"fp32", product<mamba2::Fp32>, weight_bytes<mamba2::Fp32>},
      {"fp16", product<mamba2::Fp16>, weight_bytes<mamba2::Fp16>},
      {"bf16", product<mamba2::Bf16>, weight_bytes<mamba2::Bf16>},
  };
  return kLoops;
}

}  // namespace bench
