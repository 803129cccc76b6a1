// SPDX-License-Identifier: Apache-2.0
// How far a text has come in one node of a grammar.
#pragma once

#include <cstdint>

#include "mamba2/core/platform.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// An open node, above the one in whose text it stands. Never changed once it is there, so that
/// many stacks share what is below.
struct GrammarFrame {
  std::uint32_t node = 0;
  std::uint32_t state = 0;   ///< of a graph; of a string, a StringAt; of an array, an ArrayAt
  std::uint32_t count = 0;   ///< characters of a string that have begun, items of an array
  std::uint32_t rest = 0;    ///< tokens to the end of the text once this node has ended
  std::uint32_t parent = 0;  ///< 0: none
  std::uint32_t depth = 1;
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
