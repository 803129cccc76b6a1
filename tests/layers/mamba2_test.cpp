// SPDX-License-Identifier: Apache-2.0
// The mixer against outputs of the original PyTorch and Triton implementation.
#include "mamba2/layers/mamba2.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "mamba2/linear/floats.hpp"
#include "tests/model_helpers.hpp"
#include "tests/reference/compare.hpp"
#include "tests/reference/official_block.hpp"
#include "tests/reference/random_weights.hpp"

using mamba2::Config;
using mamba2::Fp32;

namespace {

/// The library's mixer over one sequence u (tokens, d_model), from the empty state.
std::vector<float> run_mixer(const mamba2::Weights<Fp32>& weights, const std::vector<double>& u,
                             std::size_t tokens) {
  const Config& c = weights.config;
  mamba2::State state = mamba2::State::create(c).value();
  const std::size_t bytes = std::max(Fp32::input_bytes(c.d_model), Fp32::input_bytes(c.d_inner));
  mamba2::Carver counter;
  (void)mamba2::Activations(counter, c, tokens, bytes);
  const auto arena = mamba2::Arena::create(counter.used()).value();
  mamba2::Carver carver(arena.data());
  const mamba2::Activations a(carver, c, tokens, bytes);
  const auto input = reference::to_float(u);
  std::copy(input.begin(), input.end(), a.u.data);
  mamba2::SerialExecutor executor;
  const mamba2::Part part = {&state, 0, tokens};
  mamba2::Block<Fp32>(c, weights.blocks[0], a, std::span(&part, 1), executor).mixer(0);
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
    const auto packed = mamba2::load_weights<Fp32>(checkpoint).value();

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
