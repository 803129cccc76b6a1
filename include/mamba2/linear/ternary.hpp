// SPDX-License-Identifier: Apache-2.0
// Ternary: models whose checkpoints store -1, 0 and 1.
#pragma once

#include <cstddef>
#include <string_view>

#include "mamba2/formats/dtype.hpp"
#include "mamba2/linear/matrix.hpp"
#include "mamba2/linear/mixed.hpp"
#include "mamba2/linear/plan.hpp"
#include "mamba2/linear/ternary_rows.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// Matrices and the head as a checkpoint stores them, which must be in 2 bits or less: others would
/// be destroyed, and are refused. The embedding is as in Mixed, of which this is a part: but it is
/// known from the shape of a model alone how much memory it takes. Policies names the policies that
/// it is made of, as NativePolicies does.
template <class Policies>
struct BasicTernary {
  static constexpr std::string_view name = "ternary";
  using Head = typename Policies::TernaryRows;
  static constexpr std::size_t kRotation = kRotationAsStored;

  [[nodiscard]] static constexpr bool takes(Role role, DType stored) {
    return role == Role::embedding || is_ternary(stored);
  }
  [[nodiscard]] static constexpr const Format& planned_format(Role role, DType stored) {
    // No checkpoint is known where it is F32.
    if (role != Role::embedding && stored == DType::F32) return kFormat<Head>;
    return Policies::Mixed::format_for(stored);
  }
};

template <class Policies>
inline constexpr Plan kPlan<BasicTernary<Policies>> = {
    BasicTernary<Policies>::name, BasicTernary<Policies>::kRotation,
    &BasicTernary<Policies>::planned_format, Policies::Mixed::kFormats,
    &BasicTernary<Policies>::takes};

using Ternary = BasicTernary<NativePolicies>;

static_assert(WeightPolicy<Ternary>);

}  // namespace MAMBA2_ISA
}  // namespace mamba2
