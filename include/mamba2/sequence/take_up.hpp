// SPDX-License-Identifier: Apache-2.0
// A sequence that was saved becomes a State again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "mamba2/core/linkage.hpp"
#include "mamba2/layers/state.hpp"
#include "mamba2/layers/weights.hpp"

#if MAMBA2_HAS_DEFINITIONS
#include <algorithm>
#include <cstring>

#include "mamba2/layers/mamba2_scan.hpp"
#endif

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// The state becomes that of `tokens` tokens whose ssm had the first `base`. parts: those of
/// State::for_parts(), of the right sizes. Chunks that this state has no room for, because less of
/// it can be taken back, go into its ssm.
void take_up(const Weights& weights, State& state, std::uint64_t tokens, std::uint64_t base,
             std::span<const std::byte> parts) noexcept;

#if MAMBA2_HAS_DEFINITIONS

/// The recurrence of the index'th of the Mamba-2 layers.
[[nodiscard]] inline const kernels::Ssm& ssm_of(const Weights& weights,
                                                std::size_t index) noexcept {
  const auto mixer = [&](const Weights::Step& step) {
    return mamba2_of(weights.layers[step.layer].mixer);
  };
  const auto step = std::ranges::find_if(weights.steps, [&](const Weights::Step& s) {
    return s.index == index && mixer(s) != nullptr;
  });
  return mixer(*step)->ssm;
}

MAMBA2_FUNCTION void take_up(const Weights& weights, State& state, std::uint64_t tokens,
                             std::uint64_t base, std::span<const std::byte> parts) noexcept {
  const StateLayout& layout = state.layout();
  state.resume(tokens, layout.least_base(tokens, base));
  layout.for_parts(
      tokens, base,
      [&](std::size_t offset, std::size_t bytes) {
        if (bytes > 0) std::memcpy(state.memory() + offset, parts.data(), bytes);
        parts = parts.subspan(bytes);
      },
      [&](std::size_t index, std::uint64_t number, std::size_t rows) {
        if ((number + 1) * kernels::kChunk > state.base()) return;
        Mamba2Scan::take_up(ssm_of(weights, index), state, index, number, rows);
      });
  state.resumed();
}

#endif

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
