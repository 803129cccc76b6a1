// SPDX-License-Identifier: Apache-2.0
// Where a text stands in a grammar: which nodes are open, and how far each has come.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "mamba2/text/grammar/frame.hpp"
#include "mamba2/text/grammar/program.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// A stack is the number of its topmost frame; 0 is the end of the text. Frames are made one behind
/// the other in a room of fixed size: where it is full, a stack is dropped, never a rule broken.
class GrammarStacks {
 public:
  using Stack = std::uint32_t;
  static constexpr std::size_t kMostStacks = 64;
  static constexpr std::uint32_t kMostFrames = 64;
  static constexpr Stack kDead = 0xFFFFFFFFU;
  static constexpr std::uint32_t kBeforeString = 255;
  enum ArrayAt : std::uint32_t { kBeforeArray, kOpened, kAfterItem, kAfterComma };

  /// Those that a text may be in at the same time, where it may become one thing or another. Of
  /// more than kMostStacks the ones that end soonest are kept.
  struct Set {
    std::array<Stack, kMostStacks> stacks;
    std::size_t size = 0;

    [[nodiscard]] const Stack* begin() const { return stacks.data(); }
    [[nodiscard]] const Stack* end() const { return stacks.data() + size; }
  };

  explicit GrammarStacks(const GrammarProgram& program)
      : program_(&program), frames_(kRoom), moved_(kMostFrames * kMostStacks + 1) {}

  /// The stack at the beginning of a text, or kDead. Forgets all others.
  [[nodiscard]] Stack begin() {
    used_ = 1;
    return enter(0, 0, 0);
  }

  /// Adds to `out` where a byte leads.
  void step(Stack stack, unsigned byte, Set& out);

  /// Tokens to the end of the text, at most.
  [[nodiscard]] std::uint32_t cost(Stack stack) const;
  /// Whether the text may end here.
  [[nodiscard]] bool may_end(Stack stack) const;

  [[nodiscard]] const GrammarFrame& frame(Stack stack) const { return frames_[stack]; }
  /// Below the topmost frame, whose node has ended.
  [[nodiscard]] Stack below(Stack stack) const { return ended(frames_[stack].parent); }

  /// Frames made after mark() are forgotten by release().
  [[nodiscard]] std::uint32_t mark() const noexcept { return used_; }
  void release(std::uint32_t mark) noexcept { used_ = mark; }
  /// Forgets all frames but those of the stacks in `live`, which get other numbers.
  void keep(Set& live);

  [[nodiscard]] std::size_t memory() const noexcept {
    return (frames_.capacity() + moved_.capacity()) * sizeof(GrammarFrame);
  }

 private:
  /// For what is open, and what one token can add: many frames for each of its bytes.
  static constexpr std::size_t kRoom = kMostFrames * kMostStacks + 128 * (ByteTrie::kMaxBytes + 1);

  [[nodiscard]] Stack push(const GrammarFrame& frame) {
    if (used_ == kRoom) return kDead;
    frames_[used_] = frame;
    return used_++;
  }
  [[nodiscard]] Stack enter(std::uint32_t node, Stack parent, std::uint32_t rest);
  [[nodiscard]] Stack arrive(GrammarFrame frame);
  [[nodiscard]] Stack enter_item(GrammarFrame array);
  [[nodiscard]] Stack ended(Stack stack) const;
  [[nodiscard]] bool accepts(const GrammarFrame& frame) const {
    return program_->nodes[frame.node].kind == GrammarNode::Kind::graph &&
           program_->states[frame.state].accepts;
  }
  void step_string(GrammarFrame frame, unsigned byte, Set& out);
  void step_array(const GrammarFrame& frame, unsigned byte, Set& out);
  void step_choice(const GrammarFrame& frame, unsigned byte, Set& out);
  [[nodiscard]] bool same(Stack a, Stack b) const;
  void add(Stack stack, Set& out) const;

  const GrammarProgram* program_;
  std::vector<GrammarFrame> frames_;
  std::vector<GrammarFrame> moved_;
  std::uint32_t used_ = 1;
};

