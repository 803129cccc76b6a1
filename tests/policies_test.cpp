// SPDX-License-Identifier: Apache-2.0
// Whole models with quantized weights: against the oracle with the same, dequantized, weights, so
// that the error of the weights does not count, and with any number of threads.
#include <doctest/doctest.h>

#include <span>
#include <string>
#include <vector>

#include "mamba2/kernels/hadamard.hpp"
#include "mamba2/linear/floats.hpp"
#include "mamba2/linear/int4.hpp"
#include "mamba2/linear/int8.hpp"
#include "mamba2/linear/mixed.hpp"
#include "tests/constants.hpp"
#include "tests/model_helpers.hpp"
#include "tests/reference/compare.hpp"
#include "tests/reference/random_weights.hpp"

using mamba2::Config;
using mamba2::Token;
using reference::max_abs_difference;
using reference::standard_deviation;

namespace {

/// Widths as in real models, so that groups, rotations, bands and chunks all occur, and one model
/// where nothing fits.
std::vector<reference::Variant> shapes() {
  Config c;
  c.d_model = 96;
  c.n_layer = 2;
  c.vocab_size = 70;
  c.d_inner = c.d_ssm = 192;
  c.headdim = 32;
  c.d_state = 24;
  std::vector<reference::Variant> all = {{"even", c}};
  c.d_model = 37;
  c.d_inner = 111;
  c.d_ssm = 57;
  c.headdim = 19;
  c.d_state = 7;
  c.bias = true;
  c.tie_embeddings = false;
  all.push_back({"odd", c});
  return all;
}

std::vector<double> dequantized(const mamba2::Matrix& m) {
  std::vector<double> values;
  std::vector<float> row(m.cols);
  for (std::size_t r = 0; r < m.rows; ++r) {
    m.row(r, row.data());
    m.rotate(row.data());  // back
    values.insert(values.end(), row.begin(), row.end());
  }
  return values;
}

/// The largest difference from the oracle, in standard deviations of the logits, after the tokens
/// as a prompt and one by one.
template <class WeightT>
double difference(const Config& config) {
  auto weights = reference::random_weights(config, 11);
  const auto packed = tests::with_checkpoint(config, weights, [](const auto& checkpoint) {
    return mamba2::load_weights(checkpoint.value(), mamba2::kPlan<WeightT>,
                                {.workers = {.threads = 1}})
        .value();
  });
  weights.embedding = dequantized(packed.embedding);
  if (!config.tie_embeddings) weights.lm_head = dequantized(packed.lm_head);
  for (std::size_t i = 0; i < config.n_layer; ++i) {
    weights.blocks[i].in_proj = dequantized(packed.layers[i].mamba2().in_proj);
    weights.blocks[i].out_proj = dequantized(packed.layers[i].mamba2().out_proj);
  }
  const auto tokens = reference::Random(12).tokens(70, config.vocab_size);
  const auto expected = reference::forward(config, weights, tokens);

  const auto model = tests::load<WeightT>(config, reference::random_weights(config, 11));
  auto session = model.session({.workers = {.threads = 1}}).value();
  const double prompt = max_abs_difference(tests::all_logits(session, tokens), expected);
  session.reset();
  std::vector<float> one_by_one;
  for (const Token token : tokens) {
    const auto logits = session.decode(token).value();
    one_by_one.insert(one_by_one.end(), logits.begin(), logits.end());
  }
  return std::max(prompt, max_abs_difference(one_by_one, expected)) / standard_deviation(expected);
}

template <class WeightT>
void check(double bound) {
  for (const auto& shape : shapes()) {
    CAPTURE(shape.name);
    const double found = difference<WeightT>(shape.config);
    MESSAGE(std::string(WeightT::name), ", ", shape.name, ": ", found,
            " standard deviations of the logits");
    CHECK(found < bound);
  }
}

/// A shape whose matrices are cut into several tasks in every precision, with groups, and an odd
/// one.
std::vector<Config> shapes_for_threads() {
  Config c;
  c.d_model = 640;
  c.n_layer = 1;
  c.vocab_size = 900;
  c.d_inner = c.d_ssm = 1280;
  c.headdim = 32;
  c.d_state = 20;
  c.ngroups = 2;
  std::vector<Config> all;
  all.push_back(c);
  all.push_back(shapes()[1].config);
  return all;
}

template <class WeightT>
void check_threads(const Config& config, mamba2::StatePrecision state) {
  const auto weights = reference::random_weights(config, 21);
  const auto tokens = reference::Random(22).tokens(19, config.vocab_size);
  const auto run = [&](std::size_t threads) {
    const mamba2::Workers workers = {.threads = threads};
    const auto model = tests::with_checkpoint(config, weights, [&](const auto& checkpoint) {
      return mamba2::Mamba2Model<WeightT>::load(checkpoint.value(), {.workers = workers}).value();
    });
    auto session = model.session({.state = state, .workers = workers}).value();
    std::vector<float> logits = tests::all_logits(session, tokens);
    for (const Token token : {Token{1}, Token{2}, Token{3}}) {
      const auto more = session.decode(token).value();
      logits.insert(logits.end(), more.begin(), more.end());
    }
    return logits;
  };
  const auto expected = run(1);
  for (const std::size_t threads : tests::all_or_last({2, 7, 3})) {
    CAPTURE(threads);
    CHECK(run(threads) == expected);
  }
}

/// The next logits are a matter of the state: in another session, with any number of threads.
template <class WeightT>
void check_next_logits(const Config& config, mamba2::StatePrecision state) {
  const auto model = tests::load<WeightT>(config, reference::random_weights(config, 23));
  auto first = model.session({.state = state, .workers = {.threads = 1}}).value();
  std::vector<mamba2::Session<WeightT>> others;
  for (const std::size_t threads : std::vector<std::size_t>{1, 3, 2, 7}) {
    if (tests::kQuick && others.size() == 2) break;
    others.push_back(model.session({.state = state, .workers = {.threads = threads}}).value());
  }
  const auto check = [&](std::span<const float> returned) {
    const std::vector<float> expected(returned.begin(), returned.end());
    for (auto& other : others) {
      other.set_state(first.state()).value();
      const auto logits = other.logits();
      CHECK(std::vector<float>(logits.begin(), logits.end()) == expected);
    }
  };
  check(first.prefill(reference::Random(24).tokens(19, config.vocab_size)).value());
  check(first.decode(1).value());
  check(first.prefill(std::vector<Token>{4, 2}).value());
  // The head adds up in another order for many tokens: the next logits are those of one.
  const auto tokens = reference::Random(25).tokens(19, config.vocab_size);
  const mamba2::State before = first.state();
  (void)tests::all_logits(first, tokens);
  others.back().set_state(before).value();
  check(others.back().prefill(tokens).value());
}

}  // namespace

