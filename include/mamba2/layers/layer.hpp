// SPDX-License-Identifier: Apache-2.0
// What a token goes through, layer by layer: the page to read first.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "mamba2/core/arena.hpp"
#include "mamba2/kernels/rms_norm.hpp"
#include "mamba2/layers/attention.hpp"
#include "mamba2/layers/config.hpp"
#include "mamba2/layers/mamba2.hpp"
#include "mamba2/layers/mlp.hpp"
#include "mamba2/layers/moe_mixer.hpp"
#include "mamba2/layers/parallel.hpp"
#include "mamba2/layers/pass.hpp"
#include "mamba2/layers/shared_block.hpp"
#include "mamba2/layers/short_conv.hpp"
#include "mamba2/layers/weights.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// What mixers need beside weights and states: one is at work at a time, so all have the same
/// memory; but the two of a layer with two side by side, and what is around those of a shared
/// block, have memory of their own.
struct MixerScratch {
  std::size_t bytes = 0;
  Mamba2Scratch mamba2;
  AttentionScratch attention;
  MlpScratch mlp;
  MoeScratch moe;
  ShortConvScratch short_conv;
  SharedBlockScratch shared_block;

  /// memory: `bytes` of it; nullptr: they are only counted. context, rope_steps: see
  /// AttentionScratch.
  MixerScratch(std::byte* memory, const Config& c, const ExpertInputs& inputs, std::size_t tokens,
               std::size_t context, const std::uint64_t* rope_steps)
      : mamba2(place<Mamba2Scratch>(memory, 0, c, c.has(LayerKind::mamba2) ? tokens : 0)),
        attention(place<AttentionScratch>(memory, c.has(LayerKind::parallel) ? bytes : 0, c,
                                          c.has(LayerKind::attention) ? tokens : 0, context,
                                          rope_steps)),
        mlp(place<MlpScratch>(memory, 0, c, c.has(LayerKind::mlp) ? tokens : 0)),
        moe(place<MoeScratch>(memory, 0, c, c.has(LayerKind::moe) ? tokens : 0, inputs)),
        short_conv(
            place<ShortConvScratch>(memory, 0, c, c.has(LayerKind::short_conv) ? tokens : 0)),
        shared_block(place<SharedBlockScratch>(memory, bytes, c,
                                               c.has(LayerKind::shared_block) ? tokens : 0)) {}

 private:
  /// from: the first byte that it may have.
  template <class T, class... Sizes>
  [[nodiscard]] T place(std::byte* memory, std::size_t from, const Config& c, Sizes... sizes) {
    from = detail::round_up(from, Carver::kAlignment);
    Carver carver(memory == nullptr ? nullptr : memory + from);
    T scratch(carver, c, sizes...);
    bytes = std::max(bytes, from + carver.used());
    return scratch;
  }
};

/// What layers need, for so many tokens at a time.
struct Scratch {
  Activations activations;
  std::uint64_t* rope_steps;  ///< (rotary_emb_dim / 2): of kernels::rope_steps()
  MixerScratch mixers;

  Scratch(Carver& carver, const Weights& weights, std::size_t tokens, std::size_t context)
      : activations(carver, weights.config, tokens, weights.input_bytes(), weights.most_inputs()),
        rope_steps(carver.take<std::uint64_t>(weights.config.attention.rotary_emb_dim / 2)),
        mixers(carver.take<std::byte>(MixerScratch(nullptr, weights.config, weights.expert_inputs(),
                                                   tokens, context, nullptr)
                                          .bytes),
               weights.config, weights.expert_inputs(), tokens, context, rope_steps) {
    const AttentionConfig& a = weights.config.attention;
    if (rope_steps == nullptr) return;
    kernels::rope_steps(static_cast<double>(a.rotary_emb_base), a.rotary_emb_dim, rope_steps);
  }