/// The stack with a node on it, which begins.
inline GrammarStacks::Stack GrammarStacks::enter(std::uint32_t node, Stack parent,
                                                 std::uint32_t rest) {
  const GrammarNode& n = program_->nodes[node];
  const std::uint32_t below = parent == 0 ? 0 : frames_[parent].depth;
  if (n.cost >= kNeverEnds || below + n.frames > kMostFrames) return kDead;
  GrammarFrame frame = {node, kBeforeArray, 0, rest, parent, below + 1};
  if (n.kind == GrammarNode::Kind::string) frame.state = kBeforeString;
  if (n.kind != GrammarNode::Kind::graph) return push(frame);
  frame.state = n.start;
  return arrive(frame);
}

/// The stack with a graph's frame on it that has come to a state: where a node stands, that begins.
inline GrammarStacks::Stack GrammarStacks::arrive(GrammarFrame frame) {
  const GrammarState& state = program_->states[frame.state];
  if (state.cost >= kNeverEnds || frame.depth + state.frames > kMostFrames) return kDead;
  if (state.call == GrammarState::kNone) {
    if (state.accepts && state.edges == 0) return ended(frame.parent);
    return push(frame);
  }
  frame.state = state.after;
  const Stack here = push(frame);
  if (here == kDead) return kDead;
  return enter(state.call, here, add_costs(program_->states[state.after].cost, frame.rest));
}

/// The stack on which the next item of an array begins.
inline GrammarStacks::Stack GrammarStacks::enter_item(GrammarFrame array) {
  const GrammarNode& n = program_->nodes[array.node];
  array.state = kAfterItem;
  ++array.count;
  const Stack here = push(array);
  if (here == kDead) return kDead;
  return enter(n.start, here, add_costs(program_->array_cost(n, array.count), array.rest));
}

/// Without the frames on top that have nothing more to say.
inline GrammarStacks::Stack GrammarStacks::ended(Stack stack) const {
  while (stack != 0 && accepts(frames_[stack]) &&
         program_->states[frames_[stack].state].edges == 0) {
    stack = frames_[stack].parent;
  }
  return stack;
}

inline void GrammarStacks::step(Stack stack, unsigned byte, Set& out) {
  while (stack != 0) {
    GrammarFrame frame = frames_[stack];
    switch (program_->nodes[frame.node].kind) {
      case GrammarNode::Kind::string:
        return step_string(frame, byte, out);
      case GrammarNode::Kind::array:
        return step_array(frame, byte, out);
      case GrammarNode::Kind::choice:
        return step_choice(frame, byte, out);
      case GrammarNode::Kind::graph:
        break;
    }
    const GrammarState& state = program_->states[frame.state];
    const std::uint32_t target = program_->target(state, byte);
    if (target != GrammarState::kNone) {
      frame.state = target;
      return add(arrive(frame), out);
    }
    if (!state.accepts) return;
    stack = ended(frame.parent);  // a number, say, ends where something else begins
  }
}

inline void GrammarStacks::step_string(GrammarFrame frame, unsigned byte, Set& out) {
  const GrammarNode& n = program_->nodes[frame.node];
  if (frame.state == kBeforeString) {
    if (byte != '"') return;
    frame.state = static_cast<std::uint32_t>(StringAt::boundary);
    return add(push(frame), out);
  }
  const StringStep step = string_step(static_cast<StringAt>(frame.state), byte);
  if (step.kind == StringStep::Kind::wrong) return;
  if (step.kind == StringStep::Kind::closes) {
    if (frame.count >= n.min) add(ended(frame.parent), out);
    return;
  }
  if (step.begins && frame.count++ >= n.max) return;
  frame.state = static_cast<std::uint32_t>(step.next);
  add(push(frame), out);
}

