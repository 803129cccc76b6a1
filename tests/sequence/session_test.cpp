// SPDX-License-Identifier: Apache-2.0
#include "mamba2/sequence/session.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <memory>
#include <optional>
#include <vector>

#include "tests/model_helpers.hpp"
#include "tests/reference/compare.hpp"
#include "tests/reference/random_weights.hpp"

using mamba2::Config;
using mamba2::ErrorCode;
using mamba2::Token;

namespace {

const Config& tiny_config() {
  static const Config plain = reference::variants().front().config;
  return plain;
}

mamba2::Mamba2Model<mamba2::Fp32> session_model() {
  return tests::load(tiny_config(), reference::random_weights(tiny_config(), 5));
}

std::vector<float> copy(std::span<const float> values) { return {values.begin(), values.end()}; }

}  // namespace

TEST_CASE("a copied state forks the sequence, bit for bit") {
  auto first = session_model().session().value();
  (void)first.prefill(std::vector<Token>{3, 1, 4, 1, 5}).value();
  auto second = session_model().session().value();
  second.set_state(first.state()).value();
  CHECK(second.state().tokens() == 5);
  const auto straight = copy(first.decode(9).value());
  (void)second.decode(2).value();  // the fork goes another way,
  const auto again = copy(first.decode(6).value());
  second.set_state(first.state()).value();  // comes back,
  first.reset();                            // and does not need the sequence it came from
  CHECK(first.state().tokens() == 0);
  auto third = session_model().session().value();
  (void)third.prefill(std::vector<Token>{3, 1, 4, 1, 5}).value();
  CHECK(copy(third.decode(9).value()) == straight);
  CHECK(copy(third.decode(6).value()) == again);
  CHECK(copy(third.decode(8).value()) == copy(second.decode(8).value()));
}

TEST_CASE("a session has the next logits, whatever has read the last token") {
  auto session = session_model().session().value();
  CHECK(session.logits().empty());
  const auto logits = copy(session.decode(3).value());
  CHECK(copy(session.logits()) == logits);
  CHECK(!session.decode(-1));
  CHECK(copy(session.logits()) == logits);
  auto moved = std::move(session);
  CHECK(copy(moved.logits()) == logits);

  // A fork has them, and so does a place that was come back to.
  auto fork = session_model().session().value();
  fork.set_state(moved.state()).value();
  CHECK(copy(fork.logits()) == logits);
  const mamba2::State place = fork.state();
  const auto further = copy(fork.prefill(std::vector<Token>{5, 6}).value());
  CHECK(copy(fork.logits()) == further);
  CHECK(further != logits);
  fork.set_state(place).value();
  CHECK(copy(fork.logits()) == logits);
  CHECK(copy(fork.prefill(std::vector<Token>{5, 6}).value()) == further);

  // Logits of all tokens were wanted: those of the next are what prefill() returns otherwise.
  std::vector<float> all(2 * tiny_config().vocab_size);
  moved.prefill(std::vector<Token>{5, 6}, all).value();
  CHECK(copy(moved.logits()) == further);
  moved.reset();
  CHECK(moved.logits().empty());
  moved.set_state(mamba2::State::create(tiny_config()).value()).value();
  CHECK(moved.logits().empty());
}

TEST_CASE("a State has the row that the next logits are made of") {
  const auto weights = reference::random_weights(tiny_config(), 5);
  const auto& head = tiny_config().tie_embeddings ? weights.embedding : weights.lm_head;
  const std::size_t d_model = tiny_config().d_model;
  auto session = session_model().session().value();
  CHECK(session.state().last().empty());
  for (const std::vector<Token>& tokens : {std::vector<Token>{3}, std::vector<Token>{1, 4, 1, 5}}) {
    const auto logits = copy(session.prefill(tokens).value());
    const std::vector<float> last = copy(session.state().last());
    REQUIRE(last.size() == d_model);
    std::vector<double> expected(logits.size());
    for (std::size_t i = 0; i < head.size(); ++i) {
      expected[i / d_model] += head[i] * static_cast<double>(last[i % d_model]);
    }
    CHECK(reference::max_abs_difference(logits, expected) < 1e-5);
  }

  mamba2::State state = session.state();
  CHECK(copy(state.last()) == copy(session.state().last()));
  mamba2::State other = mamba2::State::create(tiny_config()).value();
  other = state;
  CHECK(copy(other.last()) == copy(state.last()));
  CHECK(copy(state.copy().value().last()) == copy(state.last()));
  state.count(1);  // something else has read a token
  CHECK(state.last().empty());
  other.reset();
  CHECK(other.last().empty());
  CHECK(other.new_last().size() == d_model);
  CHECK(copy(other.last()) == std::vector<float>(d_model));

  // Its width is a part of the shape.
  Config wider = tiny_config();
  wider.d_model += 1;
  CHECK(!other.fits(wider));
  CHECK(!other.same_shape(mamba2::State::create(wider).value()));
}

