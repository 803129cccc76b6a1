// SPDX-License-Identifier: Apache-2.0
// From a checkpoint to a packed file, for this CPU or another.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/hash.hpp"
#include "mamba2/io/atomic_file.hpp"
#include "mamba2/io/checkpoint.hpp"
#include "mamba2/io/packed_file.hpp"
#include "mamba2/io/printable.hpp"
#include "mamba2/model/load.hpp"
#include "mamba2/model/packed.hpp"
#include "mamba2/quantize/targets.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

struct PackOptions {
  std::string_view tokenizer_json = {};  ///< goes with the model; empty: none
  LoadOptions load = {};
  /// Asked between pieces of the file; false gives it up.
  std::function<bool()> go_on = {};
};

/// The parts of a packed file, which follow each other.
struct PackedParts {
  std::vector<std::byte> header;
  std::span<const std::byte> weights;
  std::span<const std::byte> tokenizer;
};

/// The packed file of weights that are in memory in this layout; they and the options must outlive
/// it.
[[nodiscard]] inline PackedParts packed_parts(const Weights& weights, std::string_view layout,
                                              const PackOptions& options = {}) {
  const std::span<const std::byte> bytes(weights.arena.data(), weights.arena.size());
  const auto tokenizer = std::as_bytes(std::span(options.tokenizer_json));
  PackedHeader header;
  header.layout = layout;
  header.policy = weights.plan->name;
  header.config = weights.config;
  header.fingerprint = weights.fingerprint;
  detail::for_each_packed_matrix(weights, [&](const Matrix& m) {
    header.formats.push_back(detail::packed_format(*weights.plan, m));
  });
  all_matrices(weights, [&](const Slot& slot, const Matrix& m) {
    if (slot.may_rotate) header.rotations.push_back(static_cast<std::uint32_t>(m.rotation));
  });
  header.weights_bytes = bytes.size();
  header.weights_hash = Hash::of(bytes);
  header.tokenizer_bytes = tokenizer.size();
  header.tokenizer_hash = Hash::of(tokenizer);
  return {packed_header_bytes(header), bytes, tokenizer};
}

namespace detail {

[[nodiscard]] inline Result<void> write_packed(const Checkpoint& checkpoint, const Plan& plan,
                                               std::string_view layout,
                                               const std::filesystem::path& out,
                                               const PackOptions& options) {
  const auto weights = load_weights(checkpoint, plan, options.load);
  if (!weights) return weights.error();
  auto file = AtomicFile::create(out);
  if (!file) return file.error();
  const PackedParts parts = packed_parts(*weights, layout, options);
  for (auto part : {std::span<const std::byte>(parts.header), parts.weights, parts.tokenizer}) {
    while (!part.empty()) {
      if (options.go_on && !options.go_on()) return Error{ErrorCode::io, "interrupted"};
      const auto piece = part.first(std::min(part.size(), std::size_t{1} << 24));
      if (auto written = file->write(piece); !written) return written;
      part = part.subspan(piece.size());
    }
  }
  return file->commit();
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
