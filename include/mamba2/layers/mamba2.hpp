// SPDX-License-Identifier: Apache-2.0
// The Mamba-2 mixer: Mamba-2, arXiv 2405.21060.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "mamba2/core/arena.hpp"
#include "mamba2/core/views.hpp"
#include "mamba2/kernels/conv1d.hpp"
#include "mamba2/kernels/rms_norm.hpp"
#include "mamba2/kernels/scan.hpp"
#include "mamba2/layers/config.hpp"
#include "mamba2/layers/lora.hpp"
#include "mamba2/layers/mamba2_scan.hpp"
#include "mamba2/layers/pass.hpp"
#include "mamba2/layers/slot.hpp"
#include "mamba2/linear/product.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// A bias that the model does not have is nullptr.
struct Mamba2Weights {
  Matrix in_proj;                       ///< (d_in_proj, d_model)
  const float* in_proj_bias = nullptr;  ///< (d_in_proj) or nullptr
  Lora in_proj_lora;
  kernels::Conv1d conv;
  kernels::Ssm ssm;
  kernels::GatedNorm gated_norm;
  Matrix out_proj;                       ///< (d_model, d_inner)
  const float* out_proj_bias = nullptr;  ///< (d_model) or nullptr
  Lora out_proj_lora;

  explicit Mamba2Weights(const Config& c)
      : conv{nullptr, nullptr, c.conv_dim(), c.d_conv},
        ssm{c.nheads(), c.headdim, c.d_state, c.ngroups, nullptr,
            nullptr,    nullptr,   c.dt_min,  c.dt_max},
        gated_norm{nullptr,    c.nheads(),        c.headdim, c.norm_ungrouped ? 1 : c.ngroups,
                   c.norm_eps, c.norm_before_gate} {}
};

/// The tensors of the mixer, in the order in which a token meets them; see Slot. w: Mamba2Weights,
/// const or not.
template <class AnyWeights, class Visit>
requires std::same_as<std::remove_const_t<AnyWeights>, Mamba2Weights>
void mixer_tensors(const Config& c, AnyWeights& w, Visit&& visit) {
  visit(Slot{"mixer.in_proj.weight", Role::matrix, c.d_in_proj(), c.d_model}, w.in_proj);
  if (c.bias) visit(Slot{"mixer.in_proj.bias", Role::bias, c.d_in_proj()}, w.in_proj_bias);
  if (c.lora_rank > 0) {
    visit(Slot{"mixer.in_proj.lora_A", Role::lora_A, c.lora_rank, c.d_model}, w.in_proj_lora.A);
    visit(Slot{"mixer.in_proj.lora_B", Role::lora_B, c.d_in_proj(), c.lora_rank}, w.in_proj_lora.B);
  }
  visit(Slot{"mixer.conv1d.weight", Role::taps, c.conv_dim(), c.d_conv}, w.conv.weight);
  visit(Slot{.name = "mixer.conv1d.bias",
             .role = Role::bias,
             .rows = c.conv_dim(),
             .is_stored = c.conv_bias},
        w.conv.bias);
  visit(Slot{"mixer.dt_bias", Role::dt_bias, c.nheads()}, w.ssm.dt_bias);
  visit(Slot{"mixer.A_log", Role::decay, c.nheads()}, w.ssm.A);
  const std::size_t skips = c.D_has_hdim ? c.d_ssm : c.nheads();
  visit(Slot{.name = "mixer.D", .role = Role::skip, .rows = skips, .repeats = c.d_ssm / skips},
        w.ssm.D);
  if (c.rmsnorm) visit(Slot{"mixer.norm.weight", Role::grouped_norm, c.d_ssm}, w.gated_norm.weight);
  visit(Slot{.name = "mixer.out_proj.weight",
             .role = Role::matrix,
             .rows = c.d_model,
             .cols = c.d_inner,
             .may_rotate = !c.bitlinear},
        w.out_proj);
  if (c.bias) visit(Slot{"mixer.out_proj.bias", Role::bias, c.d_model}, w.out_proj_bias);
  if (c.lora_rank > 0) {
    visit(Slot{"mixer.out_proj.lora_A", Role::lora_A, c.lora_rank, c.d_inner}, w.out_proj_lora.A);
    visit(Slot{"mixer.out_proj.lora_B", Role::lora_B, c.d_model, c.lora_rank}, w.out_proj_lora.B);
  }
}

/// Ways in which an input of the mixer is made ready.
[[nodiscard]] inline std::size_t input_count(const Mamba2Weights&) { return 1; }

