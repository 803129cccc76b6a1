// SPDX-License-Identifier: Apache-2.0
// A mixture of experts at work: tokens are gathered by expert, so that each matrix is read once.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "mamba2/core/views.hpp"
#include "mamba2/kernels/rms_norm.hpp"
#include "mamba2/kernels/router.hpp"
#include "mamba2/layers/config.hpp"
#include "mamba2/layers/moe.hpp"
#include "mamba2/layers/pass.hpp"
#include "mamba2/linear/product.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// The mixer of a layer at work on a batch. All threads meet 6 times for one token: after the
/// router together with what reads the layer's input, the inputs of experts, gate_proj and up_proj
/// of all, their products, down_proj of all, and their sum; twice more where there is a latent
/// space, and more often for many tokens.
class MoeMixer {
 public:
  MoeMixer(const MoeWeights& weights, const MoeScratch& scratch, const Pass& pass)
      : c_(pass.config.moe), w_(weights), s_(scratch), pass_(pass) {}

  /// As Mamba2Mixer::prepare().
  void prepare(std::size_t token) const {
    if (reads_input()) pass_.prepare(reading(w_), pass_.a.u[token], token);
  }

  /// As Mamba2Mixer::mix().
  template <class Then>
  void mix(Then then) const {
    read_input();
    pass_.each_token([&](std::size_t t) {
      kernels::choose(router(), s_.scores[t], s_.room[t], s_.choice + t * s_.chosen,
                      s_.weights + t * s_.chosen);
    });
    sort_pairs();
    each_pair([&](std::size_t pair) { prepare_expert(pair); });
    multiply_in();
    activate();
    if (all_at_once()) multiply_out();
    if (c_.d_latent > 0) {
      each_panel(w_.experts.front().down_proj, [&](std::size_t first, std::size_t count) {
        add_experts(first, count, s_.latent);
      });
      pass_.each_token([&](std::size_t t) { pass_.prepare(w_.latent_out_proj, s_.latent[t], t); });
    }
    const Matrix& last = c_.d_latent > 0 ? w_.latent_out_proj : w_.experts.front().down_proj;
    each_panel(last, [&](std::size_t first, std::size_t count) {
      write_out(first, count);
      then(first, count, 1.0F);
    });
  }

 private:
  [[nodiscard]] bool reads_input() const { return c_.d_latent > 0 || c_.d_shared > 0; }

  [[nodiscard]] kernels::Router router() const {
    return {c_.num_experts, c_.num_experts_per_tok, c_.n_group,  c_.topk_group,
            c_.sigmoid,     c_.norm_topk_prob,      c_.norm_eps, c_.routed_scaling_factor,
            w_.router_bias};
  }

  /// The router's scores, and products with all that reads the layer's input.
  void read_input() const {
    const SharedInputs<3> shared(reading(w_));
    OwnProduct<Part> products[3];
    std::size_t count = 0;
    const auto add = [&](bool is_there, const Matrix& m, std::size_t number, MutableRows y) {
      if (is_there) products[count++] = {&m, pass_.a.inputs(number), y, pass_.equals};
    };
    add(c_.d_latent > 0, w_.latent_in_proj, shared.number[0], s_.latent);
    add(c_.d_shared > 0 && c_.has_gate(), w_.shared.gate_proj, shared.number[1], s_.shared_gate);
    add(c_.d_shared > 0, w_.shared.up_proj, shared.number[2], s_.shared_up);
    const std::span some(products, count);
    constexpr std::size_t kRows = 8;  // to a task of the router's
    constexpr std::size_t kTokens = 16;
    const std::size_t blocks = (c_.num_experts + kRows - 1) / kRows;
    const std::size_t scores = blocks * ((pass_.a.tokens() + kTokens - 1) / kTokens);
    pass_.executor.run(scores + number_tasks(some), [&](std::size_t task) {
      if (task >= scores) return multiply_task(some, task - scores);
      const std::size_t token = task / blocks * kTokens;
      const std::size_t expert = task % blocks * kRows;
      for (std::size_t e = expert; e < std::min(c_.num_experts, expert + kRows); ++e) {
        for (std::size_t t = token; t < std::min(pass_.a.tokens(), token + kTokens); ++t) {
          s_.scores[t][e] = kernels::sum_of_products(w_.router + e * pass_.config.d_model,
                                                     pass_.a.u[t], pass_.config.d_model);
        }
      }
    });
  }

