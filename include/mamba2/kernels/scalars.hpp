// SPDX-License-Identifier: Apache-2.0
// Numbers that each multiply a register, as the elements of a token do with columns of weights.
#pragma once

#include <cstddef>

#include "mamba2/kernels/simd.hpp"
#include "mamba2/kernels/unroll.hpp"

MAMBA2_INTRINSICS_BEGIN

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels {

/// So many numbers are best taken at a time. On ARM a multiplication takes any lane of a register,
/// and a load for each number would keep the load pipes busier than the weights do; on x86 it takes
/// a load to spread a number over a register.
#if defined(__aarch64__)
inline constexpr std::size_t kScalars = 4;
#else
inline constexpr std::size_t kScalars = 1;
#endif

/// The numbers [first, first + kCount) of an array.
template <std::size_t kCount>
class Scalars {
 public:
  Scalars() = default;
  MAMBA2_INLINE Scalars(const float* all, std::size_t first) : all_(all), first_(first) {}

  /// Number kIndex of these, as multiply_add() takes it.
  template <std::size_t kIndex>
  [[nodiscard]] MAMBA2_INLINE Floats get() const {
    return Floats(all_[first_ + kIndex]);
  }

 private:
  const float* all_;
  std::size_t first_;
};

#if defined(__aarch64__)
/// One of the lanes of a register.
template <int kLane>
struct Lane {
  float32x4_t lanes;
};
template <int kLane>
[[nodiscard]] MAMBA2_INLINE inline Floats multiply_add(const Floats& a, const Lane<kLane>& b,
                                                       const Floats& c) {
  return vfmaq_laneq_f32(c, a, b.lanes, kLane);
}

template <std::size_t kCount>
requires(kCount % kScalars == 0) class Scalars<kCount> {
 public:
  Scalars() = default;
  MAMBA2_INLINE Scalars(const float* all, std::size_t first) {
    unroll<kCount / 4>([&](auto i) MAMBA2_INLINE { fours_[i] = vld1q_f32(all + first + 4 * i); });
  }

  template <std::size_t kIndex>
  [[nodiscard]] MAMBA2_INLINE Lane<kIndex % 4> get() const {
    return {fours_[kIndex / 4]};
  }

 private:
  float32x4_t fours_[kCount / 4];
};
#endif

/// Has what is loaded from `from` on wait for sums that fill most of the registers. On ARM GCC
/// would load more than the other registers hold, and copy sums to make room: it does not know that
/// nothing happens here.
template <std::size_t kBands, std::size_t kTokens>
MAMBA2_INLINE inline void finish([[maybe_unused]] Floats (&sums)[kBands][kTokens],
                                 [[maybe_unused]] std::size_t& from) {
#if defined(__aarch64__)
  unroll<kTokens, kBands>([&](auto t, auto b) MAMBA2_INLINE {
    float32x4_t sum = sums[b][t];
    asm("" : "+w"(sum), "+r"(from));
    sums[b][t] = sum;
  });
#endif
}

}  // namespace kernels
}  // namespace MAMBA2_ISA
}  // namespace mamba2

MAMBA2_INTRINSICS_END
