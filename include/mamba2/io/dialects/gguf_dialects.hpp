// SPDX-License-Identifier: Apache-2.0
// All architectures of GGUF files that are known.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "mamba2/io/dialects/gguf.hpp"
#include "mamba2/io/dialects/gguf_falcon_h1.hpp"
#include "mamba2/io/dialects/gguf_granite.hpp"
#include "mamba2/io/dialects/gguf_lfm2.hpp"
#include "mamba2/io/dialects/gguf_mamba2.hpp"
#include "mamba2/io/dialects/gguf_nemotron_h.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

inline constexpr std::array<const GgufDialect*, 5> kGgufDialects = {
    &kGgufMamba2, &kGgufGranite, &kGgufNemotronH, &kGgufFalconH1, &kGgufLfm2};

/// The dialect of an architecture; nullptr if there is none.
[[nodiscard]] inline const GgufDialect* find_gguf_dialect(
    std::optional<std::string_view> architecture) {
  if (!architecture || architecture->empty()) return nullptr;
  for (const GgufDialect* dialect : kGgufDialects) {
    const auto& known = dialect->architectures;
    if (std::find(known.begin(), known.end(), *architecture) != known.end()) return dialect;
  }
  return nullptr;
}

}  // namespace detail

}  // namespace MAMBA2_ISA
}  // namespace mamba2
