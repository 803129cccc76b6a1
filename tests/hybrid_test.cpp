// SPDX-License-Identifier: Apache-2.0
// Hybrids of Mamba-2 with attention and MLPs, against the logits of others' implementations and
// against the oracle.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "mamba2/linear/floats.hpp"
#include "mamba2/linear/int4.hpp"
#include "mamba2/linear/int8.hpp"
#include "mamba2/linear/mixed.hpp"
#include "mamba2/model/model.hpp"
#include "mamba2/quantize/pack.hpp"
#include "mamba2/sequence/batch.hpp"
#include "mamba2/sequence/prefix_cache.hpp"
#include "mamba2/sequence/state_file.hpp"
#include "tests/constants.hpp"
#include "tests/hybrid_models.hpp"
#if defined(MAMBA2_SEPARATE)
#include "tools/models.hpp"
#endif

using mamba2::KvPrecision;
using mamba2::SessionOptions;
using tests::deviation;
using tests::HybridModel;
using tests::logits_in_pieces;

namespace {

const mamba2::Plan& kFloats = mamba2::kPlan<mamba2::Fp32>;

SessionOptions options(KvPrecision kv, std::size_t threads = 1) {
  return {.kv = kv, .workers = {.threads = threads}};
}

std::vector<float> logits_of(const mamba2::AnyModel& model, const SessionOptions& how,
                             const std::vector<mamba2::Token>& tokens,
                             const std::vector<std::size_t>& pieces = {1000}) {
  auto session = model.session(how).value();
  return logits_in_pieces(session, tokens, pieces);
}

}  // namespace

TEST_CASE("hybrids give the golden logits, in both spellings of the config") {
  std::size_t compared = 0;
  for (const std::string name : tests::kHybridGoldens) {
    for (const std::string config : {"config.json", "config_published_style.json"}) {
      for (const HybridModel& golden : tests::hybrid_golden(name, config)) {
        CAPTURE(name);
        CAPTURE(config);
        const mamba2::AnyModel model = golden.load(kFloats);
        const double exact =
            deviation(logits_of(model, options(KvPrecision::fp32), golden.tokens), golden.logits);
        const double fp16 =
            deviation(logits_of(model, options(KvPrecision::fp16), golden.tokens), golden.logits);
        const double int8 =
            deviation(logits_of(model, options(KvPrecision::int8), golden.tokens), golden.logits);
        MESSAGE(name, ", keys and values fp32: ", exact, ", fp16: ", fp16, ", int8: ", int8,
                " standard deviations of the logits");
        CHECK(exact < 1e-4);
        // What attention makes is normed without a residual in Zamba2's blocks.
        CHECK(fp16 < (name == "zamba2" ? 1e-2 : 6e-3));
        CHECK(int8 < 0.15);
        ++compared;
      }
    }
  }
  CHECK(compared == 28);  // the original implementation has one spelling
}

TEST_CASE("hybrids in GGUF give the golden logits") {
  // Of llama.cpp's converter; the logits are llama.cpp's of the same weights in F32, and where half
  // of a head's channels turn, which llama.cpp computes otherwise, transformers'.
  for (const std::string name :
       {"granite-q8_0", "granite-moe", "bamba-q8_0", "bamba-half", "nemotron-q8_0", "nemotron-moe",
        "falcon-norm-q8_0", "lfm2-q8_0", "lfm2moe-q8_0"}) {
    CAPTURE(name);
    const std::string folder = MAMBA2_SOURCE_DIR "/tests/golden/hybrids_gguf/" + name + "/";
    auto expected = reference::load_safetensors(folder + "expected.safetensors").value();
    std::vector<mamba2::Token> tokens;
    for (const double id : reference::to_double(expected.tensors.at("ids"))) {
      tokens.push_back(static_cast<mamba2::Token>(id));
    }
    const auto logits = reference::to_double(expected.tensors.at("logits"));
    const auto load = [&](const mamba2::Plan& plan) {
      return mamba2::AnyModel::load(folder + "model.gguf", plan).value();
    };
    for (const std::vector<std::size_t>& pieces :
         std::vector<std::vector<std::size_t>>{{1000}, {1}, {5, 17}}) {
      CHECK(deviation(logits_of(load(kFloats), options(KvPrecision::fp32), tokens, pieces),
                      logits) < 1e-4);
    }
    CHECK(
        deviation(logits_of(load(mamba2::kPlan<mamba2::Mixed>), options(KvPrecision::fp16), tokens),
                  logits) <
        (name == "lfm2moe-q8_0" ? 2.0 : 0.5));  // activations of 8 bits, at a width of 32,
                                                // by which experts are chosen, too
  }
}

