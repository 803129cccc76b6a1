// SPDX-License-Identifier: Apache-2.0
// One Mamba-2 block: Mamba-2, arXiv 2405.21060.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "mamba2/core/executor.hpp"
#include "mamba2/kernels/conv1d.hpp"
#include "mamba2/kernels/hadamard.hpp"
#include "mamba2/kernels/rms_norm.hpp"
#include "mamba2/kernels/scan.hpp"
#include "mamba2/kernels/ssd.hpp"
#include "mamba2/layers/activations.hpp"
#include "mamba2/layers/config.hpp"
#include "mamba2/layers/state.hpp"
#include "mamba2/layers/weights.hpp"
#include "mamba2/linear/product.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// Consecutive tokens of one sequence, in a batch: its rows [first, first + count).
struct Part {
  State* state;
  std::size_t first;
  std::size_t count;
};

/// A block at work on a batch of tokens: parts of one sequence or of several, which follow each
/// other and cover the batch. Each is computed as if it were alone, to the bit. All threads meet at
/// the end of every executor.run() with more than one task: 3 times a block for a few tokens, after
/// in_proj, scan and out_proj; 6 times for many, after the norms and the products of chunks as
/// well.
template <WeightPolicy WeightT>
class Block {
 public:
  Block(const Config& config, const BlockWeights<WeightT>& weights, const Activations& activations,
        std::span<const Part> parts, Executor& executor)
      : c_(config), w_(weights), a_(activations), parts_(parts), executor_(executor) {}

  /// residual += mixer(rms_norm(residual)). The states hold the layer's state before the first
  /// token of their part, and after the last.
  void forward(std::size_t layer) const {
    each_token([&](std::size_t t) {
      kernels::rms_norm(a_.residual[t], w_.norm, c_.d_model, c_.norm_eps, a_.u[t]);
      prepare(w_.in_proj, a_.u[t], t);
    });
    mix(layer, [&](std::size_t first, std::size_t count) {
      for (std::size_t t = 0; t < a_.tokens(); ++t) {
        kernels::add(a_.u[t] + first, count, a_.residual[t] + first);
      }
    });
  }

  /// u = mixer(u).
  void mixer(std::size_t layer) const {
    each_token([&](std::size_t t) { prepare(w_.in_proj, a_.u[t], t); });
    mix(layer, kNothing);
  }

 private:
  /// u = mixer(what has been prepared); then(first, count) for its columns [first, first + count)
  /// as soon as all tokens have them.
  template <class Then>
  void mix(std::size_t layer, Then then) const {
    const MutableRows BC = a_.xBC.columns(c_.d_ssm, c_.conv_dim() - c_.d_ssm);
    multiply(executor_, w_.in_proj, parts_, a_.inputs(), a_.zxbcdt,
             [&](std::size_t first, std::size_t count) {
               add_bias(w_.in_proj_bias, a_.zxbcdt.columns(first, count), first);
               overlap(BC, first, count, [&](std::size_t channel, std::size_t channels) {
                 for (const Part& part : parts_) {
                   convolve(part, c_.d_ssm + channel, channels, layer);
                 }
               });
               overlap(a_.dt, first, count, [&](std::size_t head, std::size_t heads) {
                 kernels::step_sizes(ssm(), head, a_.dt.columns(head, heads));
               });
             });
    multiply_chunks();
    executor_.run(parts_.size() * c_.nheads(), [&](std::size_t task) {
      scan_and_gate(parts_[task / c_.nheads()], task % c_.nheads(), layer);
    });
    each_token([&](std::size_t t) {
      if (c_.d_mlp() > 0) kernels::gate(a_.x0[t], a_.z0[t], c_.d_mlp(), a_.x0[t]);
      kernels::gated_norm(gated_norm(), a_.squares[t], a_.x[t], a_.z[t]);
      if (w_.rotation > 1) kernels::hadamard(a_.gated[t], c_.d_inner, w_.rotation);
      prepare(w_.out_proj, a_.gated[t], t);
    });
    multiply(executor_, w_.out_proj, parts_, a_.inputs(), a_.u,
             [&](std::size_t first, std::size_t count) {
               add_bias(w_.out_proj_bias, a_.u.columns(first, count), first);
               then(first, count);
             });
  }

  /// Calls body(t) for every token; for one token alone in this thread.
  template <class Body>
  void each_token(Body body) const {
    constexpr std::size_t kTokens = 4;  // to a task
    const std::size_t tokens = a_.tokens();
    executor_.run((tokens + kTokens - 1) / kTokens, [&](std::size_t task) {
      const std::size_t end = std::min(tokens, (task + 1) * kTokens);
      for (std::size_t t = task * kTokens; t < end; ++t) body(t);
    });
  }