/// What a batch of tokens is on its way through the mixer. A row to a token.
struct Mamba2Scratch {
  MutableRows zxbcdt;   ///< (tokens, d_in_proj): in_proj's output, z0 | x0 | z | xBC | dt
  MutableRows z0;       ///< (tokens, d_mlp): the gate of the MLP part
  MutableRows x0;       ///< (tokens, d_mlp): the MLP part
  MutableRows z;        ///< (tokens, d_ssm): the gate of the SSM part; later its gated output
  MutableRows gated;    ///< (tokens, d_inner): x0 and z side by side, out_proj's input
  MutableRows xBC;      ///< (tokens, xBC_dim): x, B and C side by side
  MutableRows x;        ///< (tokens, d_ssm): the SSM's input; later y, its output
  MutableRows B;        ///< (tokens, ngroups * d_state)
  MutableRows C;        ///< (tokens, ngroups * d_state)
  MutableRows dt;       ///< (tokens, nheads): later the step sizes
  MutableRows squares;  ///< (tokens, nheads): each head's share in the gated norm
  MutableRows low;      ///< (tokens, lora_rank): see Lora::narrow
  MutableRows CB;       ///< (tokens, ngroups * kChunk): see kernels::chunk_products()

  Mamba2Scratch(Carver& carver, const Config& c, std::size_t tokens)
      : zxbcdt(carver.take<float>(tokens * zxbcdt_stride(c)), tokens, c.d_in_proj(),
               zxbcdt_stride(c)),
        z0(zxbcdt.columns(0, c.d_mlp())),
        x0(zxbcdt.columns(c.d_mlp(), c.d_mlp())),
        z(zxbcdt.columns(2 * c.d_mlp(), c.d_ssm)),
        gated(zxbcdt.columns(c.d_mlp(), c.d_inner)),
        xBC(zxbcdt.columns(2 * c.d_mlp() + c.d_ssm, c.xBC_dim())),
        x(xBC.columns(0, c.d_ssm)),
        B(xBC.columns(c.d_ssm, c.ngroups * c.d_state)),
        C(xBC.columns(c.d_ssm + c.ngroups * c.d_state, c.ngroups * c.d_state)),
        dt(zxbcdt.columns(c.d_in_proj() - c.nheads(), c.nheads())),
        squares(carver.take<float>(tokens * c.nheads()), tokens, c.nheads()),
        low(carver.take<float>(tokens * c.lora_rank), tokens, c.lora_rank),
        CB(carver.take<float>(tokens * chunk_products(c)), tokens, chunk_products(c)) {}

  /// The same memory for fewer tokens.
  [[nodiscard]] Mamba2Scratch first(std::size_t tokens) const {
    Mamba2Scratch part = *this;
    for (MutableRows* rows :
         {&part.zxbcdt, &part.z0, &part.x0, &part.z, &part.gated, &part.xBC, &part.x, &part.B,
          &part.C, &part.dt, &part.squares, &part.low, &part.CB}) {
      rows->rows = tokens;
    }
    return part;
  }

 private:
  /// Numbers of CB to a token.
  [[nodiscard]] static std::size_t chunk_products(const Config& c) {
    return c.d_state == 1 ? 0 : c.ngroups * kernels::kChunk;
  }
  /// Whole cache lines: a register's load would often need two of them otherwise.
  [[nodiscard]] static std::size_t zxbcdt_stride(const Config& c) {
    return detail::round_up(c.d_in_proj(), 64 / sizeof(float));
  }
};

/// The mixer of a layer at work on a batch. All threads meet at the end of every executor.run()
/// with more than one task: 3 times for a few tokens, after in_proj, scan and out_proj; 5 times for
/// many, after the products of chunks and the norms as well (for a few, too, if ngroups > 1).
class Mamba2Mixer {
 public:
  /// index: of the layer among the Mamba-2 layers.
  Mamba2Mixer(const Mamba2Weights& weights, std::size_t index, const Mamba2Scratch& scratch,
              const Pass& pass)
      : c_(pass.config), w_(weights), s_(scratch), pass_(pass), index_(index) {}

  /// What comes first, for each token alone: makes u ready for in_proj.
  void prepare(std::size_t token) const {
    if (c_.lora_rank > 0) {
      w_.in_proj_lora.narrow(c_, pass_.a.u[token], c_.d_model, s_.low[token]);
    }
    pass_.prepare(w_.in_proj, pass_.a.u[token], token);
  }

  /// u = mixer(what has been prepared); then(first, count, factor) for its columns
  /// [first, first + count) as soon as all tokens have them: factor * u is the mixer's output. The
  /// states hold the layer's state before the first token of their part, and after the last.
  template <class Then>
  void mix(Then then) const {
    multiply(pass_.executor, {projection(0)}, pass_.equals,
             [&](std::size_t, std::size_t first, std::size_t count) { projected(first, count); });
    mix_projected(then);
  }

