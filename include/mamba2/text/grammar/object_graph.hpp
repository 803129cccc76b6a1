// SPDX-License-Identifier: Apache-2.0
// Objects whose properties come in a given order, some of which may be missing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "mamba2/text/grammar/graph_builder.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

struct GrammarProperty {
  std::string
      key;  ///< as it is written before the value: "name", quotation marks and ": " included
  std::uint32_t node;  ///< of the value
  bool required;
};

/// Makes states for {"a": 1, "c": 2}. Which property comes next is known once its key differs from
/// those that might have come instead; the rest of a key is one row of states, whatever was before.
class ObjectGraph {
 public:
  ObjectGraph(GraphBuilder& graph, const std::vector<GrammarProperty>& properties)
      : graph_(graph), properties_(properties), after_(properties.size() + 1) {}

  /// The state where the object begins.
  [[nodiscard]] GraphBuilder::State make() {
    const std::size_t count = properties_.size();
    end_ = graph_.add(true);
    for (State& state : after_) state = graph_.add();
    for (std::size_t i = 0; i < count; ++i) keys_.push_back(rest_of_key(i));
    const State start = graph_.add();
    const State opened = begin_keys(0);
    graph_.connect(start, '{', opened);
    if (may_close(0)) graph_.connect(opened, '}', end_);
    for (std::size_t i = 1; i <= count && !graph_.full(); ++i) {
      if (may_close(i)) graph_.connect(after_[i], '}', end_);
      if (i == count) break;
      const State comma = graph_.add();
      graph_.connect(after_[i], ',', comma);
      graph_.connect(comma, ' ', begin_keys(i));
    }
    return start;
  }

 private:
  using State = GraphBuilder::State;

  [[nodiscard]] bool may_close(std::size_t from) const {
    for (std::size_t i = from; i < properties_.size(); ++i) {
      if (properties_[i].required) return false;
    }
    return true;
  }

  /// The states of a key: at the place p of it the state [p]; behind it the value begins.
  [[nodiscard]] std::vector<State> rest_of_key(std::size_t i) {
    const std::string& key = properties_[i].key;
    std::vector<State> states;
    for (std::size_t p = 0; p <= key.size() && !graph_.full(); ++p) {
      states.push_back(graph_.add());
      if (p > 0) graph_.connect(states[p - 1], key[p - 1], states[p]);
    }
    if (!graph_.full()) graph_.call(states.back(), properties_[i].node, after_[i + 1]);
    return states;
  }

  /// The state where one of the keys from property i on begins, up to the first required one.
  [[nodiscard]] State begin_keys(std::size_t i) {
    std::vector<std::size_t> candidates;
    for (; i < properties_.size(); ++i) {
      candidates.push_back(i);
      if (properties_[i].required) break;
    }
    return choose(candidates, 0);
  }

  [[nodiscard]] State choose(const std::vector<std::size_t>& candidates, std::size_t at) {
    if (graph_.full()) return 0;
    // The first state of an object gets an edge to its end: it is not one of a row.
    if (candidates.size() == 1 && at > 0) return keys_[candidates[0]][at];
    const State state = graph_.add();
    std::vector<std::pair<char, std::vector<std::size_t>>> groups;
    for (const std::size_t i : candidates) {
      const char c = properties_[i].key[at];
      auto group = groups.begin();
      while (group != groups.end() && group->first != c) ++group;
      if (group == groups.end()) group = groups.insert(group, {c, {}});
      group->second.push_back(i);
    }
    for (const auto& [c, members] : groups) graph_.connect(state, c, choose(members, at + 1));
    return state;
  }

  GraphBuilder& graph_;
  const std::vector<GrammarProperty>& properties_;
  std::vector<State> after_;              // the value before property i
  std::vector<std::vector<State>> keys_;  // rest_of_key
  State end_ = 0;
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
