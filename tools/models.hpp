// SPDX-License-Identifier: Apache-2.0
// The products of every format, compiled once for all programs and tests: see products.cpp.in.
// Likewise what is not a template: see mamba2/core/linkage.hpp.
#pragma once

#include <mamba2/linear/coded_blocks.hpp>
#include <mamba2/linear/floats.hpp>
#include <mamba2/linear/groups.hpp>
#include <mamba2/linear/int4.hpp>
#include <mamba2/linear/int8.hpp>
#include <mamba2/linear/super_blocks.hpp>
#include <mamba2/linear/ternary_rows.hpp>

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// A format, in the form that names of members need in an explicit instantiation: with an argument.
template <class FormatT>
using ProductsOf = FormatT;

#if !defined(MAMBA2_PRODUCT)
#define MAMBA2_PRODUCT extern template
#endif
#define MAMBA2_PRODUCT_OF(FormatT)                                                           \
  MAMBA2_PRODUCT void ProductsOf<FormatT>::multiply(const Matrix&, std::size_t, std::size_t, \
                                                    const Inputs&, MutableRows);             \
  MAMBA2_PRODUCT void ProductsOf<FormatT>::pack_band(const BandRows&, std::size_t, std::byte*);
MAMBA2_PRODUCT_OF(Fp32)
MAMBA2_PRODUCT_OF(Fp16)
#if !MAMBA2_BF16_DOT
MAMBA2_PRODUCT_OF(Bf16)
#endif
MAMBA2_PRODUCT_OF(Int8A32)
MAMBA2_PRODUCT_OF(Int8)
MAMBA2_PRODUCT_OF(Int4Groups<32>)
MAMBA2_PRODUCT_OF(Int4Groups<64>)
MAMBA2_PRODUCT_OF(Int4Groups<128>)
MAMBA2_PRODUCT_OF(Q8_0)
MAMBA2_PRODUCT_OF(Q4_0)
MAMBA2_PRODUCT_OF(Q4_1)
MAMBA2_PRODUCT_OF(Q5_0)
MAMBA2_PRODUCT_OF(Q5_1)
MAMBA2_PRODUCT_OF(IQ4_NL)
MAMBA2_PRODUCT_OF(IQ4_XS)
MAMBA2_PRODUCT_OF(Q4_K)
MAMBA2_PRODUCT_OF(Q5_K)
MAMBA2_PRODUCT_OF(Q6_K)
MAMBA2_PRODUCT_OF(Q2_0)
MAMBA2_PRODUCT_OF(TernaryRows)
#undef MAMBA2_PRODUCT_OF
#undef MAMBA2_PRODUCT

}  // namespace MAMBA2_ISA
}  // namespace mamba2
