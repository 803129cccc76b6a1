// SPDX-License-Identifier: Apache-2.0
// The whole library against the double-precision oracle: every variant of the architecture.
#include "mamba2/model/model.hpp"

#include <doctest/doctest.h>

#include <cmath>

#include "mamba2/linear/floats.hpp"
#include "tests/model_helpers.hpp"
#include "tests/reference/compare.hpp"
#include "tests/reference/random_weights.hpp"
#include "tests/reference/toy.hpp"

using mamba2::Fp32;
using mamba2::Token;
using reference::max_abs_difference;
using reference::standard_deviation;
using tests::all_logits;
using tests::load;

namespace {

/// The bound of the library: FP32 logits are within this many of the oracle's standard deviations.
constexpr double kBound = 2e-4;

}  // namespace

TEST_CASE("logits of every variant agree with the oracle") {
  double worst = 0.0;
  for (const auto& named : reference::variants()) {
    CAPTURE(named.name);
    const auto& config = named.config;
    const auto weights = reference::random_weights(config, 1);
    auto session = load(config, weights).session().value();
    const auto tokens = reference::Random(2).tokens(19, config.vocab_size);
    const auto expected = reference::forward(config, weights, tokens);
    const double difference =
        max_abs_difference(all_logits(session, tokens), expected) / standard_deviation(expected);
    worst = std::max(worst, difference);
    CHECK(difference < kBound);
  }
  MESSAGE("largest difference, in standard deviations of the logits: ", worst);
}

TEST_CASE("prefill and decode agree, whatever the batch and wherever the prompt is split") {
  for (const auto& named : reference::variants()) {
    CAPTURE(named.name);
    const auto& config = named.config;
    const auto weights = reference::random_weights(config, 3);
    const auto model = load(config, weights);
    const auto tokens = reference::Random(4).tokens(17, config.vocab_size);
    auto whole = model.session().value();
    const auto expected = all_logits(whole, tokens);
    const std::span<const Token> text(tokens);
    for (const std::size_t batch : std::vector<std::size_t>{1, 2, 5, 64}) {
      for (std::size_t split = 1; split < tokens.size(); split += 3) {
        CAPTURE(batch);
        CAPTURE(split);
        auto session = model.session({.prefill_batch = batch}).value();
        (void)session.prefill(text.first(split)).value();
        std::span<const float> logits;
        for (const Token token : text.subspan(split)) logits = session.decode(token).value();
        CHECK(max_abs_difference(logits, std::span(expected).last(config.vocab_size)) < 1e-4);
        CHECK(session.state().tokens() == tokens.size());
      }
    }
  }
}

TEST_CASE("the toy model gives the logits that were worked out for it") {
  auto session = load(reference::toy_config(), reference::toy_weights()).session().value();
  const auto logits = all_logits(session, reference::toy_tokens());
  const std::vector<double> first = {
      2.4324603,  3.5920064,  -1.2264512, 1.9221087, -2.0518781, -1.0961522, 1.2608787, -1.6059482,
      -0.9387163, -1.1212840, 0.9106403,  0.9300621, 1.0663296,  0.5518233,  0.0351051, -1.0437801};
  const std::vector<double> last = {-2.2522790, -1.1596256, 0.8917853,  0.0547038,
                                    -4.1732395, -2.3097865, 3.1928488,  0.0033318,
                                    2.3462684,  2.8448224,  -3.8759420, -0.2752587,
                                    -1.3227995, 0.3719198,  -0.2629166, 3.3989519};
  CHECK(max_abs_difference(std::span(logits).first(16), first) < 1e-5 * 4);
  CHECK(max_abs_difference(std::span(logits).last(16), last) < 1e-5 * 4);
  double sum = 0.0;
  for (const float logit : logits) sum += static_cast<double>(logit);
  CHECK(sum == doctest::Approx(-7.561176506331593).epsilon(1e-5));
  // Values that the published vectors list: of head 3 and head 0. The state of a head is made of
  // what it was before the chunk, and of the chunk's rows.
  const auto state = [&](std::size_t layer, std::size_t head, std::size_t n, std::size_t p) {
    mamba2::State copy = session.state();
    const mamba2::ChunkMemory chunk = copy.chunk(layer, 0);
    float value = chunk.entering[head] * copy.ssm(layer)[(head * 4 + n) * 4 + p];
    for (std::size_t j = 0; j < copy.rows(); ++j) {
      value += chunk.since[head * 16 + j] * chunk.B[j * 8 + head / 2 * 4 + n] *
               chunk.x[(head * 16 + j) * 4 + p];
    }
    return value;
  };
  CHECK(session.state().rows() == reference::toy_tokens().size());
  CHECK(state(0, 3, 0, 0) == doctest::Approx(-0.0205390).epsilon(1e-4));
  CHECK(state(1, 0, 3, 3) == doctest::Approx(0.4167718).epsilon(1e-4));
  CHECK(session.state().conv(0)[2 * 32 + 31] == doctest::Approx(2.3479678).epsilon(1e-5));
}

TEST_CASE("the model says how many bytes it holds and a token needs") {
  const mamba2::Config config = reference::toy_config();
  const auto model = load(config, reference::toy_weights());
  CHECK(model.weight_bytes() >= 4 * (16 * 8 + 2 * (52 * 8 + 8 * 16)));
  // Of the state: conv and the last row are read and written, the ssm is read, and a 16th of it
  // written; of a chunk with 16 rows of x and B one is written, and eight and a half are read.
  const std::size_t ssm = 2 * 4 * 4 * 4;
  const std::size_t row = 2 * (4 * 4 + 2 * 4);
  const std::size_t decays = 2 * 17 * 4;
  CHECK(model.bytes_per_token() == model.weight_bytes() +
                                       4 * (2 * (2 * 3 * 32 + 8 + decays) + ssm + ssm / 16 + row) +
                                       4 * row * 17 / 2);
  const auto needed = mamba2::Mamba2Model<Fp32>::memory_required(config);
  CHECK(needed.weights == model.weight_bytes());
  CHECK(needed.state == mamba2::State::bytes(config));
  CHECK(needed.peak() >= needed.weights + needed.state + needed.scratch);
  CHECK(mamba2::Mamba2Model<Fp32>::memory_required(config, {.prefill_batch = 1}).scratch <
        needed.scratch);
  // Parts begin on cache lines.
  const std::size_t chunks = mamba2::detail::round_up(4 * (16 * (row + 2 * 4) + decays), 64);
  CHECK(mamba2::State::bytes(config) == 4 * (2 * 3 * 32 + ssm) + chunks + 64);
  CHECK(mamba2::State::bytes(config, {.precision = mamba2::StatePrecision::fp16}) ==
        4 * 2 * 3 * 32 + 2 * ssm + chunks + 64);
  // To take back five tokens: a chunk more, the convolution's inputs, and the ssm of one layer.
  CHECK(mamba2::State::bytes(config, {.rewind = 5}) ==
        4 * (2 * 3 * 32 + ssm) + mamba2::detail::round_up(8 * (16 * (row + 2 * 4) + decays), 64) +
            64 + 4 * 2 * (3 + 5) * 32 + 4 * ssm / 2);
}
