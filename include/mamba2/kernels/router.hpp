// SPDX-License-Identifier: Apache-2.0
// Which experts a token goes to, and how much each counts. FP32 throughout.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "mamba2/kernels/activations.hpp"
#include "mamba2/kernels/simd.hpp"

MAMBA2_INTRINSICS_BEGIN

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace kernels {

/// 1 / (1 + e^-v) to 4 units in the last place.
[[nodiscard]] inline Floats sigmoid(const Floats& v) {
  const Floats e = exp(-xsimd::abs(v));  // never overflows
  return divide(xsimd::select(v < Floats(0.0F), e, Floats(1.0F)), Floats(1.0F) + e);
}

/// How experts are chosen; MoeConfig says what the members mean.
struct Router {
  std::size_t experts;
  std::size_t chosen;  ///< of them, for a token
  std::size_t groups;
  std::size_t groups_left;
  bool sigmoid;
  bool normalized;
  float eps;
  float factor;
  const float* bias;  ///< (experts), for the choice alone; nullptr: none
};

/// What choose() needs besides: so many floats.
[[nodiscard]] constexpr std::size_t router_room(const Router& r) { return r.experts + r.groups; }

/// The first of the largest of n values, which becomes a NaN, as those have that were taken before;
/// n if all are NaNs.
[[nodiscard]] inline std::size_t take_largest(float* values, std::size_t n) noexcept {
  std::size_t best = n;
  for (std::size_t i = 0; i < n; ++i) {
    if (best == n ? values[i] == values[i] : values[i] > values[best]) best = i;
  }
  if (best < n) values[best] = std::numeric_limits<float>::quiet_NaN();
  return best;
}

/// What cannot be chosen becomes -inf: all but the groups whose two largest values add up to most.
inline void keep_best_groups(const Router& r, float* values, float* group_scores) noexcept {
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  const std::size_t size = r.experts / r.groups;
  for (std::size_t g = 0; g < r.groups; ++g) {
    float first = kNone;
    float second = kNone;
    for (std::size_t i = g * size; i < (g + 1) * size; ++i) {
      if (values[i] > first) {
        second = first;
        first = values[i];
      } else if (values[i] > second) {
        second = values[i];
      }
    }
    group_scores[g] = first + second;
  }
  for (std::size_t i = 0; i < r.groups_left; ++i) (void)take_largest(group_scores, r.groups);
  for (std::size_t g = 0; g < r.groups; ++g) {
    if (group_scores[g] == group_scores[g]) std::fill_n(values + g * size, size, kNone);
  }
}

/// The numbers of the largest values in ascending order; of equal ones the first counts. NaNs come
/// last.
inline void take_largest(float* values, std::size_t n, std::size_t count,
                         std::uint32_t* numbers) noexcept {
  for (std::size_t j = 0; j < count; ++j) {
    std::size_t best = take_largest(values, n);
    if (best == n) {  // nothing but NaNs: any will do
      best = 0;
      while (std::find(numbers, numbers + j, best) != numbers + j) ++best;
    }
    std::size_t at = j;
    for (; at > 0 && numbers[at - 1] > best; --at) numbers[at] = numbers[at - 1];
    numbers[at] = static_cast<std::uint32_t>(best);
  }
}

/// Softmax of n values.
inline void softmax(float* x, std::size_t n) noexcept {
  const float most = *std::max_element(x, x + n);
  for_each_vector(n, [&](std::size_t i, auto lanes) {
    lanes.store(exp(lanes.load(x + i) - Floats(most)), x + i);
  });
  float total = 0.0F;
  for (std::size_t i = 0; i < n; ++i) total += x[i];
  for (std::size_t i = 0; i < n; ++i) x[i] /= total;
}

/// Chooses the experts of a token by its scores (experts), which are changed: chosen (r.chosen) are
/// their numbers in ascending order, weights (r.chosen) what each counts. room: router_room(r).
[[gnu::flatten]] inline void choose(const Router& r, float* scores, float* room,
                                    std::uint32_t* chosen, float* weights) noexcept {
  if (r.sigmoid) {
    for_each_vector(r.experts, [&](std::size_t i, auto lanes) {
      lanes.store(sigmoid(lanes.load(scores + i)), scores + i);
    });
  }
  std::copy_n(scores, r.experts, room);
  for (std::size_t i = 0; r.bias != nullptr && i < r.experts; ++i) room[i] += r.bias[i];
  if (r.groups > 1) keep_best_groups(r, room, room + r.experts);
  take_largest(room, r.experts, r.chosen, chosen);
  float total = 0.0F;
  for (std::size_t j = 0; j < r.chosen; ++j) {
    weights[j] = scores[chosen[j]];
    total += weights[j];
  }
  if (!r.sigmoid) softmax(weights, r.chosen);
  if (r.sigmoid && r.normalized) {
    for (std::size_t j = 0; j < r.chosen; ++j) weights[j] /= total + r.eps;
  }
  for (std::size_t j = 0; j < r.chosen; ++j) weights[j] *= r.factor;
}

}  // namespace kernels
}  // namespace MAMBA2_ISA
}  // namespace mamba2

MAMBA2_INTRINSICS_END
