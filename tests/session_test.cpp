// SPDX-License-Identifier: Apache-2.0
#include "mamba2/session.hpp"

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

mamba2::Mamba2Model<mamba2::Fp32> model() {
  return tests::load(tiny_config(), reference::random_weights(tiny_config(), 5));
}

std::vector<float> copy(std::span<const float> values) { return {values.begin(), values.end()}; }

}  // namespace

TEST_CASE("a copied state forks the sequence, bit for bit") {
  auto first = model().session().value();
  (void)first.prefill(std::vector<Token>{3, 1, 4, 1, 5}).value();
  auto second = model().session().value();
  second.set_state(first.state()).value();
  CHECK(second.state().tokens() == 5);
  const auto straight = copy(first.decode(9).value());
  (void)second.decode(2).value();  // the fork goes another way,
  const auto again = copy(first.decode(6).value());
  second.set_state(first.state()).value();  // comes back,
  first.reset();                            // and does not need the sequence it came from
  CHECK(first.state().tokens() == 0);
  auto third = model().session().value();
  (void)third.prefill(std::vector<Token>{3, 1, 4, 1, 5}).value();
  CHECK(copy(third.decode(9).value()) == straight);
  CHECK(copy(third.decode(6).value()) == again);
  CHECK(copy(third.decode(8).value()) == copy(second.decode(8).value()));
}

TEST_CASE("a session has the logits of the last call, where they belong to its state") {
  auto session = model().session().value();
  CHECK(session.logits().empty());
  const auto logits = copy(session.decode(3).value());
  CHECK(copy(session.logits()) == logits);
  CHECK(!session.decode(-1));
  CHECK(copy(session.logits()) == logits);
  auto moved = std::move(session);
  CHECK(copy(moved.logits()) == logits);
  moved.set_state(mamba2::State(moved.state())).value();
  CHECK(moved.logits().empty());
  (void)moved.decode(4).value();
  std::vector<float> all(tiny_config().vocab_size);
  moved.prefill(std::vector<Token>{5}, all).value();
  CHECK(moved.logits().empty());
  (void)moved.decode(4).value();
  moved.reset();
  CHECK(moved.logits().empty());
}

TEST_CASE("after reset a session is as new") {
  auto session = model().session().value();
  const auto before = copy(session.prefill(std::vector<Token>{7, 8, 9}).value());
  session.reset();
  CHECK(copy(session.prefill(std::vector<Token>{7, 8, 9}).value()) == before);
}

TEST_CASE("a session outlives its model, and can be moved") {
  std::optional<mamba2::Mamba2Model<mamba2::Fp32>> owner = model();
  auto session = owner->session().value();
  const auto expected = copy(session.decode(1).value());
  session.reset();
  owner.reset();
  auto moved = std::move(session);
  CHECK(copy(moved.decode(1).value()) == expected);
}

TEST_CASE("wrong input is refused and changes nothing") {
  auto session = model().session().value();
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
    CHECK(!session.decode(bad));
  }
  std::vector<float> too_small(tiny_config().vocab_size);
  CHECK(!session.prefill(std::vector<Token>{1, 2}, too_small));
  CHECK(session.state().tokens() == 2);

  Config other = tiny_config();
  other.n_layer = 3;
  const auto outcome = session.set_state(mamba2::State::create(other).value());
  REQUIRE(!outcome);
  CHECK(outcome.error().code == ErrorCode::mismatch);
  CHECK(session.state().tokens() == 2);

  const auto half = model().session({.state = mamba2::StatePrecision::fp16}).value();
  CHECK(!session.set_state(half.state()));

  CHECK(!model().session({.prefill_batch = 0}));
  CHECK(!model().session({.workers = {.threads = 1000000}}));
  CHECK(!model().session({.prefill_batch = std::numeric_limits<std::size_t>::max()}));
}

TEST_CASE("a state in FP16 follows one in FP32 closely") {
  auto exact = model().session().value();
  auto half = model().session({.state = mamba2::StatePrecision::fp16}).value();
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
  auto session = model().session({.workers = {.executor = executor}}).value();
  auto plain = model().session({.workers = {.threads = 1}}).value();
  CHECK(copy(session.decode(3).value()) == copy(plain.decode(3).value()));
  CHECK(executor->runs > 0);
}
