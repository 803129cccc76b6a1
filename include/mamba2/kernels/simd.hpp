// SPDX-License-Identifier: Apache-2.0
// The vector type of the portable kernels, loops over arrays of any length, and what xsimd names
// differently from version to version.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <xsimd/xsimd.hpp>

#include "mamba2/core/platform.hpp"
#include "mamba2/kernels/fp16.hpp"
#include "mamba2/kernels/unroll.hpp"

MAMBA2_INTRINSICS_BEGIN

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels {

/// As many floats as one register of the instruction set holds.
using Floats = xsimd::batch<float>;

/// Values per register.
inline constexpr std::size_t kLanes = Floats::size;

[[nodiscard]] inline Floats load(const float* values) { return Floats::load_unaligned(values); }
[[nodiscard]] inline Floats load(const std::uint16_t* fp16) { return load_fp16(fp16); }
inline void store(const Floats& values, float* to) { values.store_unaligned(to); }
inline void store(const Floats& values, std::uint16_t* fp16) { store_fp16(values, fp16); }

[[nodiscard]] inline float first_lane(const Floats& values) {
  std::array<float, kLanes> lanes;
  store(values, lanes.data());
  return lanes[0];
}

/// a / b, rounded once on every CPU: on ARM, the operator of xsimd 8 multiplies by an approximation
/// of 1 / b.
[[nodiscard]] inline Floats divide(const Floats& a, const Floats& b) {
#if defined(__aarch64__)
  return vdivq_f32(a, b);
#else
  return a / b;
#endif
}

/// The nearest whole number, of two the even one. On ARM, xsimd 8 takes eight instructions.
[[nodiscard]] inline Floats nearest(const Floats& v) {
#if defined(__aarch64__)
  return vrndnq_f32(v);
#else
  return xsimd::nearbyint(v);
#endif
}

/// a * b + c, rounded once on every CPU that can: for AVX-512, xsimd 8 has a product and a sum,
/// which the compiler contracts in one place and not in another, and then not to the same bits.
[[nodiscard]] inline Floats multiply_add(const Floats& a, const Floats& b, const Floats& c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_ps(a, b, c);
#else
  return xsimd::fma(a, b, c);
#endif
}

/// Sum over the lanes.
[[nodiscard]] inline float sum(const Floats& values) {
#if XSIMD_VERSION_MAJOR >= 9
  return xsimd::reduce_add(values);
#else
  return xsimd::hadd(values);
#endif
}

/// All lanes of a register. Element is float, or std::uint16_t for FP16.
struct AllLanes {
  template <class Element>
  [[nodiscard]] static Floats load(const Element* values) {
    return kernels::load(values);
  }
  template <class Element>
  static void store(const Floats& values, Element* to) {
    kernels::store(values, to);
  }
};

/// The first `count` lanes: the others load as zero and are not stored.
struct FirstLanes {
  std::size_t count;

  template <class Element>
  [[nodiscard]] Floats load(const Element* values) const {
    std::array<Element, kLanes> lanes{};
    std::copy_n(values, count, lanes.data());
    return kernels::load(lanes.data());
  }
  template <class Element>
  void store(const Floats& values, Element* to) const {
    std::array<Element, kLanes> lanes;
    kernels::store(values, lanes.data());
    std::copy_n(lanes.data(), count, to);
  }
};

/// Walks over n values a register at a time: body(first, lanes), where lanes.load() and
/// lanes.store() move the values from `first` on; in the last step perhaps not all lanes.
/// A caller whose body is large, as with silu(), says [[gnu::flatten]]: calls would have every step
/// load its constants again.
template <class Body>
MAMBA2_INLINE inline void for_each_vector(std::size_t n, Body body) {
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) body(i, AllLanes{});
  if (i < n) body(i, FirstLanes{n % kLanes});
}

/// How near to the core a prefetch brings a line: as __builtin_prefetch counts.
inline constexpr int kIntoL2 = 2;
inline constexpr int kIntoL1 = 3;

/// Asks for the cache line at an address that may lie beyond the end of its array. The empty asm
/// is for callers that do nothing else: GCC takes them for functions without effect, and drops the
/// calls.
template <int kInto = kIntoL1>
inline void prefetch(const void* address) {
  __builtin_prefetch(address, 0, kInto);
  asm volatile("");
}

/// How far ahead of its use a line of weights is asked for, into the L2 cache; past the end of a
/// band too, as the next one follows there. Products with one token, measured as shares of the rate
/// of a plain stream: on Zen 4 0.91 to 0.97 so, and 0.67 to 0.93 with 4 KiB; on Sapphire Rapids 0.6
/// to 0.8 with 1 KiB and 0.82 to 0.95 with 4 to 8 KiB.
#if MAMBA2_SAPPHIRE_RAPIDS
inline constexpr std::size_t kWeightsAhead = 6144;
#else
inline constexpr std::size_t kWeightsAhead = 1024;
#endif

}  // namespace kernels
}  // namespace MAMBA2_ISA
}  // namespace mamba2

MAMBA2_INTRINSICS_END
