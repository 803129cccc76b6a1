// SPDX-License-Identifier: Apache-2.0
// The oracle against itself: two forms of the same layer, states, and equivalent models.
#include "tests/reference/mamba2_reference.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <initializer_list>
#include <limits>
#include <span>
#include <vector>

#include "tests/reference/compare.hpp"
#include "tests/reference/random_weights.hpp"

namespace {

using namespace reference;

constexpr std::size_t kTokens = 19;

TEST_CASE("reference: a float of a config is the decimal number that was written") {
  CHECK(decimal(1e-5F) == 1e-5);
  CHECK(decimal(0.1F) == 0.1);
  CHECK(decimal(0.0F) == 0.0);
  CHECK(decimal(std::numeric_limits<float>::infinity()) == std::numeric_limits<double>::infinity());
}

TEST_CASE("reference: the chunked form is the recurrence") {
  for (const reference::Variant& variant : variants()) {
    CAPTURE(variant.name);
    const Config& config = variant.config;
    REQUIRE(config.validate());
    const Weights weights = random_weights(config, 1);
    const std::vector<Token> tokens = Random(2).tokens(kTokens, config.vocab_size);
    reference::State state(config);
    const std::vector<double> logits = forward(config, weights, tokens, state);
    REQUIRE(logits.size() == kTokens * config.vocab_size);
    for (const std::size_t chunk : {1U, 2U, 7U, 19U, 64U}) {
      CAPTURE(chunk);
      reference::State chunked(config);
      const Options options{.chunk = chunk};
      CHECK(max_abs_difference(forward(config, weights, tokens, chunked, options), logits) < 1e-12);
      for (std::size_t i = 0; i < config.n_layer; ++i) {
        CHECK(max_abs_difference(chunked.blocks[i].ssm, state.blocks[i].ssm) < 1e-12);
      }
    }
  }
}

TEST_CASE("reference: a sequence may be cut anywhere") {
  for (const reference::Variant& variant : variants()) {
    CAPTURE(variant.name);
    const Config& config = variant.config;
    const Weights weights = random_weights(config, 3);
    const std::vector<Token> tokens = Random(4).tokens(kTokens, config.vocab_size);
    const std::vector<double> logits = forward(config, weights, tokens);
    for (const std::size_t chunk : {0U, 4U}) {
      for (std::size_t cut = 1; cut < kTokens; ++cut) {
        CAPTURE(cut);
        reference::State state(config);
        const std::span<const Token> all(tokens);
        const Options options{.chunk = chunk};
        std::vector<double> parts = forward(config, weights, all.first(cut), state, options);
        const auto rest = forward(config, weights, all.subspan(cut), state, options);
        parts.insert(parts.end(), rest.begin(), rest.end());
        CHECK(max_abs_difference(parts, logits) < 1e-12);
      }
    }
  }
}

TEST_CASE("reference: random models neither vanish nor explode") {
  for (const reference::Variant& variant : variants()) {
    CAPTURE(variant.name);
    const Config& config = variant.config;
    const Weights weights = random_weights(config, 5);
    const std::vector<Token> tokens = Random(6).tokens(100, config.vocab_size);
    reference::State state(config);
    const std::vector<double> logits = forward(config, weights, tokens, state);
    CHECK(max_abs(logits) > 0.5);
    CHECK(max_abs(logits) < 50.0);
    for (const BlockState& block : state.blocks) {
      CHECK(max_abs(block.ssm) > 1e-3);
      CHECK(max_abs(block.ssm) < 50.0);
    }
  }
}

TEST_CASE("reference: random models are the same everywhere") {
  const Weights weights = random_weights(variants()[0].config, 7);
  CHECK(weights.embedding[0] == -0x1.003e88p+0);
  CHECK(weights.blocks[1].A_log[3] == 0x1.29bb9ap+1);
  CHECK(weights.norm_f[21] == 0x1.e9917ep-1);
}

TEST_CASE("reference: models that say the same in two ways agree") {
  Config config = variants()[1].config;
  Weights weights = random_weights(config, 8);
  const std::vector<Token> tokens = Random(9).tokens(kTokens, config.vocab_size);
  const std::vector<double> logits = forward(config, weights, tokens);

  config.tie_embeddings = false;
  weights.lm_head = weights.embedding;
  CHECK(max_abs_difference(forward(config, weights, tokens), logits) == 0.0);

  config.D_has_hdim = true;
  for (BlockWeights& block : weights.blocks) {
    std::vector<double> per_channel;
    for (const double d : block.D) per_channel.insert(per_channel.end(), config.headdim, d);
    block.D = per_channel;
  }
  CHECK(max_abs_difference(forward(config, weights, tokens), logits) == 0.0);
  weights.blocks[0].D[5] += 0.5;
  CHECK(max_abs_difference(forward(config, weights, tokens), logits) > 1e-3);
}

TEST_CASE("reference: only groups make the ungrouped norm wrong") {
  for (const std::size_t variant : {0U, 1U}) {
    const Config config = variants()[variant].config;
    const Weights weights = random_weights(config, 10);
    const std::vector<Token> tokens = Random(11).tokens(kTokens, config.vocab_size);
    const double difference =
        max_abs_difference(forward(config, weights, tokens),
                           forward(config, weights, tokens, Options{.ungrouped_norm = true}));
    CHECK((config.ngroups == 1 ? difference == 0.0 : difference > 0.1));
  }
}

}  // namespace