TEST_CASE("random hybrids agree with the oracle, however their prompts are cut") {
  for (const reference::Writer writer : tests::kWriters) {
    for (std::uint64_t seed = 0; seed < reference::kHybridSeeds; ++seed) {
      CAPTURE(static_cast<int>(writer));
      CAPTURE(seed);
      const HybridModel hybrid = tests::random_hybrid(writer, seed);
      const mamba2::AnyModel model = hybrid.load(kFloats);
      for (const std::vector<std::size_t>& pieces :
           std::vector<std::vector<std::size_t>>{{1000}, {1}, {1, 7, 16}, {17, 1}, {3, 20}}) {
        if (tests::kQuick && pieces.front() != 17) continue;
        const double found = deviation(
            logits_of(model, options(KvPrecision::fp32), hybrid.tokens, pieces), hybrid.logits);
        CAPTURE(pieces.front());
        CHECK(found < 1e-4);
      }
    }
  }
}

TEST_CASE("hybrids: the same bits with any number of threads, in every precision") {
  for (const mamba2::Plan* plan : {&kFloats, &mamba2::kPlan<mamba2::Fp16>,
                                   &mamba2::kPlan<mamba2::Bf16>, &mamba2::kPlan<mamba2::Int8>,
                                   &mamba2::kPlan<mamba2::Int4>, &mamba2::kPlan<mamba2::Mixed>}) {
    for (const reference::Writer writer : tests::kWriters) {
      const HybridModel hybrid = tests::random_hybrid(writer, 5, 70);
      const std::string name(plan->name);
      CAPTURE(name);
      CAPTURE(static_cast<int>(writer));
      const mamba2::AnyModel model = hybrid.load(*plan, 2);
      const std::vector<std::size_t> pieces = {33, 1, 1, 20};
      const auto expected = logits_of(model, options(KvPrecision::fp16), hybrid.tokens, pieces);
      // Of random weights without structure: codes of 4 bits, experts that are chosen otherwise,
      // and blocks that norm what attention makes.
      const bool has_blocks = writer == reference::Writer::zamba;
      const double of_int4 = writer == reference::Writer::falcon || has_blocks ? 4.0 : 3.0;
      const double of_others = model.config().has(mamba2::LayerKind::moe) ? 1.5
                               : has_blocks                               ? 1.0
                                                                          : 0.5;
      CHECK(deviation(expected, hybrid.logits) < (name == "int4" ? of_int4 : of_others));
      for (const std::size_t threads : tests::all_or_last({2, 7, 3})) {
        CHECK(logits_of(model, options(KvPrecision::fp16, threads), hybrid.tokens, pieces) ==
              expected);
      }
    }
  }
}

