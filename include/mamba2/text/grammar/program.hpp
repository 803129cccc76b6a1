// SPDX-License-Identifier: Apache-2.0
// A grammar as it runs: nodes, each a kind of text, that call each other.
#pragma once

#include <algorithm>
#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "mamba2/text/grammar/token_table.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// Where one of some bytes leads.
struct GrammarEdge {
  std::uint8_t low, high;
  std::uint32_t target;
};

/// A state of a graph: bytes lead from it, or a node stands there and `after` follows its text.
struct GrammarState {
  static constexpr std::uint32_t kNone = 0xFFFFFFFFU;

  std::uint32_t first_edge = 0;
  std::uint32_t edges = 0;
  std::uint32_t call = kNone;
  std::uint32_t after = kNone;
  bool accepts = false;             ///< whether the node's text may end here
  std::uint32_t cost = kNeverEnds;  ///< tokens to the end of the node's text; see costs.hpp
  std::uint32_t frames = 0;         ///< and the frames that this takes above the node's own
};

struct GrammarNode {
  enum class Kind : std::uint8_t {
    graph,   ///< states from `start` on
    string,  ///< a JSON string of min..max characters
    array,   ///< open, min..max texts of the node `start` with ", " between them, close
    choice,  ///< one of the `count` nodes from alternatives[start] on, none of them a choice
  };

  Kind kind = Kind::graph;
  char open = '[';
  char close = ']';
  std::uint32_t start = 0;
  std::uint32_t count = 0;  ///< of alternatives, or of states
  std::uint32_t min = 0;
  std::uint32_t max = 0;
  std::uint32_t cost = kNeverEnds;  ///< tokens of the shortest text, at most
  std::uint32_t frames = 0;         ///< that it takes, its own included
  std::bitset<256> first = {};      ///< the bytes with which a text begins
};

struct GrammarProgram {
  std::shared_ptr<const TokenTable> tokens;
  std::vector<GrammarNode> nodes;  ///< the text as a whole is nodes[0]
  std::vector<GrammarState> states;
  std::vector<GrammarEdge> edges;  ///< of each state, by byte
  std::vector<std::uint32_t> alternatives;
  std::uint32_t separator_cost = kNeverEnds;  ///< tokens of ", "

  [[nodiscard]] std::span<const GrammarEdge> edges_of(const GrammarState& state) const {
    return std::span(edges).subspan(state.first_edge, state.edges);
  }

  /// The state after a byte, kNone if there is none.
  [[nodiscard]] std::uint32_t target(const GrammarState& state, unsigned byte) const {
    const auto list = edges_of(state);
    const auto at = std::ranges::lower_bound(
        list, byte, {}, [](const GrammarEdge& e) -> unsigned { return e.high; });
    return at != list.end() && at->low <= byte ? at->target : GrammarState::kNone;
  }

  /// Tokens to the end of a string, its end included, where so many characters have begun.
  [[nodiscard]] std::uint32_t string_cost(const GrammarNode& node, StringAt at,
                                          std::uint32_t characters) const {
    const std::uint64_t missing = node.min > characters ? node.min - characters : 0;
    return add_costs(
        missing * tokens->character_cost,
        std::uint64_t{tokens->completion[static_cast<std::size_t>(at)]} + tokens->quote_cost);
  }

  /// Tokens to the end of an array that has so many items, the last one complete.
  [[nodiscard]] std::uint32_t array_cost(const GrammarNode& node, std::uint32_t items) const {
    const std::uint64_t missing = node.min > items ? node.min - items : 0;
    return add_costs(missing * (std::uint64_t{separator_cost} + nodes[node.start].cost), 1);
  }

  [[nodiscard]] std::size_t memory() const noexcept {
    return sizeof *this + nodes.capacity() * sizeof nodes[0] +
           states.capacity() * sizeof states[0] + edges.capacity() * sizeof edges[0] +
           alternatives.capacity() * sizeof alternatives[0];
  }
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
