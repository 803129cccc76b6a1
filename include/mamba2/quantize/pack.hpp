// SPDX-License-Identifier: Apache-2.0
// From a checkpoint to a packed file, for this CPU or another.
#pragma once

#include <filesystem>
#include <functional>
#include <string_view>

#include "mamba2/io/checkpoint.hpp"
#include "mamba2/io/printable.hpp"
#include "mamba2/model/load.hpp"
#include "mamba2/model/write_packed.hpp"
#include "mamba2/quantize/targets.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

struct PackOptions {
  std::string_view tokenizer_json = {};  ///< goes with the model; empty: none
  LoadOptions load = {};
  /// Asked between pieces of the file; false gives it up.
  std::function<bool()> go_on = {};
};

namespace detail {

[[nodiscard]] inline Result<void> write_packed(const Checkpoint& checkpoint, const Plan& plan,
                                               std::string_view layout,
                                               const std::filesystem::path& out,
                                               const PackOptions& options) {
  const auto weights = load_weights(checkpoint, plan, options.load);
  if (!weights) return weights.error();
  return write_packed_file(*weights, layout, out, options.tokenizer_json, options.go_on);
}

/// The plan of the policy of that name; nullptr if packed files have no such policy.
template <class Policies>
[[nodiscard]] const Plan* plan_to_pack(std::string_view policy) {
  for (const Plan* plan : {&kPlan<typename Policies::Int8>, &kPlan<typename Policies::Int4>,
                           &kPlan<typename Policies::Mixed>, &kPlan<BasicTernary<Policies>>}) {
    if (plan->name == policy) return plan;
  }
  return nullptr;
}

}  // namespace detail

/// Writes a packed file, of weights as the policy of that name has them ("int8", "int4", "mixed",
/// "ternary"), for a CPU or layout; see layout_of(). Takes as much memory as the weights. Errors:
/// invalid_argument, for names; those of load_weights() and AtomicFile; io (interrupted).
[[nodiscard]] inline Result<void> pack(const Checkpoint& checkpoint, std::string_view policy,
                                       std::string_view target, const std::filesystem::path& out,
                                       const PackOptions& options = {}) {
  using namespace layouts;
  const std::string_view layout = layout_of(target);
  const auto as = [&]<class Policies>(Policies) -> Result<void> {
    const Plan* plan = detail::plan_to_pack<Policies>(policy);
    if (plan != nullptr) return detail::write_packed(checkpoint, *plan, layout, out, options);
    return Error{ErrorCode::invalid_argument,
                 detail::concat("pack: policy must be int8, int4, mixed or ternary, found ",
                                detail::in_quotes(policy))};
  };
  if (layout == Native::name) return as(NativePolicies());
  if (layout == Neon::name || layout == X86::name) return as(PoliciesFor<Neon>());
  if (layout == Avx2::name) return as(PoliciesFor<Avx2>());
  if (layout == Avx512::name) return as(PoliciesFor<Avx512>());
  if (layout == Avx512Vnni::name) return as(PoliciesFor<Avx512Vnni>());
  return Error{ErrorCode::invalid_argument,
               detail::concat("pack: target must be a CPU such as cortex-a76, or one of neon, "
                              "x86_64, avx2, avx512, avx512_vnni, found ",
                              detail::in_quotes(target))};
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2
