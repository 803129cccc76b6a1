// SPDX-License-Identifier: Apache-2.0
#include "mamba2/sequence/batch.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "mamba2/linear/int4.hpp"
#include "mamba2/linear/int8.hpp"
#include "mamba2/linear/mixed.hpp"
#include "tests/io/gguf_model.hpp"
#include "tests/io/quantized_model.hpp"
#include "tests/linear/random_blocks.hpp"
#include "tests/model_helpers.hpp"
#include "tests/reference/compare.hpp"
#include "tests/reference/random_weights.hpp"
#include "tests/sequence/remembered.hpp"

using mamba2::Config;
using mamba2::ErrorCode;
using mamba2::Reading;
using mamba2::Session;
using mamba2::StatePrecision;
using mamba2::Token;

namespace {

/// Matrices of several panels, groups, heads that are scanned in chunks.
Config batch_config() {
  Config c;
  c.d_model = 64;
  c.n_layer = 2;
  c.vocab_size = 300;
  c.d_inner = c.d_ssm = 128;
  c.headdim = 32;
  c.d_state = 20;
  c.ngroups = 2;
  return c;
}

template <class WeightT>
mamba2::Mamba2Model<WeightT> batch_model() {
  return tests::load<WeightT>(batch_config(), reference::random_weights(batch_config(), 31));
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

bool same_bits(const mamba2::State& a, const mamba2::State& b) {
  return a.same_shape(b) && a.tokens() == b.tokens() &&
         tests::remembered(a) == tests::remembered(b) && same_bits(a.last(), b.last());
}

/// The options of every session and batch below: small, so that prompts are cut.
constexpr std::size_t kPiece = 70;

mamba2::SessionOptions alone_options(StatePrecision state = StatePrecision::fp32) {
  return {.prefill_batch = kPiece, .state = state, .workers = {.threads = 1}};
}
mamba2::BatchOptions together_options(std::size_t threads = 1) {
  return {.tokens = 96, .prefill_batch = kPiece, .workers = {.threads = threads}};
}

/// Prompts of every kind of length, in no order: all ways in which products and scans treat few
/// tokens and many, several chunks, several pieces.
std::vector<std::vector<Token>> prompts(std::size_t count, std::size_t vocab_size) {
  const std::vector<std::size_t> lengths = {5,  1, 200, 2, 3, 64, 1, 1, 17,
                                            90, 4, 2,   6, 7, 33, 3, 1};
  std::vector<std::vector<Token>> all;
  for (std::size_t i = 0; i < count; ++i) {
    all.push_back(reference::Random(100 + i).tokens(lengths[i % lengths.size()], vocab_size));
  }
  return all;
}

template <class WeightT>
std::vector<Session<WeightT>> sessions(const mamba2::Mamba2Model<WeightT>& model, std::size_t count,
                                       StatePrecision state = StatePrecision::fp32) {
  std::vector<Session<WeightT>> all;
  for (std::size_t i = 0; i < count; ++i)
    all.push_back(model.session(alone_options(state)).value());
  return all;
}

/// Sequences that have read prompts read two tokens more, one by one: each alone and all together.
template <class WeightT>
void check_decode(const mamba2::Mamba2Model<WeightT>& model, std::size_t count, std::size_t threads,
                  StatePrecision state) {
  const std::size_t vocab_size = model.config().vocab_size;
  auto singly = sessions(model, count, state);
  auto users = sessions(model, count, state);
  std::vector<Session<WeightT>*> all;
  for (std::size_t i = 0; i < count; ++i) {
    (void)singly[i].prefill(reference::Random(70 + i).tokens(i % 3 + 1, vocab_size)).value();
    users[i].set_state(singly[i].state()).value();
    all.push_back(&users[i]);
  }
  auto batch = model.batch(together_options(threads)).value();
  std::vector<float> logits(count * vocab_size);
  for (std::size_t step = 0; step < 2; ++step) {
    const auto tokens = reference::Random(50 + step).tokens(count, vocab_size);
    batch.decode(all, tokens, logits).value();
    for (std::size_t i = 0; i < count; ++i) {
      CAPTURE(i);
      const auto expected = singly[i].decode(tokens[i]).value();
      CHECK(same_bits(std::span(logits).subspan(i * vocab_size, vocab_size), expected));
      CHECK(same_bits(users[i].state(), singly[i].state()));
      CHECK(same_bits(users[i].logits(), expected));
    }
  }
}

/// Sequences read prompts of different lengths together, and want no logits, the last, or all.
template <class WeightT>
void check_prefill(const mamba2::Mamba2Model<WeightT>& model, std::size_t count,
                   std::size_t threads, StatePrecision precision) {
  const std::size_t vocab_size = model.config().vocab_size;
  const auto texts = prompts(count, vocab_size);
  std::vector<mamba2::State> states(
      count, mamba2::State::create(model.config(), {.precision = precision}).value());
  std::vector<std::vector<float>> logits(count);
  std::vector<Reading> readings;
  for (std::size_t i = 0; i < count; ++i) {
    logits[i].resize((i % 3 == 0 ? texts[i].size() : i % 3 - 1) * vocab_size);
    readings.push_back({&states[i], texts[i], logits[i]});
  }
  model.batch(together_options(threads)).value().prefill(readings).value();
  auto session = model.session(alone_options(precision)).value();
  auto next = model.session(alone_options(precision)).value();
  for (std::size_t i = 0; i < count; ++i) {
    CAPTURE(i);
    session.reset();
    if (i % 3 == 0) {
      CHECK(same_bits(logits[i], tests::all_logits(session, texts[i])));
    } else {
      const auto last = session.prefill(texts[i]).value();
      CHECK(same_bits(logits[i], last.first(logits[i].size())));
    }
    CHECK(same_bits(states[i], session.state()));
    next.set_state(states[i]).value();
    CHECK(same_bits(next.logits(), session.logits()));
  }
}

template <class WeightT>
void check_batches(const mamba2::Mamba2Model<WeightT>& model, std::size_t count,
                   std::size_t threads, StatePrecision state) {
  CAPTURE(WeightT::name);
  CAPTURE(threads);
  CAPTURE(count);
  check_decode(model, count, threads, state);
  check_prefill(model, count, threads, state);
}

// Not every number of sequences with every number of threads and either state: that bits do not
// depend on the threads is policies_test's.
template <class WeightT>
void check_batches(const mamba2::Mamba2Model<WeightT>& model) {
  for (const std::size_t count : std::vector<std::size_t>{1, 2, 3, 17}) {
    check_batches(model, count, 3, StatePrecision::fp32);
  }
  check_batches(model, 2, 1, StatePrecision::fp32);
  check_batches(model, 17, 1, StatePrecision::fp16);
}

}  // namespace

TEST_CASE("many sequences at a time get the bits that each gets alone") {
  check_batches(batch_model<mamba2::Fp32>());
  check_batches(batch_model<mamba2::Fp16>());
  check_batches(batch_model<mamba2::Bf16>());
  check_batches(batch_model<mamba2::Int8>());
  check_batches(batch_model<mamba2::Int8A32>());
  check_batches(batch_model<mamba2::Int4>());
  check_batches(batch_model<mamba2::Int4Groups<128>>());
  check_batches(batch_model<mamba2::Mixed>());
}

TEST_CASE("so they do with a format for each matrix") {
  const std::string toy = MAMBA2_SOURCE_DIR "/tests/golden/gguf/toy.gguf";
  const auto model = mamba2::Mamba2Model<mamba2::Mixed>::load(toy).value();
  check_batches(model);
}

TEST_CASE("and with the formats of K-quants beside F16 and BF16") {
  Config c = batch_config();
  c.d_model = c.d_inner = c.d_ssm = 256;  // a super-block
  const auto weights = reference::random_weights(c, 33);
  const auto file = tests::with_checkpoint(c, weights, [](const auto& checkpoint) {
    mamba2_tests::GgufModel gguf(checkpoint.value());
    const auto store = [&gguf](const std::string& name, mamba2::DType type) {
      auto& tensor = gguf[name];
      tensor.type = type;
      if (mamba2::dtype_block(type) > 1) {
        tensor.data = tests::random_blocks(type, tensor.shape[0], 256, 34).data;
        return;
      }
      for (const float value : tensor.values) {
        const auto bits = std::bit_cast<std::array<std::byte, 2>>(
            type == mamba2::DType::F16 ? mamba2::float_to_fp16(value)
                                       : mamba2::float_to_bf16(value));
        tensor.data.insert(tensor.data.end(), bits.begin(), bits.end());
      }
    };
    store("token_embd.weight", mamba2::DType::Q6_K);
    store("blk.0.ssm_in.weight", mamba2::DType::Q4_K);
    store("blk.0.ssm_out.weight", mamba2::DType::Q6_K);
    store("blk.1.ssm_in.weight", mamba2::DType::F16);
    store("blk.1.ssm_out.weight", mamba2::DType::BF16);
    return gguf.bytes();
  });
  const auto checkpoint = mamba2::Checkpoint::from_gguf(file).value();
  const auto model = mamba2::Mamba2Model<mamba2::Mixed>::load(checkpoint).value();
  check_batches(model, 3, 3, StatePrecision::fp32);
  check_decode(model, 17, 1, StatePrecision::fp16);
}

TEST_CASE("and with the codes of quantized checkpoints, one format for each matrix") {
  Config c = batch_config();
  c.d_model = c.d_inner = c.d_ssm = 128;  // where every group fits
  using mamba2::DType;
  const mamba2_tests::QuantizedModel quantized(
      c, reference::random_weights(c, 35),
      [](std::string_view name, std::size_t) -> mamba2::StoredFormat {
        if (name == "layers.0.mixer.in_proj") return {DType::INT4_G32};
        if (name == "layers.0.mixer.out_proj") return {DType::INT4_G64, 128};
        if (name == "layers.1.mixer.in_proj") return {DType::INT4_G128};
        return {DType::INT8};
      });
  const auto model = quantized.open([](const auto& checkpoint) {
    return mamba2::Mamba2Model<mamba2::Mixed>::load(checkpoint.value()).value();
  });
  check_batches(model, 3, 3, StatePrecision::fp32);
  check_batches(model, 17, 1, StatePrecision::fp16);
}

TEST_CASE("logits of some of the tokens, of neighbours in memory or not") {
  const auto model = batch_model<mamba2::Fp32>();
  const std::size_t vocab_size = model.config().vocab_size;
  const auto texts = prompts(3, vocab_size);
  auto batch = model.batch(together_options()).value();
  std::vector<mamba2::State> states(3, mamba2::State::create(model.config()).value());
  // The third's come first, and before the second's there is a gap.
  std::vector<float> logits(9 * vocab_size, 7.0F);
  const auto rows = [&](std::size_t first, std::size_t count) {
    return std::span(logits).subspan(first * vocab_size, count * vocab_size);
  };
  const std::vector<Reading> readings = {{&states[0], texts[0], rows(2, 3)},
                                         {&states[1], texts[1], rows(8, 1)},
                                         {&states[2], texts[2], rows(0, 2)}};
  batch.prefill(readings).value();
  for (std::size_t i = 0; i < 3; ++i) {
    CAPTURE(i);
    auto session = model.session(alone_options()).value();
    const auto all = tests::all_logits(session, texts[i]);
    const std::span<const float> expected =
        std::span(all).last(std::min(all.size(), readings[i].logits.size()));
    // Not the same bits: the head adds up in another order for as many tokens as `all` has.
    CHECK(reference::max_abs_difference(readings[i].logits, expected) <
          1e-5 * reference::max_abs(expected));
  }
  CHECK(std::ranges::all_of(rows(5, 3), [](float value) { return value == 7.0F; }));
}

TEST_CASE("what a batch refuses changes nothing in any sequence") {
  const auto model = batch_model<mamba2::Fp32>();
  const Config& config = model.config();
  auto batch = model.batch(together_options()).value();
  auto users = sessions(model, 3);
  const std::vector<Session<mamba2::Fp32>*> all = {&users[0], &users[1], &users[2]};
  std::vector<float> logits(3 * config.vocab_size);
  const mamba2::State empty = mamba2::State::create(config).value();
  const auto refused = [&](const mamba2::Result<void>& outcome, const std::string& message) {
    REQUIRE(!outcome);
    CHECK(outcome.error().message == "batch: " + message);
    for (const auto& user : users) CHECK(same_bits(user.state(), empty));
  };
  const std::vector<Token> good = {1, 2, 3};
  const std::vector<Token> bad = {1, 2, 300};
  refused(batch.decode(all, bad, logits), "sequence 2: token 0 must be in 0..299, found 300");
  refused(batch.decode(all, std::span(good).first(2), logits),
          "3 sessions need as many tokens and x 300 logits, found 2 and 900");
  refused(batch.decode(all, good, std::span(logits).first(1)),
          "3 sessions need as many tokens and x 300 logits, found 3 and 1");
  refused(batch.decode(std::vector{&users[0], &users[1], &users[0]}, good, logits),
          "sequence 2: is there twice");
  auto stranger = batch_model<mamba2::Fp32>().session(alone_options()).value();
  refused(batch.decode(std::vector{&users[0], &users[1], &stranger}, good, logits),
          "sequence 2: must be a session of the same model");
  refused(batch.decode(std::vector<Session<mamba2::Fp32>*>{&users[0], &users[1], nullptr}, good,
                       logits),
          "sequence 2: must be a session of the same model");

  std::vector<mamba2::State> states(2, empty);
  const auto prefill = [&](const Reading& second, const std::string& message) {
    const auto outcome = batch.prefill(std::vector<Reading>{{&states[0], good}, second});
    REQUIRE(!outcome);
    CHECK(outcome.error().message == "batch: sequence 1: " + message);
    for (const mamba2::State& state : states) CHECK(same_bits(state, empty));
  };
  prefill({&states[1], {}}, "no tokens: the prompt is empty");
  prefill({&states[1], bad}, "token 2 must be in 0..299, found 300");
  prefill({&states[0], good}, "its state is there twice");
  prefill({nullptr, good}, "has no state");
  prefill({&states[1], std::span(good).first(2), logits},
          "logits must hold n x 300 values for n of the tokens, of which there are 2, found 900");
  prefill({&states[1], good, std::span(logits).first(299)},
          "logits must hold n x 300 values for n of the tokens, of which there are 3, found 299");
  Config other = config;
  other.n_layer = 3;
  mamba2::State large = mamba2::State::create(other).value();
  prefill({&large, good}, "the state belongs to a model of another shape");

  for (const std::size_t tokens : {std::size_t{0}, std::numeric_limits<std::size_t>::max()}) {
    CHECK(model.batch({.tokens = tokens}).error().code == ErrorCode::invalid_argument);
  }
  CHECK(!model.batch({.prefill_batch = 0}));
  CHECK(batch.decode({}, {}, {}));
  CHECK(batch.prefill({}));
}

TEST_CASE("the memory of a batch is known beforehand, and grows with its tokens") {
  using Model = mamba2::Mamba2Model<mamba2::Int8>;
  const std::size_t small = Model::batch_bytes(batch_config(), {.tokens = 8});
  const std::size_t large = Model::batch_bytes(batch_config(), {.tokens = 64});
  CHECK(small > 8 * 4 * (2 * 64 + 128));
  CHECK(large > 7 * small);
  CHECK(large < 9 * small);
  const auto needed = Model::memory_required(batch_config(), {.prefill_batch = 64});
  CHECK(large < needed.scratch + (std::size_t{16} << 10));
}
