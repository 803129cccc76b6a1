// SPDX-License-Identifier: Apache-2.0
// How weights lie in memory, by instruction set.
#pragma once

#include <cstddef>
#include <string_view>
#include <type_traits>

#include "mamba2/core/platform.hpp"

/// What the kernels of an instruction set expect of a packed matrix: rows of a band, and what is
/// added to codes of 8 and of 4 bits (kBias of the kernels). cpu: one with that instruction set, by
/// the name that compilers know it by.
namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace layouts {

/// AArch64, with or without the dot product.
struct Neon {
  static constexpr std::string_view name = "neon";
  static constexpr std::string_view cpu = "cortex-a76";
  static constexpr std::size_t kRows = 4;
  static constexpr int kInt8Bias = 0;
  static constexpr int kInt4Bias = 0;
};
/// x86-64 without any SIMD flag.
struct X86 : Neon {
  static constexpr std::string_view name = "x86_64";
  static constexpr std::string_view cpu = "x86-64";
};
struct Avx2 {
  static constexpr std::string_view name = "avx2";
  static constexpr std::string_view cpu = "x86-64-v3";
  static constexpr std::size_t kRows = 8;
  static constexpr int kInt8Bias = 0;
  static constexpr int kInt4Bias = 8;
};
struct Avx512 {
  static constexpr std::string_view name = "avx512";
  static constexpr std::string_view cpu = "x86-64-v4";
  static constexpr std::size_t kRows = 16;
  static constexpr int kInt8Bias = 0;
  static constexpr int kInt4Bias = 8;
};
/// AVX-512 with VNNI.
struct Avx512Vnni : Avx512 {
  static constexpr std::string_view name = "avx512_vnni";
  static constexpr std::string_view cpu = "icelake-server";
  static constexpr int kInt8Bias = 128;
};
/// The same where BF16 weights lie in pairs for VDPBF16PS.
struct Avx512Bf16 : Avx512Vnni {
  static constexpr std::string_view name = "avx512_bf16";
  static constexpr std::string_view cpu = "znver4";
};

/// A CPU with the layout of that name; empty if there is no such layout.
[[nodiscard]] constexpr std::string_view cpu_of(std::string_view layout) noexcept {
  std::string_view cpu;
  const auto look_at = [&]<class... Layouts>(const Layouts&...) {
    ((cpu = layout == Layouts::name ? Layouts::cpu : cpu), ...);
  };
  look_at(Neon(), X86(), Avx2(), Avx512(), Avx512Vnni(), Avx512Bf16());
  return cpu;
}

/// Of this translation unit.
using Native = std::conditional_t<
    isa().starts_with("neon"), Neon,
    std::conditional_t<
        MAMBA2_BF16_DOT == 1, Avx512Bf16,
        std::conditional_t<isa() == "avx512_bf16" || isa() == "avx512_vnni", Avx512Vnni,
                           std::conditional_t<isa() == "avx512", Avx512,
                                              std::conditional_t<isa() == "avx2", Avx2, X86>>>>>;

}  // namespace layouts
}  // namespace MAMBA2_ISA
}  // namespace mamba2
