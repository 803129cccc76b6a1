// SPDX-License-Identifier: Apache-2.0
// The gated short convolution: LFM2, arXiv 2511.23404.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <type_traits>

#include "mamba2/core/arena.hpp"
#include "mamba2/core/views.hpp"
#include "mamba2/kernels/conv1d.hpp"
#include "mamba2/kernels/short_conv.hpp"
#include "mamba2/layers/config.hpp"
#include "mamba2/layers/pass.hpp"
#include "mamba2/layers/slot.hpp"
#include "mamba2/linear/product.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// Of out_proj(c * conv(b * x)), where b | c | x = in_proj u. A bias that the model does not have
/// is nullptr.
struct ShortConvWeights {
  Matrix in_proj;                        ///< (3 d_model, d_model)
  const float* in_proj_bias = nullptr;   ///< (3 d_model)
  kernels::Conv1d conv;                  ///< over d_model channels
  Matrix out_proj;                       ///< (d_model, d_model)
  const float* out_proj_bias = nullptr;  ///< (d_model)

  explicit ShortConvWeights(const Config& c)
      : conv{nullptr, nullptr, c.d_model, c.short_conv.d_conv, false} {}
};

/// The tensors of the mixer, in the order in which a token meets them; see Slot. w:
/// ShortConvWeights, const or not.
template <class AnyWeights, class Visit>
requires std::same_as<std::remove_const_t<AnyWeights>, ShortConvWeights>
void mixer_tensors(const Config& c, AnyWeights& w, Visit&& visit) {
  const std::size_t d = c.d_model;
  const bool has_bias = c.short_conv.bias;
  visit(Slot{"short_conv.in_proj.weight", Role::matrix, 3 * d, d}, w.in_proj);
  if (has_bias) visit(Slot{"short_conv.in_proj.bias", Role::bias, 3 * d}, w.in_proj_bias);
  visit(Slot{"short_conv.conv1d.weight", Role::taps, d, c.short_conv.d_conv}, w.conv.weight);
  visit(
      Slot{.name = "short_conv.conv1d.bias", .role = Role::bias, .rows = d, .is_stored = has_bias},
      w.conv.bias);
  visit(Slot{.name = "short_conv.out_proj.weight",
             .role = Role::matrix,
             .rows = d,
             .cols = d,
             .may_rotate = true},
        w.out_proj);
  if (has_bias) visit(Slot{"short_conv.out_proj.bias", Role::bias, d}, w.out_proj_bias);
}

/// As of Mamba2Weights.
[[nodiscard]] inline std::size_t input_count(const ShortConvWeights&) { return 1; }

/// What a batch of tokens is on its way through the mixer. A row to a token.
struct ShortConvScratch {
  MutableRows bcx;           ///< (tokens, 3 d_model): in_proj's output
  kernels::GatedRows gated;  ///< its columns; later c is out_proj's input

  ShortConvScratch(Carver& carver, const Config& c, std::size_t tokens)
      : bcx(carver.take<float>(tokens * stride(c)), tokens, 3 * c.d_model, stride(c)),
        gated{bcx.columns(0, c.d_model), bcx.columns(c.d_model, c.d_model),
              bcx.columns(2 * c.d_model, c.d_model)} {}

  /// The same memory for fewer tokens.
  [[nodiscard]] ShortConvScratch first(std::size_t tokens) const {
    ShortConvScratch part = *this;
    for (MutableRows* rows : {&part.bcx, &part.gated.b, &part.gated.c, &part.gated.x}) {
      rows->rows = tokens;
    }
    return part;
  }

 private:
  /// Whole cache lines, and one more: the convolution walks down the rows, which would all fall
  /// into the same sets of the caches where d_model is a power of two.
  [[nodiscard]] static std::size_t stride(const Config& c) {
    constexpr std::size_t kLine = 64 / sizeof(float);
    return detail::round_up(3 * c.d_model, kLine) + kLine;
  }
};

/// The mixer of a layer at work on a batch. All threads meet 2 times for one token, after in_proj
/// and out_proj; 4 times for many, after the convolution and what makes out_proj's input ready as
/// well.
class ShortConvMixer {
 public:
  /// index: of the layer among the short convolutions.
  ShortConvMixer(const ShortConvWeights& weights, std::size_t index,
                 const ShortConvScratch& scratch, const Pass& pass)
      : w_(weights), s_(scratch), pass_(pass), index_(index) {}

  /// As Mamba2Mixer::prepare().
  void prepare(std::size_t token) const { pass_.prepare(w_.in_proj, pass_.a.u[token], token); }

  /// As Mamba2Mixer::mix().
  template <class Then>
  void mix(Then then) const {
    multiply(pass_.executor, w_.in_proj, pass_.equals, pass_.a.inputs(), s_.bcx,
             [&](std::size_t first, std::size_t count) {
               add_bias(w_.in_proj_bias, s_.bcx.columns(first, count), first);
             });
    convolve();
    pass_.each_token([&](std::size_t t) { pass_.prepare(w_.out_proj, s_.gated.c[t], t); });
    pass_.multiply_out(w_.out_proj, w_.out_proj_bias, then);
  }

 private:
  void convolve() const {
    // To a task: all channels of a part of few tokens, which a thread is done with before others
    // would have woken up.
    const bool is_short = pass_.a.tokens() <= 4 * pass_.parts.size();
    const std::size_t channels = is_short ? w_.conv.conv_dim : 256;
    const std::size_t pieces = (w_.conv.conv_dim + channels - 1) / channels;
    pass_.executor.run(pass_.parts.size() * pieces, [&](std::size_t task) {
      const Part& part = pass_.parts[task / pieces];
      const std::size_t first = task % pieces * channels;
      const kernels::GatedRows rows = s_.gated.part(part.first, part.count, first,
                                                    std::min(channels, w_.conv.conv_dim - first));
      part.state->keep_each(part.state->layout().short_conv(), index_, part.count,
                            [&](std::size_t t, float* to) { rows.input(t, to + first); });
      kernels::gated_conv1d(w_.conv, first, rows, part.state->short_conv(index_));
    });
  }

  const ShortConvWeights& w_;
  const ShortConvScratch& s_;
  const Pass& pass_;
  std::size_t index_;
};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
