// SPDX-License-Identifier: Apache-2.0
// What a token goes through, layer by layer: the page to read first.
#pragma once

#include <cstddef>

#include "mamba2/core/arena.hpp"
#include "mamba2/kernels/rms_norm.hpp"
#include "mamba2/layers/config.hpp"
#include "mamba2/layers/mamba2.hpp"
#include "mamba2/layers/pass.hpp"
#include "mamba2/layers/weights.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// What layers need beside weights and states, for so many tokens at a time.
struct Scratch {
  Activations activations;
  Mamba2Scratch mamba2;

  Scratch(Carver& carver, const Weights& weights, std::size_t tokens)
      : activations(carver, weights.config, tokens, weights.input_bytes()),
        mamba2(carver, weights.config, tokens) {}

  /// The same memory for fewer tokens.
  [[nodiscard]] Scratch first(std::size_t tokens) const {
    Scratch part = *this;
    part.activations = activations.first(tokens);
    part.mamba2 = mamba2.first(tokens);
    return part;
  }
};

/// residual += mixer(rms_norm(residual)), of the index'th layer.
inline void forward(const LayerWeights& layer, std::size_t index, const Scratch& scratch,
                    const Pass& pass) {
  const Config& c = pass.config;
  const Activations& a = pass.a;
  const Mamba2Mixer mixer(layer.mixer, index, scratch.mamba2, pass);
  pass.each_token([&](std::size_t t) {
    kernels::rms_norm(a.residual[t], layer.norm, c.d_model, c.norm_eps, a.u[t]);
    mixer.prepare(t);
  });
  mixer.mix([&](std::size_t first, std::size_t count) {
    for (std::size_t t = 0; t < a.tokens(); ++t) {
      kernels::add(a.u[t] + first, count, a.residual[t] + first);
    }
  });
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2