  /// Puts the choices of all tokens in the order of the experts.
  void sort_pairs() const {
    std::fill_n(s_.pairs_end, c_.num_experts + 1, std::size_t{0});
    std::fill_n(s_.ranges_end, c_.num_experts + 1, std::size_t{0});
    const std::size_t pairs = s_.pairs();
    for (std::size_t i = 0; i < pairs; ++i) ++s_.pairs_end[s_.choice[i] + 1];
    for (std::size_t e = 0; e < c_.num_experts; ++e) s_.pairs_end[e + 1] += s_.pairs_end[e];
    // Each expert's own place serves as the place of its next pair, and is put back after.
    for (std::size_t t = 0; t < pass_.a.tokens(); ++t) {
      for (std::size_t i = t * s_.chosen; i < (t + 1) * s_.chosen; ++i) {
        const std::size_t pair = s_.pairs_end[s_.choice[i]]++;
        s_.expert[pair] = s_.choice[i];
        s_.token[pair] = static_cast<std::uint32_t>(t);
        s_.weight[pair] = s_.weights[i];
      }
    }
    std::copy_backward(s_.pairs_end, s_.pairs_end + c_.num_experts,
                       s_.pairs_end + c_.num_experts + 1);
    s_.pairs_end[0] = 0;
    find_ranges();
  }

  /// The pairs of each expert with each part: which get the bits that they get alone.
  void find_ranges() const {
    std::size_t ranges = 0;
    for (std::size_t e = 0; e < c_.num_experts; ++e) {
      const auto [first, count] = s_.pairs_of(e);
      auto part = pass_.equals.begin();
      bool is_new = true;
      for (std::size_t i = first; i < first + count; ++i) {
        for (; s_.token[i] >= part->first + part->count; ++part) is_new = true;
        if (is_new) s_.ranges[ranges++] = {i, 0};
        ++s_.ranges[ranges - 1].count;
        is_new = false;
      }
      s_.ranges_end[e + 1] = ranges;
    }
  }

  template <class Body>
  void each_pair(Body body) const {
    constexpr std::size_t kPairs = 4;  // to a task
    const std::size_t pairs = s_.pairs();
    pass_.executor.run((pairs + kPairs - 1) / kPairs, [&](std::size_t task) {
      const std::size_t end = std::min(pairs, (task + 1) * kPairs);
      for (std::size_t i = task * kPairs; i < end; ++i) body(i);
    });
  }

  [[nodiscard]] static SharedInputs<2> inputs_of(const ExpertWeights& expert) {
    const bool has_gate = expert.gate_proj.format != nullptr;
    return SharedInputs<2>({has_gate ? &expert.gate_proj : &expert.up_proj, &expert.up_proj});
  }

  /// Makes the input of an expert's gate_proj and up_proj ready.
  void prepare_expert(std::size_t pair) const {
    const ExpertWeights& expert = w_.experts[s_.expert[pair]];
    const std::size_t token = s_.token[pair];
    const float* x = c_.d_latent > 0 ? s_.latent[token] : pass_.a.u[token];
    expert.up_proj.prepare(x, s_.input_of(pair, inputs_of(expert).number[1]));
    if (inputs_of(expert).count > 1) expert.gate_proj.prepare(x, s_.input_of(pair));
  }

  /// Whether there is room for what all pairs give. Then each matrix is one linear stream; else an
  /// expert's rows take the place of those of the one before, some columns at a time.
  [[nodiscard]] bool all_at_once() const { return s_.pairs() <= s_.out_room; }

  /// down_proj of all experts that are chosen.
  void multiply_out() const {
    std::size_t count = 0;
    for (std::size_t e = 0; e < c_.num_experts; ++e) {
      const std::span<const MoeScratch::Range> ranges = s_.ranges_of(e);
      if (ranges.empty()) continue;
      s_.products[count++] = {&w_.experts[e].down_proj, s_.inputs_of(0), s_.out, ranges};
    }
    const std::span products(s_.products, count);
    pass_.executor.run(number_tasks(products),
                       [&](std::size_t task) { multiply_task(products, task); });
  }

