// SPDX-License-Identifier: Apache-2.0
// All dialects that are known.
#pragma once

#include <span>

#include "mamba2/core/linkage.hpp"
#include "mamba2/core/platform.hpp"

#if MAMBA2_HAS_DEFINITIONS
#include <array>

#include "mamba2/io/dialects/bamba.hpp"
#include "mamba2/io/dialects/dialect.hpp"
#include "mamba2/io/dialects/falcon_h1.hpp"
#include "mamba2/io/dialects/granite.hpp"
#include "mamba2/io/dialects/lfm2.hpp"
#include "mamba2/io/dialects/mistral.hpp"
#include "mamba2/io/dialects/nemotron_h.hpp"
#include "mamba2/io/dialects/state_spaces.hpp"
#include "mamba2/io/dialects/transformers_mamba2.hpp"
#include "mamba2/io/dialects/zamba2.hpp"
#endif

namespace mamba2 {
inline namespace MAMBA2_ISA {

struct Dialect;

/// The dialects of this library. The first that says it is spoken counts: configs that were
/// converted may keep keys of the original beside those of transformers.
[[nodiscard]] std::span<const Dialect* const> known_dialects() noexcept;

#if MAMBA2_HAS_DEFINITIONS

namespace detail {

inline constexpr std::array<const Dialect*, 10> kDialects = {
    &kGranite, &kBamba,  &kNemotronH,   &kFalconH1, &kLfm2,
    &kLfm2Moe, &kZamba2, &kStateSpaces, &kMistral,  &kTransformersMamba2};

}  // namespace detail

MAMBA2_FUNCTION std::span<const Dialect* const> known_dialects() noexcept {
  return detail::kDialects;
}

#endif

}  // namespace MAMBA2_ISA
}  // namespace mamba2
