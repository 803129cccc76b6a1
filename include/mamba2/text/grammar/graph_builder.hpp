// SPDX-License-Identifier: Apache-2.0
// The states of a grammar while it is made.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "mamba2/text/grammar/program.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// Makes states, one after the other; a state's edges come later and in any order. What is past
/// kMostStates is not made: full() then, and states that are asked for are the first one.
class GraphBuilder {
 public:
  using State = std::uint32_t;
  static constexpr std::size_t kMostStates = 200000;

  [[nodiscard]] State add(bool accepts = false) {
    if (states_.size() == kMostStates) {
      full_ = true;
      return 0;
    }
    states_.push_back({{}, GrammarState::kNone, GrammarState::kNone, accepts});
    return static_cast<State>(states_.size() - 1);
  }

  void connect(State from, unsigned low, unsigned high, State to) {
    states_[from].edges.push_back(
        {static_cast<std::uint8_t>(low), static_cast<std::uint8_t>(high), to});
  }
  void connect(State from, char byte, State to) {
    const auto value = static_cast<unsigned char>(byte);
    connect(from, value, value, to);
  }
  /// In a state without edges: the text of a node, then `after`.
  void call(State from, std::uint32_t node, State after) {
    states_[from].call = node;
    states_[from].after = after;
  }
  void accept(State state) { states_[state].accepts = true; }

  [[nodiscard]] std::size_t size() const noexcept { return states_.size(); }
  [[nodiscard]] bool full() const noexcept { return full_; }

  /// Moves all states to where they run.
  void finish(GrammarProgram& program) {
    program.states.reserve(states_.size());
    for (auto& state : states_) {
      std::ranges::sort(state.edges, {}, &GrammarEdge::low);
      program.states.push_back({static_cast<std::uint32_t>(program.edges.size()),
                                static_cast<std::uint32_t>(state.edges.size()), state.call,
                                state.after, state.accepts});
      program.edges.insert(program.edges.end(), state.edges.begin(), state.edges.end());
    }
    states_.clear();
  }

 private:
  struct Building {
    std::vector<GrammarEdge> edges;
    std::uint32_t call, after;
    bool accepts;
  };

  std::vector<Building> states_;
  bool full_ = false;
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
