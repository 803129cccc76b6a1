// SPDX-License-Identifier: Apache-2.0
// How many tokens it takes from every place of a grammar to the end of the text there.
#pragma once

#include <algorithm>
#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "mamba2/text/grammar/program.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// Fills in cost, frames and first of all nodes and states. The costs are those of texts that are
/// there: pieces between which a node begins or ends are counted by themselves, the fewest tokens
/// for each; a token that spans several pieces can make a text shorter yet.
class GrammarCosts {
 public:
  explicit GrammarCosts(GrammarProgram& program) : program_(program) {}

  /// False: nodes refer to each other too far for kMostPasses.
  [[nodiscard]] bool run() {
    const auto& tokens = *program_.tokens;
    if (tokens.single[','] && tokens.single[' ']) {
      program_.separator_cost = 2;
      tokens.trie.walk([](std::size_t depth,
                          unsigned byte) { return depth < 2 && byte == (depth == 0 ? ',' : ' '); },
                       [&](std::size_t depth, std::uint32_t) {
                         if (depth == 2) program_.separator_cost = 1;
                       });
    }
    find_steps();
    for (std::size_t pass = 0; pass < kMostPasses; ++pass) {
      changed_ = false;
      for (std::size_t i = program_.states.size(); i-- > 0;) update_state(i);
      for (std::size_t i = program_.nodes.size(); i-- > 0;) update_node(program_.nodes[i]);
      if (!changed_) return true;
    }
    return false;
  }

 private:
  static constexpr std::size_t kMostPasses = 1000;

  struct Way {
    std::uint32_t cost = kNeverEnds;
    std::uint32_t frames = 0;
    bool operator<(const Way& o) const {
      return cost != o.cost ? cost < o.cost : frames < o.frames;
    }
  };

  /// The states to which one token leads from each state. Few bytes lead on from most states, and
  /// many tokens begin: so those that begin with two bytes which lead on are looked up.
  void find_steps() {
    const ByteTrie& trie = program_.tokens->trie;
    std::array<std::uint32_t, 256> ones{};  // the nodes behind one byte and behind two, 0: none
    std::vector<std::uint32_t> twos(256 * 256);
    trie.for_each_child(0, [&](unsigned first, std::uint32_t node) {
      ones[first] = node;
      trie.for_each_child(
          node, [&](unsigned second, std::uint32_t below) { twos[first * 256 + second] = below; });
    });
    for (const GrammarState& state : program_.states) {
      first_step_.push_back(static_cast<std::uint32_t>(steps_.size()));
      for_each_byte(state, [&](unsigned first, std::uint32_t target) {
        if (ones[first] == 0) return;
        if (trie.value(ones[first]) != ByteTrie::kNone) steps_.push_back(target);
        for_each_byte(program_.states[target], [&](unsigned second, std::uint32_t after) {
          if (const std::uint32_t node = twos[first * 256 + second]; node != 0) {
            add_steps(node, 2, after);
          }
        });
      });
      const auto begin = steps_.begin() + first_step_.back();
      std::sort(begin, steps_.end());
      steps_.erase(std::unique(begin, steps_.end()), steps_.end());
    }
    first_step_.push_back(static_cast<std::uint32_t>(steps_.size()));
  }

  template <class Visit>
  void for_each_byte(const GrammarState& state, Visit&& visit) const {
    for (const GrammarEdge& edge : program_.edges_of(state)) {
      for (unsigned byte = edge.low; byte <= edge.high; ++byte) visit(byte, edge.target);
    }
  }

  /// Adds where the tokens lead that go through a node of the trie, to which `depth` bytes have
  /// led.
  void add_steps(std::uint32_t node, std::size_t depth, std::uint32_t state) {
    const ByteTrie& trie = program_.tokens->trie;
    std::array<std::uint32_t, ByteTrie::kMaxBytes + 1> at;
    at[depth] = state;
    if (trie.value(node) != ByteTrie::kNone) steps_.push_back(state);
    trie.walk_below(
        node, depth,
        [&](std::size_t read, unsigned byte) {
          at[read + 1] = program_.target(program_.states[at[read]], byte);
          return at[read + 1] != GrammarState::kNone;
        },
        [&](std::size_t read, std::uint32_t /*token*/) { steps_.push_back(at[read]); });
  }

  void update_state(std::size_t i) {
    GrammarState& state = program_.states[i];
    Way best;
    if (state.accepts) {
      best = {0, 0};
    } else if (state.call != GrammarState::kNone) {
      const GrammarNode& node = program_.nodes[state.call];
      const GrammarState& after = program_.states[state.after];
      best = {add_costs(node.cost, after.cost), std::max(node.frames, after.frames)};
    }
    for (std::uint32_t s = first_step_[i]; s < first_step_[i + 1]; ++s) {
      const GrammarState& to = program_.states[steps_[s]];
      best = std::min(best, Way{add_costs(to.cost, 1), to.frames});
    }
    set(state.cost, best.cost);
    set(state.frames, best.frames);
  }

  void update_node(GrammarNode& node) {
    Way best;
    std::bitset<256> first;
    const auto cost_of = [&](char c) -> std::uint32_t {
      return program_.tokens->single[static_cast<unsigned char>(c)] ? 1 : kNeverEnds;
    };
    switch (node.kind) {
      case GrammarNode::Kind::graph: {
        const GrammarState& start = program_.states[node.start];
        best = {start.cost, start.frames + 1};
        if (start.call != GrammarState::kNone) first = program_.nodes[start.call].first;
        for (const GrammarEdge& edge : program_.edges_of(start)) {
          for (unsigned byte = edge.low; byte <= edge.high; ++byte) first.set(byte);
        }
        break;
      }
      case GrammarNode::Kind::string:
        best = {add_costs(program_.tokens->quote_cost,
                          program_.string_cost(node, StringAt::boundary, 0)),
                1};
        first.set('"');
        break;
      case GrammarNode::Kind::array: {
        const GrammarNode& item = program_.nodes[node.start];
        const std::uint32_t inner =
            node.min == 0 ? 1 : add_costs(item.cost, program_.array_cost(node, 1));
        best = {add_costs(std::max(cost_of(node.open), cost_of(node.close)), inner),
                node.min == 0 ? 1 : item.frames + 1};
        first.set(static_cast<unsigned char>(node.open));
        break;
      }
      case GrammarNode::Kind::choice:
        for (std::uint32_t a = node.start; a < node.start + node.count; ++a) {
          const GrammarNode& alternative = program_.nodes[program_.alternatives[a]];
          best = std::min(best, Way{alternative.cost, alternative.frames});
          if (alternative.cost < kNeverEnds) first |= alternative.first;
        }
    }
    set(node.cost, best.cost);
    set(node.frames, best.cost < kNeverEnds ? best.frames : 0);
    if (node.first != first) changed_ = true;
    node.first = first;
  }

  void set(std::uint32_t& value, std::uint32_t to) {
    if (value != to) changed_ = true;
    value = to;
  }

  GrammarProgram& program_;
  std::vector<std::uint32_t> steps_;
  std::vector<std::uint32_t> first_step_;
  bool changed_ = false;
};

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