TEST_CASE("hybrids: states are copied, saved and taken up to the bit") {
  for (const KvPrecision kv : {KvPrecision::fp16, KvPrecision::fp32, KvPrecision::int8}) {
    for (const reference::Writer writer : tests::kWriters) {
      CAPTURE(static_cast<int>(kv));
      CAPTURE(static_cast<int>(writer));
      const HybridModel hybrid = tests::random_hybrid(writer, 4);
      const mamba2::AnyModel model = hybrid.load(kFloats);
      const std::span<const mamba2::Token> tokens(hybrid.tokens);
      auto session = model.session(options(kv)).value();
      logits_in_pieces(session, tokens.first(21), {1000});
      const mamba2::State fork = session.state();
      std::vector<std::byte> file;
      mamba2::StateFile(session)
          .write([&](std::span<const std::byte> part) {
            file.insert(file.end(), part.begin(), part.end());
            return mamba2::Result<void>();
          })
          .value();
      const auto expected = logits_in_pieces(session, tokens.subspan(21), {3, 1});

      session.set_state(fork).value();  // over one of more tokens
      CHECK(logits_in_pieces(session, tokens.subspan(21), {3, 1}) == expected);
      // With room for more, and something else before.
      SessionOptions wider = options(kv);
      wider.context = 5000;
      auto other = model.session(wider).value();
      logits_in_pieces(other, tokens, {1000});
      mamba2::StateFile(other).read(file).value();
      CHECK(other.state().tokens() == 21);
      CHECK(logits_in_pieces(other, tokens.subspan(21), {3, 1}) == expected);
      other.reset();
      session.reset();
      CHECK(logits_in_pieces(other, tokens, {9}) == logits_in_pieces(session, tokens, {9}));

      SessionOptions narrow = options(kv);
      narrow.context = 20;
      auto small = model.session(narrow).value();
      const auto refused = mamba2::StateFile(small).read(file);
      REQUIRE(!refused);
      CHECK(refused.error().message.find("at most 20, found 21") != std::string::npos);
      CHECK(!session.set_state(small.state()));
    }
  }
}

namespace {

void check_batch(const HybridModel& hybrid, const mamba2::Plan& plan) {
  const mamba2::AnyModel model = hybrid.load(plan);
  const std::size_t vocab_size = model.config().vocab_size;
  const std::span<const mamba2::Token> tokens(hybrid.tokens);
  const std::size_t counts[] = {1, 70, 13, 20, 1};
  std::vector<mamba2::AnySession> users;
  std::vector<std::vector<float>> expected;
  for (const std::size_t count : counts) {
    SessionOptions how = options(KvPrecision::fp16);
    how.prefill_batch = 50;
    auto alone = model.session(how).value();
    logits_in_pieces(alone, tokens.first(count), {1000});
    alone.decode(3).value();
    expected.emplace_back(alone.logits().begin(), alone.logits().end());
    users.push_back(model.session(options(KvPrecision::fp16)).value());
  }
  auto batch = model.batch({.tokens = 50, .prefill_batch = 192, .workers = {.threads = 2}}).value();
  std::vector<mamba2::State> states;
  for (const auto& user : users) states.push_back(user.state());
  std::vector<mamba2::Reading> readings;
  for (std::size_t i = 0; i < users.size(); ++i) {
    readings.push_back({&states[i], tokens.first(counts[i])});
  }
  batch.prefill(readings).value();
  std::vector<mamba2::AnySession*> all;
  for (std::size_t i = 0; i < users.size(); ++i) {
    users[i].set_state(states[i]).value();
    all.push_back(&users[i]);
  }
  std::vector<float> logits(users.size() * vocab_size);
  batch.decode(all, std::vector<mamba2::Token>(users.size(), 3), logits).value();
  for (std::size_t i = 0; i < users.size(); ++i) {
    CAPTURE(i);
    const auto row = std::span(logits).subspan(i * vocab_size, vocab_size);
    CHECK(std::equal(row.begin(), row.end(), expected[i].begin()));
  }
}

}  // namespace

TEST_CASE("hybrids: sequences of a batch get the bits that they get alone") {
  for (const mamba2::Plan* plan : {&mamba2::kPlan<mamba2::Int8>, &kFloats}) {
    check_batch(tests::random_hybrid(reference::Writer::lfm2, 1, 90), *plan);
    check_batch(tests::random_hybrid(reference::Writer::zamba, 1, 90), *plan);
    check_batch(tests::random_hybrid(reference::Writer::granite, 1, 90), *plan);
    for (const reference::Writer writer : tests::kWritersOfExperts) {
      CAPTURE(static_cast<int>(writer));
      check_batch(tests::random_hybrid_with_experts(writer, 90), *plan);
    }
  }
}

