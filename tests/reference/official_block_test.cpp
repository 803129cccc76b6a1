// SPDX-License-Identifier: Apache-2.0
// The oracle's mixer against that of the original implementation, in each of its variants.
#include "tests/reference/official_block.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "tests/reference/compare.hpp"

namespace {

using namespace reference;

OfficialBlock load(const std::string& variant) {
  return load_official_block(MAMBA2_SOURCE_DIR "/tests/golden/official_block_" + variant +
                             ".safetensors")
      .value();
}

/// The largest difference between the oracle under this config and the golden output.
double error(const OfficialBlock& block, const Config& config, const Options& options = {}) {
  std::vector<double> output;
  const std::size_t sequence = block.length * config.d_model;
  for (std::size_t b = 0; b < block.batch; ++b) {
    BlockState state(config);
    const auto input = std::span<const double>(block.input).subspan(b * sequence, sequence);
    const std::vector<double> part = mixer(config, block.weights, input, state, options);
    output.insert(output.end(), part.begin(), part.end());
  }
  return max_abs_difference(output, block.output);
}

TEST_CASE("official block: the oracle agrees in every variant") {
  // The original ran its matrix products in TF32, ten bits of mantissa.
  const double kTf32 = 1e-3;
  for (const std::string variant :
       {"g1", "g2", "nbg", "norms", "dtlim", "mlp", "bias", "noconvb"}) {
    CAPTURE(variant);
    const OfficialBlock block = load(variant);
    REQUIRE(block.config.validate());
    CHECK(max_abs(block.output) > 0.5);
    CHECK(error(block, block.config) < kTf32);
    CHECK(error(block, block.config, Options{.chunk = 16}) < kTf32);
  }
}

TEST_CASE("official block: what each variant changes is seen") {
  const double kClear = 0.02;
  OfficialBlock block = load("g2");
  CHECK(error(block, block.config, Options{.ungrouped_norm = true}) > kClear);

  block = load("nbg");
  block.config.norm_before_gate = false;
  CHECK(error(block, block.config) > kClear);

  block = load("norms");
  block.config.rmsnorm = true;
  block.weights.gated_norm.assign(block.config.d_ssm, 1.0);
  CHECK(error(block, block.config) > kClear);

  block = load("dtlim");
  block.config.dt_min = 0.0F;
  CHECK(error(block, block.config) > kClear);
  block = load("dtlim");
  block.config.dt_max = 10.0F;
  CHECK(error(block, block.config) > kClear);

  block = load("bias");
  block.weights.in_proj_bias.clear();
  CHECK(error(block, block.config) > kClear);
  block = load("bias");
  block.weights.out_proj_bias.clear();
  CHECK(error(block, block.config) > kClear);

  block = load("g1");
  block.weights.conv_bias.clear();
  CHECK(error(block, block.config) > kClear);
}

}  // namespace