inline void GrammarStacks::step_array(const GrammarFrame& frame, unsigned byte, Set& out) {
  const GrammarNode& n = program_->nodes[frame.node];
  GrammarFrame next = frame;
  const bool closes = byte == static_cast<unsigned char>(n.close) && frame.count >= n.min;
  switch (frame.state) {
    case kBeforeArray:
      next.state = kOpened;
      if (byte == static_cast<unsigned char>(n.open)) add(push(next), out);
      return;
    case kOpened:
      if (closes) return add(ended(frame.parent), out);
      if (n.max == 0 || !program_->nodes[n.start].first[byte]) return;
      if (const Stack item = enter_item(frame); item != kDead) step(item, byte, out);
      return;
    case kAfterItem:
      if (closes) return add(ended(frame.parent), out);
      next.state = kAfterComma;
      if (byte == ',' && frame.count < n.max) add(push(next), out);
      return;
    default:
      if (byte == ' ') add(enter_item(frame), out);
  }
}

inline void GrammarStacks::step_choice(const GrammarFrame& frame, unsigned byte, Set& out) {
  const GrammarNode& n = program_->nodes[frame.node];
  for (std::uint32_t i = 0; i < n.count; ++i) {
    const std::uint32_t alternative = program_->alternatives[n.start + i];
    if (!program_->nodes[alternative].first[byte]) continue;
    const Stack begun = enter(alternative, frame.parent, frame.rest);
    if (begun != kDead) step(begun, byte, out);
  }
}

inline std::uint32_t GrammarStacks::cost(Stack stack) const {
  if (stack == 0) return 0;
  const GrammarFrame& f = frames_[stack];
  const GrammarNode& n = program_->nodes[f.node];
  switch (n.kind) {
    case GrammarNode::Kind::graph:
      return add_costs(program_->states[f.state].cost, f.rest);
    case GrammarNode::Kind::string:
      if (f.state == kBeforeString) return add_costs(n.cost, f.rest);
      return add_costs(program_->string_cost(n, static_cast<StringAt>(f.state), f.count), f.rest);
    case GrammarNode::Kind::choice:
      return add_costs(n.cost, f.rest);
    case GrammarNode::Kind::array:
      break;
  }
  if (f.state == kBeforeArray) return add_costs(n.cost, f.rest);
  if (f.state == kOpened) return add_costs(n.cost - 1, f.rest);
  if (f.state == kAfterItem) return add_costs(program_->array_cost(n, f.count), f.rest);
  return add_costs(std::uint64_t{program_->nodes[n.start].cost} + 1,
                   std::uint64_t{program_->array_cost(n, f.count + 1)} + f.rest);
}

inline bool GrammarStacks::may_end(Stack stack) const {
  while (stack != 0 && accepts(frames_[stack])) stack = frames_[stack].parent;
  return stack == 0;
}

inline bool GrammarStacks::same(Stack a, Stack b) const {
  while (a != b) {
    if (a == 0 || b == 0) return false;
    const GrammarFrame& x = frames_[a];
    const GrammarFrame& y = frames_[b];
    if (x.node != y.node || x.state != y.state || x.count != y.count) return false;
    a = x.parent;
    b = y.parent;
  }
  return true;
}

inline void GrammarStacks::add(Stack stack, Set& out) const {
  if (stack == kDead) return;
  for (const Stack other : out) {
    if (same(stack, other)) return;
  }
  if (out.size < kMostStacks) {
    out.stacks[out.size++] = stack;
    return;
  }
  const auto latest = std::ranges::max_element(out.stacks, {}, [&](Stack s) { return cost(s); });
  if (cost(stack) < cost(*latest)) *latest = stack;
}

inline void GrammarStacks::keep(Set& live) {
  std::uint32_t used = 1;
  for (std::size_t i = 0; i < live.size; ++i) {
    Stack& top = live.stacks[i];
    if (top == 0) continue;
    const std::uint32_t depth = frames_[top].depth;
    Stack from = top;
    for (std::uint32_t d = depth; d > 0; --d) {
      GrammarFrame& to = moved_[used + d - 1];
      to = frames_[from];
      from = to.parent;
      to.parent = d > 1 ? used + d - 2 : 0;
    }
    used += depth;
    top = used - 1;
  }
  std::copy_n(moved_.begin(), used, frames_.begin());
  used_ = used;
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
