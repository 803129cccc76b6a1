// SPDX-License-Identifier: Apache-2.0
// BitMamba-2, against logits of a float64 reference that two engines of others agree with, and
// against the oracle.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "mamba2/linear/floats.hpp"
#include "mamba2/linear/int4.hpp"
#include "mamba2/linear/int8.hpp"
#include "mamba2/linear/mixed.hpp"
#include "mamba2/linear/ternary.hpp"
#include "mamba2/model/model.hpp"
#include "mamba2/quantize/pack.hpp"
#include "mamba2/sequence/batch.hpp"
#include "mamba2/sequence/state_file.hpp"
#include "tests/bitmamba_models.hpp"
#include "tests/hybrid_models.hpp"
#include "tests/io/temp_dir.hpp"
#include "tools/shapes.hpp"
#if defined(MAMBA2_SEPARATE)
#include "tools/models.hpp"
#endif

using mamba2::StatePrecision;
using tests::BitMambaModel;
using tests::logits_in_pieces;
using PieceLengths = std::vector<std::size_t>;

namespace {

const mamba2::Plan& kBitMambaFloats = mamba2::kPlan<mamba2::Fp32>;
const mamba2::Plan* const kPlans[] = {&kBitMambaFloats,
                                      &mamba2::kPlan<mamba2::Fp16>,
                                      &mamba2::kPlan<mamba2::Bf16>,
                                      &mamba2::kPlan<mamba2::Int8>,
                                      &mamba2::kPlan<mamba2::Int4>,
                                      &mamba2::kPlan<mamba2::Mixed>,
                                      &mamba2::kPlan<mamba2::Ternary>};

std::vector<float> bitmamba_logits(const mamba2::AnyModel& model,
                                   const std::vector<mamba2::Token>& tokens,
                                   const PieceLengths& pieces, std::size_t threads = 1,
                                   StatePrecision state = StatePrecision::fp32) {
  auto session = model.session({.state = state, .workers = {.threads = threads}}).value();
  return logits_in_pieces(session, tokens, pieces);
}

double root_mean_square(const std::vector<float>& found, const std::vector<double>& expected) {
  double sum = 0.0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    sum += (found[i] - expected[i]) * (found[i] - expected[i]);
  }
  return std::sqrt(sum / static_cast<double>(found.size()));
}

}  // namespace

TEST_CASE("BitMamba-2 gives the golden logits, from its file and from a folder with it") {
  for (const std::string name : tests::kBitMambaGoldens) {
    CAPTURE(name);
    const BitMambaModel golden = tests::bitmamba_golden(name);
    for (const std::string& path :
         {tests::bitmamba_folder(name), tests::bitmamba_folder(name) + "/model.bin"}) {
      const auto model = mamba2::AnyModel::load(path, kBitMambaFloats).value();
      CHECK(reference::max_abs_difference(bitmamba_logits(model, golden.tokens, {1000}),
                                          golden.logits) < 1e-5);
    }
  }
}

TEST_CASE("BitMamba-2 of odd sizes agrees with the oracle, however prompts are cut") {
  const auto models = tests::random_bitmambas();
  CHECK(models.size() == 5);
  for (const BitMambaModel& random : models) {
    const mamba2::AnyModel model = random.load(kBitMambaFloats);
    CAPTURE(model.config().d_model);
    for (const PieceLengths& pieces : {PieceLengths{1000}, {1}, {64, 1}, {7, 1, 16}, {67, 2}}) {
      CHECK(reference::max_abs_difference(bitmamba_logits(model, random.tokens, pieces),
                                          random.logits) < 2e-5);
    }
    // In FP16 the state is rounded once a chunk.
    CHECK(root_mean_square(bitmamba_logits(model, random.tokens, {1000}, 1, StatePrecision::fp16),
                           random.logits) < 0.3);
  }
}

TEST_CASE("policies round the inputs of BitMamba-2 as it was trained; INT8 has all as it is") {
  for (const std::string name : tests::kBitMambaGoldens) {
    const BitMambaModel golden = tests::bitmamba_golden(name);
    for (const mamba2::Plan* plan : kPlans) {
      const std::string policy(plan->name);
      CAPTURE(policy);
      const auto found = bitmamba_logits(golden.load(*plan), golden.tokens, {1000});
      const bool is_exact =
          policy == "fp32" || policy == "int8" || policy == "mixed" || policy == "ternary";
      // Else it is the scale that is rounded, and inputs near where rounding turns.
      CHECK(root_mean_square(found, golden.logits) < (is_exact ? 3e-6 : 0.3));
    }
  }
}

