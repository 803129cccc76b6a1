// SPDX-License-Identifier: Apache-2.0
// Loops that are unrolled whatever the compiler's flags.
#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

#include "mamba2/core/platform.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels {

/// A number that is known to the compiler.
template <std::size_t kValue>
using Constant = std::integral_constant<std::size_t, kValue>;

/// Makes a function part of its caller, whatever the compiler thinks of its size.
#define MAMBA2_INLINE __attribute__((always_inline))

template <class Body, std::size_t... kIndices>
MAMBA2_INLINE inline void unroll_each(const Body& body, std::index_sequence<kIndices...>) {
  (body(Constant<kIndices>()), ...);
}

/// Calls body(Constant<0>), ... body(Constant<kCount - 1>). An array that is indexed by nothing but
/// such constants stays in registers, if the body is a lambda with MAMBA2_INLINE; that of a loop
/// does not at -O2, nor reliably at -O3.
template <std::size_t kCount, class Body>
MAMBA2_INLINE inline void unroll(const Body& body) {
  unroll_each(body, std::make_index_sequence<kCount>());
}

/// Calls body(Constant<i>, Constant<j>) for all i < kRows and j < kColumns, the last index fastest.
template <std::size_t kRows, std::size_t kColumns, class Body>
MAMBA2_INLINE inline void unroll(const Body& body) {
  unroll<kRows>([&](auto i)
                    MAMBA2_INLINE { unroll<kColumns>([&](auto j) MAMBA2_INLINE { body(i, j); }); });
}

}  // namespace kernels
}  // namespace MAMBA2_ISA
}  // namespace mamba2