  /// mix() in two parts, for those who multiply other matrices at the same time. The product of
  /// in_proj with the index'th inputs:
  [[nodiscard]] Product projection(std::size_t index) const {
    return pass_.product(w_.in_proj, s_.zxbcdt, index);
  }
  /// what follows for its rows [first, first + count);
  void projected(std::size_t first, std::size_t count) const {
    const MutableRows BC = s_.xBC.columns(c_.d_ssm, c_.conv_dim() - c_.d_ssm);  // if convolved
    finish_projection(first, count);
    overlap(BC, first, count, [&](std::size_t channel, std::size_t channels) {
      for (const Part& part : pass_.parts) {
        convolve(part, c_.d_ssm + channel, channels);
        scan().keep_first_B(part, channel, channels);
      }
    });
    overlap(s_.dt, first, count, [&](std::size_t head, std::size_t heads) {
      kernels::step_sizes(w_.ssm, head, s_.dt.columns(head, heads));
    });
  }
  /// and the rest.
  template <class Then>
  void mix_projected(Then then) const {
    if (c_.d_state > 1) {
      constexpr std::size_t kTokens = 16;  // to a task
      const std::size_t pieces = (pass_.a.tokens() + kTokens - 1) / kTokens;
      pass_.executor.run(pieces * c_.ngroups, [&](std::size_t task) {
        const std::size_t first = task / c_.ngroups * kTokens;
        const std::size_t end = std::min(first + kTokens, pass_.a.tokens());
        scan().multiply_rows(pass_.parts, first, end, task % c_.ngroups);
      });
    }
    pass_.executor.run(pass_.parts.size() * c_.nheads(), [&](std::size_t task) {
      scan_and_gate(pass_.parts[task / c_.nheads()], task % c_.nheads());
    });
    pass_.each_token([&](std::size_t t) {
      if (c_.d_mlp() > 0) kernels::gate(s_.x0[t], s_.z0[t], c_.d_mlp(), s_.x0[t]);
      kernels::gated_norm(w_.gated_norm, s_.squares[t], s_.x[t], s_.z[t]);
      if (c_.lora_rank > 0) w_.out_proj_lora.narrow(c_, s_.gated[t], c_.d_inner, s_.low[t]);
      pass_.prepare(w_.out_proj, s_.gated[t], t);
      scan().keep_last_B(pass_.parts, t);
    });
    pass_.multiply_out(
        w_.out_proj, w_.out_proj_bias,
        [&](std::size_t first, std::size_t count, float factor) {
          if (c_.lora_rank > 0) {
            w_.out_proj_lora.add(s_.low, c_.d_model, pass_.a.u.columns(first, count), first);
          }
          then(first, count, factor);
        },
        c_.ssm_multipliers.out);
  }

 private:
  /// Bias and factors of the rows [first, first + count) of in_proj.
  void finish_projection(std::size_t first, std::size_t count) const {
    const Mamba2Multipliers& m = c_.ssm_multipliers;
    if (m == Mamba2Multipliers{}) {
      const MutableRows rows = s_.zxbcdt.columns(first, count);
      add_bias(w_.in_proj_bias, rows, first);
      if (c_.lora_rank > 0) w_.in_proj_lora.add(s_.low, c_.d_in_proj(), rows, first);
      return;
    }
    const auto finish = [&](MutableRows part, float factor) {
      overlap(part, first, count, [&](std::size_t column, std::size_t columns) {
        const auto row = static_cast<std::size_t>(part.data - s_.zxbcdt.data) + column;
        add_bias(w_.in_proj_bias, part.columns(column, columns), row, m.in, factor);
      });
    };
    finish(s_.z, m.z);
    finish(s_.x, m.x);
    finish(s_.B, m.B);
    finish(s_.C, m.C);
    finish(s_.dt, m.dt);
  }

  /// Calls body(i, count) if the rows [first, first + count) of in_proj overlap the columns `part`
  /// of zxbcdt: at its columns [i, i + count).
  template <class Body>
  void overlap(MutableRows part, std::size_t first, std::size_t count, Body body) const {
    const auto begin = static_cast<std::size_t>(part.data - s_.zxbcdt.data);
    const std::size_t from = std::max(begin, first);
    const std::size_t to = std::min(begin + part.cols, first + count);
    if (from < to) body(from - begin, to - from);
  }

  /// The convolution of the channels [first, first + count) of a part's xBC.
  void convolve(const Part& part, std::size_t first, std::size_t count) const {
    const MutableRows xBC = s_.xBC.middle(part.first, part.count).columns(first, count);
    part.state->keep(part.state->layout().conv(), index_, first, xBC);
    kernels::causal_conv1d(w_.conv, first, xBC, part.state->conv(index_));
  }

  /// The convolution of x, the recurrence and the gate of one head, whose state stays in the cache
  /// of one core. (x could be convolved as soon as in_proj has it, like B and C, which all heads
  /// need. But the stream of weights would pause at every panel, and memory be idle meanwhile: 3 %
  /// of the time for a token.)
  void scan_and_gate(const Part& part, std::size_t head) const {
    const std::size_t x = head * c_.headdim;
    // Of the next head.
    kernels::prefetch(w_.conv, x + c_.headdim, c_.headdim, part.state->conv(index_));
    convolve(part, x, c_.headdim);
    scan().run(part, head);
    for (std::size_t t = part.first; t < part.first + part.count; ++t) {
      s_.squares[t][head] = kernels::gate_head(w_.gated_norm, s_.x[t] + x, s_.z[t] + x);
    }
  }

  /// What is kept of chunks, and the recurrence.
  [[nodiscard]] Mamba2Scan scan() const {
    return {w_.ssm, index_, {s_.x, s_.B, s_.C, s_.dt, s_.CB}};
  }

  const Config& c_;
  const Mamba2Weights& w_;
  const Mamba2Scratch& s_;
  const Pass& pass_;
  std::size_t index_;
};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