TEST_CASE("BitMamba-2: the same bits with any number of threads, and in a batch") {
  const BitMambaModel golden = tests::bitmamba_golden("d96");
  const std::span<const mamba2::Token> tokens(golden.tokens);
  for (const mamba2::Plan* plan : kPlans) {
    const std::string policy(plan->name);
    CAPTURE(policy);
    const mamba2::AnyModel model = golden.load(*plan);
    const auto expected = bitmamba_logits(model, golden.tokens, {9, 1});
    for (const std::size_t threads : PieceLengths{2, 5}) {
      CHECK(bitmamba_logits(model, golden.tokens, {9, 1}, threads) == expected);
    }
    auto session = model.session({.workers = {.threads = 1}}).value();
    mamba2::State one = session.state();
    mamba2::State other = session.state();
    std::vector<float> logits(9 * model.config().vocab_size);
    auto batch = model.batch({.workers = {.threads = 2}}).value();
    const mamba2::Reading both[] = {{&one, tokens.first(9), std::span(logits)},
                                    {&other, tokens.subspan(9)}};
    batch.prefill(both).value();
    CHECK(std::equal(logits.begin(), logits.end(), expected.begin()));
  }
}

TEST_CASE("BitMamba-2: states are copied, saved and taken up to the bit") {
  const BitMambaModel golden = tests::bitmamba_golden("d64");
  const std::span<const mamba2::Token> tokens(golden.tokens);
  const mamba2::AnyModel model = golden.load(kBitMambaFloats);
  for (const StatePrecision precision : {StatePrecision::fp32, StatePrecision::fp16}) {
    auto session = model.session({.state = precision}).value();
    logits_in_pieces(session, tokens.first(10), {1000});
    const mamba2::State fork = session.state();
    std::vector<std::byte> file;
    mamba2::StateFile(session)
        .write([&](std::span<const std::byte> part) {
          file.insert(file.end(), part.begin(), part.end());
          return mamba2::Result<void>();
        })
        .value();
    const std::vector<float> next(session.logits().begin(), session.logits().end());
    const auto expected = logits_in_pieces(session, tokens.subspan(10), {3, 1});
    session.set_state(fork).value();
    // What the head reads is in the state, before it is rounded.
    CHECK(std::equal(next.begin(), next.end(), session.logits().begin()));
    CHECK(logits_in_pieces(session, tokens.subspan(10), {3, 1}) == expected);
    auto other = model.session({.state = precision}).value();
    mamba2::StateFile(other).read(file).value();
    CHECK(logits_in_pieces(other, tokens.subspan(10), {3, 1}) == expected);
  }
}

TEST_CASE("BitMamba-2: memory is known before loading, packed files are used in place") {
  const BitMambaModel golden = tests::bitmamba_golden("d96");
  const mamba2::Checkpoint checkpoint = golden.open().value();
  for (const mamba2::Plan* plan :
       {&mamba2::kPlan<mamba2::Int8>, &mamba2::kPlan<mamba2::Int4>, &mamba2::kPlan<mamba2::Mixed>,
        &mamba2::kPlan<mamba2::Ternary>}) {
    const mamba2::Weights weights = mamba2::load_weights(checkpoint, *plan).value();
    const auto required = mamba2::memory_required(mamba2::plan_weights(checkpoint, *plan), {});
    CHECK(required.weights == weights.arena.size());
    // Of the embedding one row is read: it is neither rounded nor in the bytes of a token.
    CHECK(weights.embedding.bytes() == checkpoint.tensor("embedding.weight").data.size());

    const auto parts = mamba2::packed_parts(weights, mamba2::layouts::Native::name);
    const std::size_t size = parts.header.size() + parts.weights.size();
    std::vector<std::byte> room(size + 64);
    void* start = room.data();
    std::size_t left = room.size();
    const std::span<std::byte> file(static_cast<std::byte*>(std::align(64, size, start, left)),
                                    size);
    std::copy(parts.header.begin(), parts.header.end(), file.begin());
    std::ranges::copy(parts.weights, file.begin() + static_cast<long>(parts.header.size()));
    const auto packed = mamba2::AnyModel::from_packed(file, *plan).value();
    const mamba2::Config& c = packed.config();
    CHECK((c.conv_over_x_only && c.norm_ungrouped && c.head_norm && c.bitlinear));
    CHECK(packed.fingerprint() == weights.fingerprint);
    const mamba2::AnyModel loaded = golden.load(*plan);
    CHECK(required.session() == loaded.session_bytes());
    CHECK(loaded.bytes_per_token() < loaded.weight_bytes() + loaded.session_bytes());
    CHECK(bitmamba_logits(packed, golden.tokens, {1000}) ==
          bitmamba_logits(loaded, golden.tokens, {1000}));
  }
}