  void prepare(const Matrix<WeightT>& m, const float* x, std::size_t token) const {
    m.prepare(x, a_.input + token * a_.input_bytes);
  }

  /// y += bias, for y's columns from the first'th row of the matrix on.
  static void add_bias(const float* bias, MutableRows y, std::size_t first) {
    if (bias == nullptr) return;
    for (std::size_t t = 0; t < y.rows; ++t) kernels::add(bias + first, y.cols, y[t]);
  }

  /// Calls body(i, count) if the rows [first, first + count) of in_proj overlap the columns `part`
  /// of zxbcdt: at its columns [i, i + count).
  template <class Body>
  void overlap(MutableRows part, std::size_t first, std::size_t count, Body body) const {
    const auto begin = static_cast<std::size_t>(part.data - a_.zxbcdt.data);
    const std::size_t from = std::max(begin, first);
    const std::size_t to = std::min(begin + part.cols, first + count);
    if (from < to) body(from - begin, to - from);
  }

  /// The convolution of the channels [first, first + count) of a part's xBC.
  void convolve(const Part& part, std::size_t first, std::size_t count, std::size_t layer) const {
    const MutableRows xBC = a_.xBC.middle(part.first, part.count);
    kernels::causal_conv1d(conv(), first, xBC.columns(first, count), part.state->conv(layer));
  }

  /// What the heads share where parts are scanned in chunks.
  void multiply_chunks() const {
    const auto chunked = [&](const Part& part) { return kernels::chunks_pay(ssm(), part.count); };
    if (std::ranges::none_of(parts_, chunked)) return;
    constexpr std::size_t kTokens = 16;  // to a task
    const std::size_t pieces = (a_.tokens() + kTokens - 1) / kTokens;
    executor_.run(pieces * c_.ngroups, [&](std::size_t task) {
      const std::size_t begin = task / c_.ngroups * kTokens;
      for (const Part& part : parts_) {
        const std::size_t from = std::max(begin, part.first);
        const std::size_t to = std::min(begin + kTokens, part.first + part.count);
        if (from >= to || !chunked(part)) continue;
        kernels::chunk_products(ssm(), rows(part), task % c_.ngroups, from - part.first,
                                to - part.first, a_.CB.middle(part.first, part.count));
      }
    });
  }

  /// The convolution of x, the recurrence and the gate of one head, whose state stays in the cache
  /// of one core. (x could be convolved as soon as in_proj has it, like B and C, which all heads
  /// need. But the stream of weights would pause at every panel, and memory be idle meanwhile: 3 %
  /// of the time for a token.)
  void scan_and_gate(const Part& part, std::size_t head, std::size_t layer) const {
    const std::size_t x = head * c_.headdim;
    // Of the next head.
    kernels::prefetch(conv(), x + c_.headdim, c_.headdim, part.state->conv(layer));
    convolve(part, x, c_.headdim, layer);
    if (part.state->precision() == StatePrecision::fp32) {
      scan(part, head, part.state->ssm<float>(layer));
    } else {
      scan(part, head, part.state->ssm<std::uint16_t>(layer));
    }
    for (std::size_t t = part.first; t < part.first + part.count; ++t) {
      a_.squares[t][head] = kernels::gate_head(gated_norm(), a_.x[t] + x, a_.z[t] + x);
    }
  }

  template <class Element>
  void scan(const Part& part, std::size_t head, Element* state) const {
    Element* S = state + head * c_.headdim * c_.d_state;
    if (kernels::chunks_pay(ssm(), part.count)) {
      kernels::scan_head_in_chunks(ssm(), head, rows(part), a_.CB.middle(part.first, part.count),
                                   S);
    } else {
      kernels::scan_head(ssm(), head, rows(part), S);
    }
  }

  [[nodiscard]] kernels::ScanRows rows(const Part& part) const {
    return kernels::ScanRows{a_.x, a_.B, a_.C, a_.dt}.middle(part.first, part.count);
  }
  [[nodiscard]] kernels::Conv1d conv() const {
    return {w_.conv_weight, w_.conv_bias, c_.conv_dim(), c_.d_conv};
  }
  [[nodiscard]] kernels::Ssm ssm() const {
    return {c_.nheads(), c_.headdim, c_.d_state, c_.ngroups, w_.A,
            w_.D,        w_.dt_bias, c_.dt_min,  c_.dt_max};
  }
  [[nodiscard]] kernels::GatedNorm gated_norm() const {
    return {w_.gated_norm, c_.nheads(), c_.headdim, c_.ngroups, c_.norm_eps, c_.norm_before_gate};
  }

  const Config& c_;
  const BlockWeights<WeightT>& w_;
  const Activations& a_;
  std::span<const Part> parts_;
  Executor& executor_;
};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