TEST_CASE("hybrids: a full context is refused before anything has changed") {
  const HybridModel hybrid = tests::random_hybrid(reference::Writer::bamba, 2);
  const mamba2::AnyModel model = hybrid.load(kFloats);
  const std::span<const mamba2::Token> tokens(hybrid.tokens);
  SessionOptions how = options(KvPrecision::fp32);
  how.context = 20;
  auto session = model.session(how).value();
  CHECK(session.state().context() == 20);
  session.prefill(tokens.first(18)).value();
  const auto refused = session.prefill(tokens.subspan(18, 3));
  REQUIRE(!refused);
  CHECK(refused.error().code == mamba2::ErrorCode::invalid_argument);
  CHECK(refused.error().message ==
        "prefill: the context is full: 3 tokens after 18 need one of 21, found 20");
  auto batch = model.batch().value();
  mamba2::State state = session.state();
  const mamba2::Reading reading = {&state, tokens.subspan(18, 3)};
  const auto refused_in_batch = batch.prefill({&reading, 1});
  REQUIRE(!refused_in_batch);
  CHECK(refused_in_batch.error().message.find("the context is full") != std::string::npos);
  CHECK(state.tokens() == 18);

  const auto rest = logits_in_pieces(session, tokens.subspan(18, 2), {1000});
  auto other = model.session(options(KvPrecision::fp32)).value();
  CHECK(other.state().context() == model.config().default_context());
  logits_in_pieces(other, tokens.first(18), {1000});
  CHECK(logits_in_pieces(other, tokens.subspan(18, 2), {1000}) == rest);
  CHECK(!session.decode(1));

  how.context = mamba2::StateOptions::kMaxContext + 1;
  CHECK(model.session(how).error().message ==
        "session: context must be in 0..16777216, found 16777217");
}

TEST_CASE("hybrids: memory is known before loading, packed files are used in place") {
  for (const reference::Writer writer : tests::kWriters) {
    for (const mamba2::Plan* plan : {&mamba2::kPlan<mamba2::Int8>, &mamba2::kPlan<mamba2::Int4>,
                                     &mamba2::kPlan<mamba2::Mixed>}) {
      CAPTURE(static_cast<int>(writer));
      const HybridModel hybrid = tests::random_hybrid(writer, 3);
      const mamba2::Weights weights = hybrid.open([&](const mamba2::Checkpoint& checkpoint) {
        return mamba2::load_weights(checkpoint, *plan, {.workers = {.threads = 1}}).value();
      });
      const auto how = options(KvPrecision::int8);
      const auto required = hybrid.open([&](const mamba2::Checkpoint& checkpoint) {
        return mamba2::memory_required(mamba2::plan_weights(checkpoint, *plan), how);
      });
      CHECK(required.weights == weights.arena.size());

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
      CHECK(packed.fingerprint() == weights.fingerprint);
      const mamba2::AnyModel loaded = hybrid.load(*plan);
      CHECK(required.session() == loaded.session_bytes(how));
      CHECK(logits_of(packed, how, hybrid.tokens) == logits_of(loaded, how, hybrid.tokens));
    }
  }
}

TEST_CASE("hybrids: prompts that begin alike begin with what is remembered") {
  for (const auto writer :
       {reference::Writer::state_spaces, reference::Writer::lfm2, reference::Writer::zamba}) {
    CAPTURE(static_cast<int>(writer));
    const HybridModel hybrid = tests::random_hybrid(writer, 6);
    const mamba2::AnyModel model = hybrid.load(kFloats);
    // What FP16 keys and values do to Zamba2 is above.
    const bool has_blocks = writer == reference::Writer::zamba;
    auto session =
        model.session(options(has_blocks ? KvPrecision::fp32 : KvPrecision::fp16)).value();
    mamba2::PrefixCache cache(std::size_t{1} << 24);
    const std::span<const mamba2::Token> tokens(hybrid.tokens);
    cache.prefill(session, tokens.first(30)).value();
    const auto logits = cache.prefill(session, tokens).value();
    const std::vector<double> last(hybrid.logits.end() - static_cast<long>(logits.size()),
                                   hybrid.logits.end());
    CHECK(deviation({logits.begin(), logits.end()}, last) < (has_blocks ? 1e-4 : 6e-3));
  }
}