// What is left with dequantized weights is the rounding of the activations: to FP32, and where
// products are of integers (or of BF16) to 8 bits, which random models, whose activations have no
// structure, show at its worst.
TEST_CASE("Fp16 models agree with the oracle") { check<mamba2::Fp16>(2e-4); }
TEST_CASE("Bf16 models agree with the oracle") { check<mamba2::Bf16>(5e-2); }
TEST_CASE("Int8 models agree with the oracle") { check<mamba2::Int8>(1e-1); }
TEST_CASE("Int8A32 models agree with the oracle") { check<mamba2::Int8A32>(2e-4); }
TEST_CASE("Int4 models agree with the oracle") { check<mamba2::Int4>(1e-1); }
TEST_CASE("Mixed models of F32 agree with the oracle") { check<mamba2::Mixed>(2e-4); }

TEST_CASE("the same bits whatever the number of threads") {
  for (const Config& config : shapes_for_threads()) {
    CAPTURE(config.d_model);
    check_threads<mamba2::Fp32>(config, mamba2::StatePrecision::fp16);
    check_threads<mamba2::Fp16>(config, mamba2::StatePrecision::fp32);
    check_threads<mamba2::Bf16>(config, mamba2::StatePrecision::fp32);
    check_threads<mamba2::Int8>(config, mamba2::StatePrecision::fp32);
    check_threads<mamba2::Int4>(config, mamba2::StatePrecision::fp16);
    check_threads<mamba2::Mixed>(config, mamba2::StatePrecision::fp32);
  }
}

TEST_CASE("a State goes on with the bits that decode() and prefill() returned") {
  for (const Config& config : shapes_for_threads()) {
    CAPTURE(config.d_model);
    check_next_logits<mamba2::Fp32>(config, mamba2::StatePrecision::fp16);
    check_next_logits<mamba2::Fp16>(config, mamba2::StatePrecision::fp32);
    check_next_logits<mamba2::Bf16>(config, mamba2::StatePrecision::fp32);
    check_next_logits<mamba2::Int8>(config, mamba2::StatePrecision::fp32);
    check_next_logits<mamba2::Int8A32>(config, mamba2::StatePrecision::fp32);
    check_next_logits<mamba2::Int4>(config, mamba2::StatePrecision::fp16);
    check_next_logits<mamba2::Mixed>(config, mamba2::StatePrecision::fp32);
  }
}
