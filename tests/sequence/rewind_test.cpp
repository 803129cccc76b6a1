// SPDX-License-Identifier: Apache-2.0
// Texts that are read in pieces, and tokens that are taken back.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "mamba2/layers/state.hpp"
#include "mamba2/linear/floats.hpp"
#include "mamba2/linear/int4.hpp"
#include "mamba2/linear/int8.hpp"
#include "mamba2/linear/mixed.hpp"
#include "mamba2/model/model.hpp"
#include "mamba2/sequence/state_file.hpp"
#include "tests/constants.hpp"
#include "tests/hybrid_models.hpp"
#include "tests/model_helpers.hpp"
#include "tests/sequence/remembered.hpp"
#include "tests/sequence/saved_state.hpp"
#if defined(MAMBA2_SEPARATE)
#include "tools/models.hpp"
#endif

using mamba2::AnyModel;
using mamba2::AnySession;
using mamba2::KvPrecision;
using mamba2::Plan;
using mamba2::SessionOptions;
using mamba2::StatePrecision;
using mamba2::Token;
using tests::HybridModel;
using tests::remembered;

namespace {

bool same_logits(std::span<const float> a, std::span<const float> b) {
  return std::ranges::equal(std::as_bytes(a), std::as_bytes(b));
}

/// Calls use(name, model, tokens) for models with all kinds of layers.
template <class Use>
void for_all_kinds(const Plan& plan, Use use) {
  for (const char* golden : tests::kHybridGoldens) {
    const HybridModel hybrid = tests::hybrid_golden(golden, "config.json").at(0);
    use(std::string(golden), hybrid.load(plan), static_cast<Token>(40));
  }
}

/// The logits after each token, read one by one.
std::vector<float> decoded(AnySession& session, std::span<const Token> tokens) {
  std::vector<float> logits;
  for (const Token token : tokens) {
    const auto next = session.decode(token).value();
    logits.insert(logits.end(), next.begin(), next.end());
  }
  return logits;
}

constexpr std::size_t kLongest = 17;  // of what is tried at once

/// Goes through a text whose logits are known. In each round some tokens are read at once, of which
/// the first are the text's and the others are not, and those are taken back. Answers the rounds.
std::size_t walk(AnySession& session, std::span<const Token> text, std::span<const float> logits,
                 reference::Random& random) {
  const std::size_t vocab_size = session.config().vocab_size;
  const auto below = [&](std::size_t end) {
    return static_cast<std::size_t>(random.tokens(1, end).front());
  };
  std::vector<float> found(kLongest * vocab_size);
  std::size_t rounds = 0;
  std::size_t done = 0;
  for (; done < text.size(); ++rounds) {
    const std::size_t count = 1 + below(std::min(kLongest, text.size() - done));
    std::vector<Token> drafted(text.begin() + static_cast<std::ptrdiff_t>(done),
                               text.begin() + static_cast<std::ptrdiff_t>(done + count));
    const std::size_t right = below(count + 1);
    for (std::size_t i = right; i < count; ++i) drafted[i] = (drafted[i] + 1) % 40;
    if (count == 1 && below(2) == 0) {
      const auto next = session.decode(drafted[0]).value();
      std::ranges::copy(next, found.begin());
    } else {
      session.decode(drafted, std::span(found).first(count * vocab_size)).value();
    }
    const std::size_t same = right * vocab_size;
    if (!same_logits(std::span(found).first(same), logits.subspan(done * vocab_size).first(same))) {
      FAIL("other logits behind " << done << " tokens, " << count << " at once");
    }
    CHECK(session.state().rewindable() >= count);
    done += right;
    session.rewind(done).value();
  }
  return rounds;
}

}  // namespace