  /// The same memory for fewer tokens.
  [[nodiscard]] Scratch first(std::size_t tokens) const {
    Scratch part = *this;
    part.activations = activations.first(tokens);
    part.mixers.mamba2 = mixers.mamba2.first(tokens);
    part.mixers.attention = mixers.attention.first(tokens);
    part.mixers.mlp = mixers.mlp.first(tokens);
    part.mixers.moe = mixers.moe.first(tokens);
    part.mixers.short_conv = mixers.short_conv.first(tokens);
    part.mixers.shared_block = mixers.shared_block.first(tokens);
    return part;
  }
};

inline Mamba2Mixer mixer_of(const Mamba2Weights& w, const Weights::Step& step,
                            const Scratch& scratch, const Pass& pass) {
  return {w, step.index, scratch.mixers.mamba2, pass};
}
inline AttentionMixer mixer_of(const AttentionWeights& w, const Weights::Step& step,
                               const Scratch& scratch, const Pass& pass) {
  return {w, step.index, scratch.mixers.attention, pass};
}
inline MlpMixer mixer_of(const MlpWeights& w, const Weights::Step&, const Scratch& scratch,
                         const Pass& pass) {
  return {w, scratch.mixers.mlp, pass};
}
inline MoeMixer mixer_of(const MoeWeights& w, const Weights::Step&, const Scratch& scratch,
                         const Pass& pass) {
  return {w, scratch.mixers.moe, pass};
}
inline ShortConvMixer mixer_of(const ShortConvWeights& w, const Weights::Step& step,
                               const Scratch& scratch, const Pass& pass) {
  return {w, step.index, scratch.mixers.short_conv, pass};
}
inline ParallelMixer mixer_of(const ParallelWeights& w, const Weights::Step& step,
                              const Scratch& scratch, const Pass& pass) {
  return {w,   step.index, step.attention_index, scratch.mixers.mamba2, scratch.mixers.attention,
          pass};
}

/// The mixer that reads the norm; its block has been read then.
inline Mamba2Mixer mixer_of(const SharedBlockWeights& w, const Weights::Step& step,
                            const Scratch& scratch, const Pass& pass) {
  return {w.mamba2, step.index, scratch.mixers.mamba2, pass};
}

/// What the norm reads besides the residual: of all kinds but one, nothing.
template <class AnyWeights>
void read_block(const AnyWeights&, const Weights::Step&, const Scratch&, const Pass&) {}
/// In u.
[[gnu::noinline]] inline void read_block(const SharedBlockWeights& w, const Weights::Step& step,
                                         const Scratch& scratch, const Pass& pass) {
  const MixerScratch& s = scratch.mixers;
  SharedBlockReader(w, step.attention_index, s.attention, s.mlp, s.shared_block, pass).read();
}

/// residual += residual_multiplier * mixer(rms_norm(residual)) for a mixer of these weights, those
/// of `layer`; where there is a shared block, the norm is of residual + u. Never inlined: the stack
/// of one kind would be part of all others'.
template <class AnyWeights>
[[gnu::noinline]] void forward_mixer(const AnyWeights& weights, const LayerWeights& layer,
                                     const Weights::Step& step, const Scratch& scratch,
                                     const Pass& pass) {
  const Config& c = pass.config;
  const Activations& a = pass.a;
  read_block(weights, step, scratch, pass);
  const auto mixer = mixer_of(weights, step, scratch, pass);
  pass.each_token([&](std::size_t t) {
    const float* x = a.residual[t];
    if constexpr (std::is_same_v<AnyWeights, SharedBlockWeights>) {
      kernels::add(x, c.d_model, a.u[t]);
      x = a.u[t];
    }
    kernels::rms_norm(x, layer.norm, c.d_model, c.norm_eps, a.u[t]);
    mixer.prepare(t);
  });
  mixer.mix([&](std::size_t first, std::size_t count, float factor) {
    for (std::size_t t = 0; t < a.tokens(); ++t) {
      kernels::add_times(c.residual_multiplier * factor, a.u[t] + first, count,
                         a.residual[t] + first);
    }
  });
}

/// What a layer adds to the residual: of its mixer, or of two side by side.
inline void forward(const LayerWeights& layer, const Weights::Step& step, const Scratch& scratch,
                    const Pass& pass) {
  with_mixer(layer.mixer,
             [&](const auto& weights) { forward_mixer(weights, layer, step, scratch, pass); });
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2