  /// gate_proj and up_proj of all experts that are chosen.
  void multiply_in() const {
    std::size_t count = 0;
    for (std::size_t e = 0; e < c_.num_experts; ++e) {
      const std::span<const MoeScratch::Range> ranges = s_.ranges_of(e);
      if (ranges.empty()) continue;
      const ExpertWeights& expert = w_.experts[e];
      const SharedInputs<2> inputs = inputs_of(expert);
      if (c_.has_gate()) {
        s_.products[count++] = {&expert.gate_proj, s_.inputs_of(inputs.number[0]), s_.gate, ranges};
      }
      s_.products[count++] = {&expert.up_proj, s_.inputs_of(inputs.number[1]), s_.up, ranges};
    }
    const std::span products(s_.products, count);
    pass_.executor.run(number_tasks(products),
                       [&](std::size_t task) { multiply_task(products, task); });
  }

  /// The activation of all experts, and the inputs of down_proj.
  void activate() const {
    const auto pass_gate = [&](const MutableRows& gate, const MutableRows& up, std::size_t row) {
      if (c_.has_gate()) {
        kernels::gate(up[row], gate[row], up.cols, up[row]);
      } else {
        kernels::relu2(up[row], up.cols, up[row]);
      }
    };
    each_pair([&](std::size_t pair) {
      const Matrix& down = w_.experts[s_.expert[pair]].down_proj;
      pass_gate(s_.gate, s_.up, pair);
      down.rotate(s_.up[pair]);
      down.prepare(s_.up[pair], s_.input_of(pair));
    });
    if (c_.d_shared == 0) return;
    pass_.each_token([&](std::size_t t) {
      pass_gate(s_.shared_gate, s_.shared_up, t);
      pass_.prepare(w_.shared.down_proj, s_.shared_up[t], t, 1);
    });
  }

  /// Calls body(first, count) for ranges of the rows of m: of whole bands, which have as many rows
  /// in every format of a CPU.
  template <class Body>
  void each_panel(const Matrix& m, Body body) const {
    for_panels(pass_.executor, m, [&](std::size_t first, std::size_t count) {
      body(first * m.format->band_rows, m.rows_in(first, count));
    });
  }

  /// y = x m^T, for the rows [first, first + count) of m: x from the row `from` on.
  template <class AnyPart>
  static void multiply_rows(const Matrix& m, std::size_t first, std::size_t count,
                            std::span<const AnyPart> parts, const Inputs& x, const MutableRows& y,
                            std::size_t from = 0) {
    const std::size_t rows = m.format->band_rows;
    for_equals(m, parts, x, [&](const Inputs& some, std::size_t row) {
      m.multiply(first / rows, (count + rows - 1) / rows, some, y.middle(row - from, some.tokens));
    });
  }

  /// The weighted sum of what all experts give, in the order of their numbers: columns
  /// [first, first + count) of y.
  void add_experts(std::size_t first, std::size_t count, const MutableRows& y) const {
    for (std::size_t t = 0; t < y.rows; ++t) std::fill_n(y[t] + first, count, 0.0F);
    for (std::size_t e = 0; e < c_.num_experts; ++e) {
      const auto [pair, pairs] = s_.pairs_of(e);
      if (pairs == 0) continue;
      const std::size_t from = all_at_once() ? 0 : pair;  // whose row of `out` is the first
      if (!all_at_once()) {
        multiply_rows(w_.experts[e].down_proj, first, count, s_.ranges_of(e), s_.inputs_of(0),
                      s_.out, from);
      }
      for (std::size_t i = pair; i < pair + pairs; ++i) {
        kernels::add_times(s_.weight[i], s_.out[i - from] + first, count, y[s_.token[i]] + first);
      }
    }
  }

  /// Columns [first, first + count) of u.
  void write_out(std::size_t first, std::size_t count) const {
    const MutableRows& u = pass_.a.u;
    if (c_.d_latent > 0) {
      multiply_rows(w_.latent_out_proj, first, count, pass_.equals, pass_.a.inputs(0), u);
    } else {
      add_experts(first, count, u);
    }
    if (c_.d_shared == 0) return;
    multiply_rows(w_.shared.down_proj, first, count, pass_.equals, pass_.a.inputs(1), s_.out);
    for (std::size_t t = 0; t < u.rows; ++t) kernels::add(s_.out[t] + first, count, u[t] + first);
  }

  const MoeConfig& c_;
  const MoeWeights& w_;
  const MoeScratch& s_;
  const Pass& pass_;
};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
