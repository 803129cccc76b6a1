// SPDX-License-Identifier: Apache-2.0
// VPDPBUSD.
#pragma once

#include <immintrin.h>

#include "mamba2/kernels/avx512/vectors.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels::avx512_vnni {

/// sums + the dot products of 4 unsigned and 4 signed bytes, lane by lane.
[[nodiscard]] inline avx512::Int32x16 dot(avx512::Int32x16 sums, __m512i u, __m512i s) {
  return reinterpret_cast<avx512::Int32x16>(
      _mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sums), u, s));
}

}  // namespace kernels::avx512_vnni
}  // namespace MAMBA2_ISA
}  // namespace mamba2
