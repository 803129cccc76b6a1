// SPDX-License-Identifier: Apache-2.0
// The products with quantized weights, and the quantization of their inputs.
#include "bench/arm/products.hpp"
#include "mamba2/linear/coded_blocks.hpp"
#include "mamba2/linear/groups.hpp"
#include "mamba2/linear/int4.hpp"
#include "mamba2/linear/int8.hpp"
#include "mamba2/linear/super_blocks.hpp"
#include "mamba2/linear/ternary_rows.hpp"

namespace bench {

std::span<const Loop> int_products() {
  static constexpr Loop kLoops[] = {
      {"int8", product<mamba2::Int8>, weight_bytes<mamba2::Int8>},
      {"int4", product<mamba2::Int4>, weight_bytes<mamba2::Int4>},
      {"q8_0", product<mamba2::Q8_0>, weight_bytes<mamba2::Q8_0>},
      {"q4_0", product<mamba2::Q4_0>, weight_bytes<mamba2::Q4_0>},
      {"q4_1", product<mamba2::Q4_1>, weight_bytes<mamba2::Q4_1>},
      {"q5_0", product<mamba2::Q5_0>, weight_bytes<mamba2::Q5_0>},
      {"q5_1", product<mamba2::Q5_1>, weight_bytes<mamba2::Q5_1>},
      {"iq4_nl", product<mamba2::IQ4_NL>, weight_bytes<mamba2::IQ4_NL>},
      {"q4_k", product<mamba2::Q4_K>, weight_bytes<mamba2::Q4_K>},
      {"iq4_xs", product<mamba2::IQ4_XS>, weight_bytes<mamba2::IQ4_XS>},
      {"q5_k", product<mamba2::Q5_K>, weight_bytes<mamba2::Q5_K>},
      {"q6_k", product<mamba2::Q6_K>, weight_bytes<mamba2::Q6_K>},
      {"ternary", product<mamba2::TernaryRows>, weight_bytes<mamba2::TernaryRows>},
      {"q2_0", product<mamba2::Q2_0>, weight_bytes<mamba2::Q2_0>},
      {"quantize_token", prepare<mamba2::Int8>, nullptr},
      {"quantize_bitlinear", prepare<mamba2::TernaryRows>, nullptr},
      {"quantize_groups", prepare<mamba2::Q8_0>, nullptr},
      {"quantize_groups_sums", prepare<mamba2::Q4_K>, nullptr},
  };
  return kLoops;
}

}  // namespace bench