TEST_CASE("after reset a session is as new") {
  auto session = session_model().session().value();
  const auto before = copy(session.prefill(std::vector<Token>{7, 8, 9}).value());
  session.reset();
  CHECK(copy(session.prefill(std::vector<Token>{7, 8, 9}).value()) == before);
}

TEST_CASE("a session outlives its model, and can be moved") {
  std::optional<mamba2::Mamba2Model<mamba2::Fp32>> owner = session_model();
  auto session = owner->session().value();
  const auto expected = copy(session.decode(1).value());
  session.reset();
  owner.reset();
  auto moved = std::move(session);
  CHECK(copy(moved.decode(1).value()) == expected);
}

TEST_CASE("wrong input is refused and changes nothing") {
  auto session = session_model().session().value();
  (void)session.prefill(std::vector<Token>{1, 2}).value();
  const auto rows = static_cast<Token>(tiny_config().vocab_size);

  const auto empty = session.prefill(std::vector<Token>{});
  REQUIRE(!empty);
  CHECK(empty.error().code == ErrorCode::invalid_argument);
  CHECK(empty.error().message.find("empty") != std::string::npos);
  for (const Token bad :
       {Token{-1}, rows, std::numeric_limits<Token>::max(), std::numeric_limits<Token>::min()}) {
    const auto outcome = session.prefill(std::vector<Token>{1, bad});
    REQUIRE(!outcome);
    CHECK(outcome.error().message ==
          mamba2::detail::concat("prefill: token 1 must be in 0..", rows - 1, ", found ", bad));
    const auto one = session.decode(bad);
    REQUIRE(!one);
    CHECK(one.error().code == ErrorCode::invalid_argument);
    CHECK(one.error().message ==
          mamba2::detail::concat("decode: token 0 must be in 0..", rows - 1, ", found ", bad));
  }
  std::vector<float> too_small(tiny_config().vocab_size);
  const auto sizes = session.prefill(std::vector<Token>{1, 2}, too_small);
  REQUIRE(!sizes);
  CHECK(sizes.error().message.starts_with("prefill: logits must hold 2 x "));
  const auto all = session.prefill(std::vector<Token>{-1}, too_small);
  REQUIRE(!all);
  CHECK(all.error().message.starts_with("prefill: token 0 must be in 0.."));
  CHECK(session.state().tokens() == 2);

  Config other = tiny_config();
  other.n_layer = 3;
  const auto outcome = session.set_state(mamba2::State::create(other).value());
  REQUIRE(!outcome);
  CHECK(outcome.error().code == ErrorCode::mismatch);
  CHECK(session.state().tokens() == 2);

  const auto half = session_model().session({.state = mamba2::StatePrecision::fp16}).value();
  CHECK(!session.set_state(half.state()));

  CHECK(!session_model().session({.prefill_batch = 0}));
  CHECK(!session_model().session({.workers = {.threads = 1000000}}));
  CHECK(!session_model().session({.prefill_batch = std::numeric_limits<std::size_t>::max()}));
}

TEST_CASE("a state in FP16 follows one in FP32 closely") {
  auto exact = session_model().session().value();
  auto half = session_model().session({.state = mamba2::StatePrecision::fp16}).value();
  const std::vector<Token> prompt = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  (void)exact.prefill(prompt).value();
  (void)half.prefill(prompt).value();
  for (Token token = 0; token < 20; ++token) {
    const auto expected = copy(exact.decode(token).value());
    CHECK(reference::max_abs_difference(half.decode(token).value(), expected) < 2e-2);
  }
  CHECK(half.state().precision() == mamba2::StatePrecision::fp16);
}

TEST_CASE("an application's own executor does the work") {
  class Counting final : public mamba2::Executor {
   public:
    void run(std::size_t count, mamba2::Task task) noexcept override {
      // Backwards: the order of tasks does not matter.
      for (std::size_t i = count; i-- > 0;) task(i);
      ++runs;
    }
    int runs = 0;
  };
  const auto executor = std::make_shared<Counting>();
  auto session = session_model().session({.workers = {.executor = executor}}).value();
  auto plain = session_model().session({.workers = {.threads = 1}}).value();
  CHECK(copy(session.decode(3).value()) == copy(plain.decode(3).value()));
  CHECK(executor->runs > 0);
}
