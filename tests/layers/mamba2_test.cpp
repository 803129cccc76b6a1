// SPDX-License-Identifier: Apache-2.0
// The mixer against outputs of the original PyTorch and Triton implementation.
#include "mamba2/layers/mamba2.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "mamba2/layers/layer.hpp"
#include "mamba2/linear/floats.hpp"
#include "tests/model_helpers.hpp"
#include "tests/reference/compare.hpp"
#include "tests/reference/official_block.hpp"
#include "tests/reference/random_weights.hpp"

using mamba2::Config;
using mamba2::Fp32;

namespace {

/// The library's mixer over one sequence u (tokens, d_model), from the empty state.
std::vector<float> run_mixer(const mamba2::Weights& weights, const std::vector<double>& u,
                             std::size_t tokens) {
  const Config& c = weights.config;
  mamba2::State state = mamba2::State::create(c).value();
  mamba2::Carver counter;
  (void)mamba2::Scratch(counter, weights, tokens, 0);
  const auto arena = mamba2::Arena::create(counter.used()).value();
  mamba2::Carver carver(arena.data());
  const mamba2::Scratch scratch(carver, weights, tokens, 0);
  const mamba2::Activations& a = scratch.activations;
  const auto input = reference::to_float(u);
  std::copy(input.begin(), input.end(), a.u.data);
  mamba2::SerialExecutor executor;
  const mamba2::Part part = {&state, 0, tokens};
  const mamba2::Pass pass = {c, a, std::span(&part, 1), std::span(&part, 1), executor};
  const mamba2::Mamba2Mixer mixer(weights.layers[0].mamba2(), 0, scratch.mixers.mamba2, pass);
  pass.each_token([&](std::size_t t) { mixer.prepare(t); });
  mixer.mix([](std::size_t, std::size_t, float) {});
  return {a.u.data, a.u.data + tokens * c.d_model};
}

}  // namespace

TEST_CASE("the mixer agrees with the original implementation") {
  for (const std::string variant :
       {"g1", "g2", "nbg", "norms", "dtlim", "mlp", "bias", "noconvb"}) {
    CAPTURE(variant);
    auto official =
        reference::load_official_block(MAMBA2_SOURCE_DIR "/tests/golden/official_block_" + variant +
                                       ".safetensors")
            .value();
    // A model needs what surrounds the mixer, too.
    reference::Weights weights;
    official.weights.norm.assign(official.config.d_model, 1.0);
    weights.blocks = {official.weights};
    weights.embedding.assign(official.config.d_model, 1.0);
    weights.norm_f.assign(official.config.d_model, 1.0);
    const auto [json, file] = reference::to_checkpoint(official.config, weights);
    const std::span<const std::byte> shard = std::as_bytes(std::span(file));
    const auto checkpoint = mamba2::Checkpoint::from_bytes(json, std::span(&shard, 1)).value();
    const auto packed = mamba2::load_weights(checkpoint, mamba2::kPlan<Fp32>).value();

    const std::size_t sequence = official.length * official.config.d_model;
    std::vector<float> output;
    for (std::size_t b = 0; b < official.batch; ++b) {
      const auto first = official.input.begin() + static_cast<std::ptrdiff_t>(b * sequence);
      const auto part = run_mixer(packed, {first, first + static_cast<std::ptrdiff_t>(sequence)},
                                  official.length);
      output.insert(output.end(), part.begin(), part.end());
    }
    // The original ran on a GPU whose products round to TF32.
    const double difference = reference::max_abs_difference(output, official.output);
    MESSAGE("official_block_", variant, ": largest difference ", difference);
    CHECK(difference < 1e-3);
  }
}