TEST_CASE("coded weights: a text has the same bits in whatever pieces it is read") {
  for (const Plan* plan : {&mamba2::kPlan<mamba2::Int8>, &mamba2::kPlan<mamba2::Int4>}) {
    for_all_kinds(*plan, [&](const std::string& name, const AnyModel& model, Token) {
      CAPTURE(name);
      const auto tokens = reference::Random(3).tokens(150, 40);
      const std::span<const Token> all(tokens);
      auto whole = model.session({.context = 150}).value();
      const auto expected = tests::logits_in_pieces(whole, all, {150});
      for (const std::vector<std::size_t>& pieces :
           {std::vector<std::size_t>{1}, {7}, {5, 64, 3}, {16, 1, 1, 40}}) {
        if (tests::kQuick && pieces.size() != 4) continue;
        auto session = model.session({.prefill_batch = 50, .context = 150}).value();
        CHECK(same_logits(tests::logits_in_pieces(session, all, pieces), expected));
        CHECK(remembered(session.state()) == remembered(whole.state()));
      }
    });
  }
}

TEST_CASE(
    "every kind of layer and precision: what is read and taken back, the bits of one by one") {
  std::size_t rounds = 0;
  reference::Random random(9);
  const auto check = [&](const Plan& plan, const SessionOptions& options) {
    for_all_kinds(plan, [&](const std::string& name, const AnyModel& model, Token) {
      CAPTURE(name);
      CAPTURE(std::string(plan.name));
      const auto text = reference::Random(4).tokens(90, 40);
      SessionOptions plain = options;
      plain.rewind = 0;
      auto straight = model.session(plain).value();
      const auto logits = decoded(straight, text);
      auto session = model.session(options).value();
      constexpr int kWalks = tests::kQuick ? 1 : 7;
      for (int i = 0; i < kWalks; ++i) {
        session.reset();
        rounds += walk(session, text, logits, random);
      }
      // From here on it is the session that has read them one by one, also by a file or a copy.
      auto other = model.session(options).value();
      other.set_state(session.state()).value();
      auto loaded = model.session(options).value();
      mamba2::StateFile(loaded).read(mamba2_tests::state_bytes(session)).value();
      const auto expected = decoded(straight, std::span(text).first(20));
      for (AnySession* each : {&session, &other, &loaded}) {
        CHECK(same_logits(decoded(*each, std::span(text).first(20)), expected));
      }
    });
  };
  check(mamba2::kPlan<mamba2::Fp32>, {.kv = KvPrecision::fp32, .context = 128, .rewind = 17});
  check(mamba2::kPlan<mamba2::Fp16>, {.context = 128, .rewind = 18});
  check(mamba2::kPlan<mamba2::Bf16>, {.state = StatePrecision::fp16, .context = 128, .rewind = 33});
  check(mamba2::kPlan<mamba2::Int8>, {.state = StatePrecision::fp16, .context = 128, .rewind = 17});
  check(mamba2::kPlan<mamba2::Int4>, {.kv = KvPrecision::int8, .context = 128, .rewind = 64});
  check(mamba2::kPlan<mamba2::Mixed>, {.context = 128, .rewind = 17});
  MESSAGE(rounds, " rounds");
}

TEST_CASE("rewind: any number of tokens where attention alone remembers them") {
  nlohmann::json config = reference::random_hybrid_config(reference::Writer::granite, 5);
  for (auto& type : config["layer_types"]) type = "attention";
  const reference::Hybrid hybrid = reference::random_hybrid(config, 5);
  const reference::Checkpoint files = reference::write_hybrid(config, hybrid);
  const HybridModel attending{files.config_json, files.safetensors, {}, {}};
  const auto tokens = reference::Random(6).tokens(60, hybrid.vocab_size);
  const std::span<const Token> all(tokens);
  const auto model = attending.load(mamba2::kPlan<mamba2::Fp32>);
  for (const auto kv : {KvPrecision::fp16, KvPrecision::int8}) {
    auto session = model.session({.kv = kv}).value();
    auto straight = model.session({.kv = kv}).value();
    for (auto* each : {&session, &straight}) (void)each->prefill(all.first(20)).value();
    (void)session.prefill(all.subspan(30)).value();
    session.rewind(20).value();
    CHECK(session.state().tokens() == 20);
    CHECK(session.logits().empty());
    CHECK(remembered(session.state()) == remembered(straight.state()));
    const auto found = session.prefill(all.subspan(20, 10)).value();
    const auto expected = straight.prefill(all.subspan(20, 10)).value();
    CHECK(std::ranges::equal(found, expected));
    session.rewind(30).value();  // nothing is taken back: the logits stay
    CHECK(std::ranges::equal(session.logits(), expected));
    CHECK(session.rewind(31).error().message == "rewind: the tokens must be at most 30, found 31");
    session.rewind(0).value();
    CHECK(session.state().tokens() == 0);
  }
}

