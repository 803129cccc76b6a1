// SPDX-License-Identifier: Apache-2.0
// Policies that pack as those of another CPU do.
#pragma once

#include <cstddef>
#include <string_view>

#include "mamba2/kernels/native.hpp"
#include "mamba2/linear/coded_blocks.hpp"
#include "mamba2/linear/floats.hpp"
#include "mamba2/linear/groups.hpp"
#include "mamba2/linear/int4.hpp"
#include "mamba2/linear/int8.hpp"
#include "mamba2/linear/layouts.hpp"
#include "mamba2/linear/mixed.hpp"
#include "mamba2/linear/super_blocks.hpp"
#include "mamba2/linear/ternary.hpp"
#include "mamba2/linear/ternary_rows.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// As much of a kernel as packing asks for.
template <std::size_t kRowsOfBand, int kBiasOfCodes>
struct LayoutOnly {
  static constexpr std::size_t kRows = kRowsOfBand;
  static constexpr int kBias = kBiasOfCodes;
  static constexpr bool kPacksOnly = true;
};

/// The policies of this library with the bands of a layout (layouts.hpp), which need not be this
/// CPU's: to pack, not to multiply. They give the bytes that a program for that CPU has in memory,
/// but for the last bit of a decay rate where the two machines' exp() differ, and of scales that
/// are searched for on a machine without fused multiply-adds.
template <class Layout>
struct PoliciesFor {
  using Int8Kernel = LayoutOnly<Layout::kRows, Layout::kInt8Bias>;
  using Int4Kernel = LayoutOnly<Layout::kRows, Layout::kInt4Bias>;
  using Int5Kernel = LayoutOnly<Layout::kRows, 2 * Layout::kInt4Bias>;
  using TwoBitKernel = LayoutOnly<Layout::kRows, 1>;

  using Fp32 = BasicFloat<Fp32Numbers, Layout::kRows>;
  using Fp16 = BasicFloat<Fp16Numbers, Layout::kRows>;
  using Bf16 = BasicFloat<Bf16Numbers, Layout::kRows>;  // not in pairs: not for Avx512Bf16
  using Q8_0 = BasicGroups<Int8Kernel, 8>;
  using Q4_0 = BasicGroups<Int4Kernel, 4>;
  using Q4_1 = BasicCodedBlocks<Int4Kernel, DType::Q4_1>;
  using Q5_0 = BasicCodedBlocks<Int5Kernel, DType::Q5_0>;
  using Q5_1 = BasicCodedBlocks<Int5Kernel, DType::Q5_1>;
  using IQ4_NL = BasicCodedBlocks<Int4Kernel, DType::IQ4_NL>;
  using IQ4_XS = BasicSuperBlocks<Int8Kernel, 4, false>;
  using Q4_K = BasicSuperBlocks<Int8Kernel, 4>;
  using Q5_K = BasicSuperBlocks<Int8Kernel, 5>;
  using Q6_K = BasicSuperBlocks<Int8Kernel, 6>;
  using Q2_0 = BasicGroups<TwoBitKernel, 2>;
  using TernaryRows = BasicTernaryRows<TwoBitKernel>;
  using Int8 = BasicInt8<Int8Kernel, 0, 256>;
  template <std::size_t kGroup>
  using Int4Groups = BasicInt4<Int4Kernel, kGroup, false, 256, Int8>;
  using Int4 = Int4Groups<32>;
  using Mixed = BasicMixed<PoliciesFor>;
};

static_assert(layouts::Native::kRows == kernels::kLanes &&
              layouts::Native::kRows == kernels::Int8Native::kRows &&
              layouts::Native::kRows == kernels::TernaryNative::kRows &&
              layouts::Native::kInt8Bias == kernels::Int8Native::kBias &&
              layouts::Native::kInt8Bias == kernels::Q8_0Native::kBias &&
              layouts::Native::kInt4Bias == kernels::Int4Native::kBias &&
              layouts::Native::kInt4Bias * 2 == kernels::Q5_0Native::kBias);

namespace detail {

struct CpuLayout {
  std::string_view cpu;
  std::string_view layout;
};

/// Names of CPUs, as compilers know them.
inline constexpr CpuLayout kCpuLayouts[] = {
    {"cortex-a53", layouts::Neon::name},
    {"cortex-a55", layouts::Neon::name},
    {"cortex-a72", layouts::Neon::name},
    {"cortex-a76", layouts::Neon::name},
    {"cortex-a78", layouts::Neon::name},
    {"neoverse-n1", layouts::Neon::name},
    {"armv8-a", layouts::Neon::name},
    {"x86-64", layouts::X86::name},
    {"x86-64-v3", layouts::Avx2::name},
    {"x86-64-v4", layouts::Avx512::name},
    {"icelake-server", layouts::Avx512Vnni::name},
    {"sapphirerapids", layouts::Avx512Vnni::name},
    {"znver4", layouts::Avx512Bf16::name},
    {"native", layouts::Native::name},
};

}  // namespace detail

/// The layout for a CPU ("cortex-a76", "x86-64-v3", "native"), or of that name itself ("neon").
[[nodiscard]] constexpr std::string_view layout_of(std::string_view target) noexcept {
  for (const detail::CpuLayout& known : detail::kCpuLayouts) {
    if (known.cpu == target) return known.layout;
  }
  return target;
}

static_assert(layout_of(layouts::Native::cpu) == layouts::Native::name);

}  // namespace MAMBA2_ISA
}  // namespace mamba2
