// SPDX-License-Identifier: Apache-2.0
// Mixed: every matrix in the precision that its checkpoint gives it.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "mamba2/formats/dtype.hpp"
#include "mamba2/linear/coded_blocks.hpp"
#include "mamba2/linear/floats.hpp"
#include "mamba2/linear/groups.hpp"
#include "mamba2/linear/int4.hpp"
#include "mamba2/linear/int8.hpp"
#include "mamba2/linear/matrix.hpp"
#include "mamba2/linear/plan.hpp"
#include "mamba2/linear/super_blocks.hpp"
#include "mamba2/linear/ternary_rows.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// Weights as the checkpoint stores them, a format for each matrix. F32, F16 and BF16 are as in the
/// policies of these names; the types of GGUF keep the codes and scales of the file, those for
/// which a larger one holds all values in that: Q1_0, TQ1_0 and TQ2_0 as Q2_0, Q3_K as Q6_K. Q2_K,
/// which has minima, FP8, MXFP4 and NVFP4, whose codes are floats, and IQ1 to IQ3, whose codes are
/// rows of a grid, are rounded to Q8_0: an error of max|w| / 254 in each group of 32 weights, far
/// below their own. Codes and scales apart (quantization.hpp) are as in Int8, Int4Groups and
/// TernaryRows, rotated or not as they are stored. Nothing else is rotated. Policies names the
/// policies that it is made of, as NativePolicies does.
template <class Policies>
struct BasicMixed {
  static constexpr std::string_view name = "mixed";
  using Head = BasicMixed;
  static constexpr std::size_t kRotation = kRotationAsStored;

  /// In the order of their numbers in packed files.
  static constexpr std::array<const Format*, 19> kFormats = {
      &kFormat<typename Policies::Fp32>,
      &kFormat<typename Policies::Fp16>,
      &kFormat<typename Policies::Bf16>,
      &kFormat<typename Policies::Q8_0>,
      &kFormat<typename Policies::Q4_0>,
      &kFormat<typename Policies::Q4_K>,
      &kFormat<typename Policies::Q6_K>,
      &kFormat<typename Policies::Int8>,
      &kFormat<typename Policies::template Int4Groups<32>>,
      &kFormat<typename Policies::template Int4Groups<64>>,
      &kFormat<typename Policies::template Int4Groups<128>>,
      &kFormat<typename Policies::Q4_1>,
      &kFormat<typename Policies::Q5_0>,
      &kFormat<typename Policies::Q5_1>,
      &kFormat<typename Policies::IQ4_NL>,
      &kFormat<typename Policies::Q5_K>,
      &kFormat<typename Policies::TernaryRows>,
      &kFormat<typename Policies::Q2_0>,
      &kFormat<typename Policies::IQ4_XS>};

  /// The format for a type of a checkpoint.
  [[nodiscard]] static constexpr const Format& format_for(DType stored) {
    switch (stored) {
      case DType::F16:
        return kFormat<typename Policies::Fp16>;
      case DType::BF16:
        return kFormat<typename Policies::Bf16>;
      case DType::Q4_0:
        return kFormat<typename Policies::Q4_0>;
      case DType::Q1_0:
      case DType::Q2_0:
      case DType::TQ1_0:
      case DType::TQ2_0:
        return kFormat<typename Policies::Q2_0>;
      case DType::Q4_1:
        return kFormat<typename Policies::Q4_1>;
      case DType::Q5_0:
        return kFormat<typename Policies::Q5_0>;
      case DType::Q5_1:
        return kFormat<typename Policies::Q5_1>;
      case DType::IQ4_NL:
        return kFormat<typename Policies::IQ4_NL>;
      case DType::IQ4_XS:
        return kFormat<typename Policies::IQ4_XS>;
      case DType::Q5_K:
        return kFormat<typename Policies::Q5_K>;
      case DType::Q4_K:
        return kFormat<typename Policies::Q4_K>;
      case DType::Q3_K:
      case DType::Q6_K:
        return kFormat<typename Policies::Q6_K>;
      case DType::F8_E4M3:
      case DType::F8_E5M2:
        return kFormat<typename Policies::Q8_0>;
      case DType::TERNARY:
        return kFormat<typename Policies::TernaryRows>;
      case DType::INT8:
        return kFormat<typename Policies::Int8>;
      case DType::INT4_G32:
        return kFormat<typename Policies::template Int4Groups<32>>;
      case DType::INT4_G64:
        return kFormat<typename Policies::template Int4Groups<64>>;
      case DType::INT4_G128:
        return kFormat<typename Policies::template Int4Groups<128>>;
      default:
        if (is_quantized(stored)) return kFormat<typename Policies::Q8_0>;
        return kFormat<typename Policies::Fp32>;
    }
  }
  [[nodiscard]] static constexpr const Format& planned_format(Role, DType stored) {
    return format_for(stored);
  }
};

template <class Policies>
inline constexpr Plan kPlan<BasicMixed<Policies>> = {
    BasicMixed<Policies>::name, BasicMixed<Policies>::kRotation,
    &BasicMixed<Policies>::planned_format, BasicMixed<Policies>::kFormats};

/// Those of this library.
struct NativePolicies {
  using Fp32 = mamba2::Fp32;
  using Fp16 = mamba2::Fp16;
  using Bf16 = mamba2::Bf16;
  using Q8_0 = mamba2::Q8_0;
  using Q4_0 = mamba2::Q4_0;
  using Q4_1 = mamba2::Q4_1;
  using Q5_0 = mamba2::Q5_0;
  using Q5_1 = mamba2::Q5_1;
  using IQ4_NL = mamba2::IQ4_NL;
  using IQ4_XS = mamba2::IQ4_XS;
  using Q4_K = mamba2::Q4_K;
  using Q5_K = mamba2::Q5_K;
  using Q6_K = mamba2::Q6_K;
  using Q2_0 = mamba2::Q2_0;
  using TernaryRows = mamba2::TernaryRows;
  using Int8 = mamba2::Int8;
  template <std::size_t kGroup>
  using Int4Groups = mamba2::Int4Groups<kGroup>;
  using Int4 = Int4Groups<32>;
  using Mixed = BasicMixed<NativePolicies>;
};
using Mixed = NativePolicies::Mixed;

}  // namespace MAMBA2_ISA
}  // namespace mamba2