TEST_CASE("BitMamba-2: packed files of ternary weights, on a disk and for every CPU") {
  const BitMambaModel golden = tests::bitmamba_golden("d96");
  const mamba2::Checkpoint checkpoint = golden.open().value();
  const mamba2::Plan& plan = mamba2::kPlan<mamba2::Ternary>;
  const mamba2_tests::TempDir dir;
  const auto path = dir.path() / "ternary.packed";
  mamba2::pack(checkpoint, "ternary", "native", path).value();
  const auto loaded = golden.load(plan);
  const auto expected = bitmamba_logits(loaded, golden.tokens, {1000});
  const auto packed = mamba2::AnyModel::load(path, plan).value();
  CHECK(packed.fingerprint() == loaded.fingerprint());
  CHECK(bitmamba_logits(packed, golden.tokens, {1000}) == expected);
  CHECK(bitmamba_logits(packed, golden.tokens, {3, 1}) ==
        bitmamba_logits(loaded, golden.tokens, {3, 1}));
  const auto refused = mamba2::AnyModel::load(path, mamba2::kPlan<mamba2::Mixed>);
  REQUIRE(!refused);
  CHECK(refused.error().message.find("ternary") != std::string::npos);

  // A damaged byte of the codes is seen by the hash.
  std::string bytes = reference::read_file(path).value();
  bytes[bytes.size() / 2] ^= 1;
  const auto damaged = mamba2::AnyModel::load(dir.write("damaged.packed", bytes), plan);
  REQUIRE(!damaged);
  CHECK(damaged.error().message.find("hash") != std::string::npos);

  // Packed for another CPU, it is that CPU's own file, and refused here by name.
  for (const std::string layout : {"neon", "x86_64", "avx2", "avx512", "avx512_vnni"}) {
    CAPTURE(layout);
    const auto other = dir.path() / layout;
    mamba2::pack(checkpoint, "ternary", layout, other).value();
    const auto model = mamba2::AnyModel::load(other, plan);
    if (model) {
      CHECK(bitmamba_logits(*model, golden.tokens, {1000}) == expected);
    } else {
      CHECK(model.error().message.find("is packed for CPUs like") != std::string::npos);
    }
  }
}

TEST_CASE("BitMamba-2: 64 sequences in one batch, each with a state of its own") {
  // 0.8 and 2.1 MB, whatever the length of the text.
  CHECK(mamba2::State::bytes(cli::config_of_shape("bitmamba-255m")) < 800'000);
  CHECK(mamba2::State::bytes(cli::config_of_shape("bitmamba-1b")) < 2'200'000);

  constexpr std::size_t kSequences = 64;
  const BitMambaModel golden = tests::bitmamba_golden("d96");
  const mamba2::AnyModel model = golden.load(mamba2::kPlan<mamba2::Ternary>);
  const std::size_t vocab_size = model.config().vocab_size;
  const mamba2::SessionOptions one_thread = {.workers = {.threads = 1}};
  auto alone = model.session(one_thread).value();
  auto batch = model.batch({.tokens = kSequences, .workers = {.threads = 2}}).value();
  std::vector<mamba2::State> states(kSequences, alone.state());
  std::vector<float> logits(kSequences * vocab_size);
  const auto token_of = [&](std::size_t sequence, std::size_t step) {
    return static_cast<mamba2::Token>((7 * sequence + 5 * step + sequence * step) % vocab_size);
  };
  constexpr std::size_t kSteps = 4;
  for (std::size_t step = 0; step < kSteps; ++step) {
    std::vector<mamba2::Token> tokens(kSequences);
    std::vector<mamba2::Reading> readings;
    for (std::size_t i = 0; i < kSequences; ++i) {
      tokens[i] = token_of(i, step);
      readings.push_back({&states[i], std::span(tokens).subspan(i, 1),
                          std::span(logits).subspan(i * vocab_size, vocab_size)});
    }
    batch.prefill(readings).value();
  }
  for (std::size_t i = 0; i < kSequences; ++i) {
    alone.reset();
    std::span<const float> last;
    for (std::size_t step = 0; step < kSteps; ++step) {
      last = alone.decode(token_of(i, step)).value();
    }
    CHECK(std::equal(last.begin(), last.end(), &logits[i * vocab_size]));
  }
}

TEST_CASE("Ternary weights of 2 bits give the golden logits") {
  for (const std::string name : tests::kBitMambaGoldens) {
    CAPTURE(name);
    const BitMambaModel golden = tests::bitmamba_golden(name);
    const mamba2::AnyModel model = golden.load(mamba2::kPlan<mamba2::Ternary>);
    const auto whole = bitmamba_logits(model, golden.tokens, {1000});
    CHECK(reference::max_abs_difference(whole, golden.logits) < 1e-5);
    CHECK(reference::max_abs_difference(bitmamba_logits(model, golden.tokens, {5, 1, 1, 7}),
                                        golden.logits) < 1e-5);
    CHECK(bitmamba_logits(golden.load(mamba2::kPlan<mamba2::Mixed>), golden.tokens, {1000}) ==
          whole);
    CHECK(model.weight_bytes() < golden.load(mamba2::kPlan<mamba2::Int8>).weight_bytes());
  }
}
