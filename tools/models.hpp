// SPDX-License-Identifier: Apache-2.0
// Models of every policy, compiled once for all programs and tests: see models.cpp.in. Likewise
// what is not a template: see mamba2/core/linkage.hpp.
#pragma once

#include <mamba2/linear/floats.hpp>
#include <mamba2/linear/int4.hpp>
#include <mamba2/linear/int8.hpp>
#include <mamba2/linear/mixed.hpp>
#include <mamba2/model.hpp>

namespace mamba2::inline MAMBA2_ISA {

#define MAMBA2_COMPILED_ELSEWHERE(WeightT)                                            \
  extern template Result<Weights<WeightT>> load_weights<WeightT>(const Checkpoint&,   \
                                                                 const LoadOptions&); \
  extern template class Session<WeightT>;                                             \
  extern template class Batch<WeightT>;                                               \
  extern template class Mamba2Model<WeightT>;
MAMBA2_COMPILED_ELSEWHERE(Fp32)
MAMBA2_COMPILED_ELSEWHERE(Fp16)
MAMBA2_COMPILED_ELSEWHERE(Bf16)
MAMBA2_COMPILED_ELSEWHERE(Int8)
MAMBA2_COMPILED_ELSEWHERE(Int4)
MAMBA2_COMPILED_ELSEWHERE(Mixed)
#undef MAMBA2_COMPILED_ELSEWHERE

}  // namespace mamba2::inline MAMBA2_ISA