TEST_CASE("rewind: what cannot be taken back is refused, and nothing has changed") {
  for (const char* golden : {"granite_dense", "lfm2", "mamba2attn"}) {
    CAPTURE(golden);
    const auto model =
        tests::hybrid_golden(golden, "config.json").at(0).load(mamba2::kPlan<mamba2::Fp32>);
    const auto tokens = reference::Random(6).tokens(60, 40);
    const auto refused = [](AnySession& session, std::uint64_t count) {
      const auto before = remembered(session.state());
      const auto outcome = session.rewind(count);
      REQUIRE(!outcome);
      CHECK(outcome.error().code == mamba2::ErrorCode::unsupported);
      CHECK(remembered(session.state()) == before);
      return outcome.error().message;
    };
    auto session = model.session().value();
    (void)session.prefill(tokens).value();
    CHECK(refused(session, 59).starts_with("rewind: 0 tokens can be taken back, found 1; "));
    auto some = model.session({.rewind = 5}).value();
    (void)some.prefill(tokens).value();
    CHECK(some.state().rewindable() == 5);
    CHECK(refused(some, 54).starts_with("rewind: 5 tokens can be taken back, found 6; "));
    some.rewind(56).value();
    CHECK(refused(some, 54).starts_with("rewind: 1 tokens can be taken back, found 2; "));
    some.rewind(55).value();
    // A state of other options is another's; a file is not, but for what could be taken back.
    CHECK(!session.set_state(some.state()));
    mamba2::StateFile(session).read(mamba2_tests::state_bytes(some)).value();
    CHECK(same_logits(session.decode(3).value(), some.decode(3).value()));
    CHECK(refused(session, 55).starts_with("rewind: 0 "));
  }
  const auto model = mamba2_tests::saved_model();
  CHECK(model.session({.rewind = 65}).error().message ==
        "session: rewind must be in 0..64, found 65");
}

TEST_CASE("rewind: a file with more chunks than a session has room for is taken up") {
  for (const StatePrecision precision : {StatePrecision::fp32, StatePrecision::fp16}) {
    for_all_kinds(
        mamba2::kPlan<mamba2::Int8>, [&](const std::string& name, const AnyModel& model, Token) {
          CAPTURE(name);
          auto session = model.session({.state = precision, .rewind = 30}).value();
          (void)session.prefill(reference::Random(6).tokens(60, 40)).value();
          const bool has_chunks = session.state().layout().has_chunks();
          CHECK(session.state().rows() == (has_chunks ? 60U - 16U : 0U));
          const auto file = mamba2_tests::state_bytes(session);
          const auto expected = decoded(session, reference::Random(7).tokens(20, 40));
          for (const std::size_t rewind : {0U, 3U, 20U, 64U}) {
            auto other = model.session({.state = precision, .rewind = rewind}).value();
            mamba2::StateFile(other).read(file, "x.state").value();
            if (rewind == 0 && has_chunks) CHECK(other.state().base() == 48);
            CHECK(same_logits(decoded(other, reference::Random(7).tokens(20, 40)), expected));
          }
        });
  }
}
