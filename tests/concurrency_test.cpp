// SPDX-License-Identifier: Apache-2.0
// One model for many threads, and its parts destroyed in every order. Meant for ThreadSanitizer and
// AddressSanitizer; elsewhere what is computed is still compared.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "mamba2/linear/int4.hpp"
#include "mamba2/linear/int8.hpp"
#include "mamba2/linear/mixed.hpp"
#include "mamba2/tokenizer/tokenizer.hpp"
#include "tests/model_helpers.hpp"
#include "tests/reference/random_weights.hpp"
#include "tests/tokenizer/tiny_tokenizer.hpp"

using mamba2::Token;

namespace {

using FloatModel = mamba2::Mamba2Model<mamba2::Fp32>;
using FloatSession = mamba2::Session<mamba2::Fp32>;
using FloatBatch = mamba2::Batch<mamba2::Fp32>;

constexpr std::size_t kThreads = 4;

const mamba2::Config& shared_config() {
  static const mamba2::Config config = reference::variants().front().config;
  return config;
}

reference::Weights shared_weights() { return reference::random_weights(shared_config(), 41); }

std::vector<Token> prompt(std::size_t i) {
  return reference::Random(60 + i).tokens(9 + i, shared_config().vocab_size);
}

/// The logits after a prompt and three more tokens.
std::vector<float> read(mamba2::AnySession& session, const std::vector<Token>& text) {
  (void)session.prefill(text).value();
  for (const Token token : {Token{3}, Token{2}}) (void)session.decode(token).value();
  const auto logits = session.decode(1).value();
  return {logits.begin(), logits.end()};
}

template <class WeightT>
std::vector<float> read_alone(const mamba2::Mamba2Model<WeightT>& model, std::size_t i) {
  auto session = model.session({.workers = {.threads = 1}}).value();
  return read(session, prompt(i));
}

/// Calls body(i) in kThreads threads at the same time, and says whether all returned true. (The
/// checks of doctest are left to one thread.)
template <class Body>
bool in_threads(Body body) {
  std::array<bool, kThreads> good{};
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([&good, &body, i] { good[i] = body(i); });
  }
  for (std::thread& thread : threads) thread.join();
  return std::ranges::all_of(good, [](bool one) { return one; });
}

template <class WeightT>
bool loads_the_same(const mamba2::Checkpoint& checkpoint, const std::vector<float>& expected) {
  const auto model = mamba2::Mamba2Model<WeightT>::load(checkpoint, {.workers = {.threads = 2}});
  return read_alone(model.value(), 0) == expected;
}

}  // namespace

TEST_CASE("sessions of one model in many threads, each with threads of its own or none") {
  std::optional<FloatModel> model = tests::load(shared_config(), shared_weights());
  std::vector<std::vector<float>> expected;
  for (std::size_t i = 0; i < kThreads; ++i) expected.push_back(read_alone(*model, i));
  // Every thread has a handle, and the first one goes meanwhile.
  const std::vector<FloatModel> handles(kThreads, *model);
  model.reset();
  CHECK(in_threads([&](std::size_t i) {
    const FloatModel mine = handles[i];
    for (std::size_t round = 0; round < 3; ++round) {
      auto session = mine.session({.workers = {.threads = 1 + (i + round) % 2}}).value();
      if (read(session, prompt(i)) != expected[i]) return false;
      const mamba2::State fork = session.state();
      session.reset();
      session.set_state(fork).value();
    }
    return true;
  }));
}

TEST_CASE("sessions in many threads that take turns with one pool") {
  const FloatModel model = tests::load(shared_config(), shared_weights());
  const std::shared_ptr<mamba2::Executor> pool = mamba2::ThreadPool::create({.threads = 3}).value();
  std::vector<std::vector<float>> expected;
  for (std::size_t i = 0; i < kThreads; ++i) expected.push_back(read_alone(model, i));
  std::mutex turn;
  CHECK(in_threads([&](std::size_t i) {
    auto session = model.session({.workers = {.executor = pool}}).value();
    for (const Token token : prompt(i)) {
      const std::scoped_lock lock(turn);
      (void)session.decode(token).value();
    }
    const std::scoped_lock lock(turn);
    session.reset();
    return read(session, prompt(i)) == expected[i];
  }));
}

TEST_CASE("a session goes from thread to thread") {
  const FloatModel model = tests::load(shared_config(), shared_weights());
  auto session = std::make_unique<FloatSession>(model.session({.workers = {.threads = 2}}).value());
  std::thread([&] { (void)session->prefill(prompt(1)).value(); }).join();
  std::vector<float> last;
  std::thread([&] {
    for (const Token token : {Token{3}, Token{2}}) (void)session->decode(token).value();
    const auto logits = session->decode(1).value();
    last.assign(logits.begin(), logits.end());
  }).join();
  std::thread([&] { session.reset(); }).join();
  CHECK(last == read_alone(model, 1));
}

TEST_CASE("one checkpoint is loaded by many threads, and files are opened by many") {
  const std::string plain = MAMBA2_SOURCE_DIR "/tests/golden/transformers/plain";
  const auto checkpoint = mamba2::Checkpoint::open(plain).value();
  const auto expected = [&]<class WeightT>(WeightT) {
    return read_alone(mamba2::Mamba2Model<WeightT>::load(checkpoint).value(), 0);
  };
  const auto fp32 = expected(mamba2::Fp32());
  const auto int8 = expected(mamba2::Int8());
  const auto mixed = expected(mamba2::Mixed());
  CHECK(in_threads([&](std::size_t i) {
    if (i == 0) return loads_the_same<mamba2::Fp32>(checkpoint, fp32);
    if (i == 1) return loads_the_same<mamba2::Int8>(checkpoint, int8);
    if (i == 2) return loads_the_same<mamba2::Mixed>(checkpoint, mixed);
    return read_alone(FloatModel::load(plain).value(), 0) == fp32;
  }));
}

TEST_CASE("one tokenizer for many threads") {
  const auto tokenizer = mamba2::Tokenizer::from_json(tiny::tokenizer().dump()).value();
  const std::string text = "hello world, ab hell <|end|> caf\xC3\xA9";
  const auto ids = tokenizer.encode(text);
  CHECK(in_threads([&](std::size_t) {
    for (int round = 0; round < 50; ++round) {
      if (tokenizer.encode(text) != ids) return false;
      if (tokenizer.decode(ids, {.skip_special = false}) != text) return false;
    }
    return true;
  }));
}

namespace {

/// A model and what is made of it. Each part can go alone.
struct Household {
  std::shared_ptr<mamba2::Executor> pool = mamba2::ThreadPool::create({.threads = 2}).value();
  std::optional<FloatModel> model;
  std::optional<FloatSession> first;
  std::optional<FloatSession> second;
  std::optional<FloatBatch> batch;

  explicit Household(const FloatModel& original)
      : model(original),
        first(model->session({.workers = {.executor = pool}}).value()),
        second(model->session({.workers = {.executor = pool}}).value()),
        batch(model->batch({.tokens = 4, .workers = {.executor = pool}}).value()) {}

  void destroy(std::size_t part) {
    if (part == 0) pool.reset();
    if (part == 1) model.reset();
    if (part == 2) first.reset();
    if (part == 3) second.reset();
    if (part == 4) batch.reset();
  }

  /// Whether whatever is left computes what it should.
  bool works(const std::vector<float>& expected) {
    std::vector<FloatSession*> sessions;
    for (std::optional<FloatSession>* session : {&first, &second}) {
      if (session->has_value()) sessions.push_back(&**session);
    }
    for (FloatSession* session : sessions) {
      session->reset();
      if (!std::ranges::equal(session->decode(5).value(), expected)) return false;
      session->reset();
    }
    if (model &&
        !std::ranges::equal(model->session({.workers = {.threads = 1}}).value().decode(5).value(),
                            expected)) {
      return false;
    }
    if (!batch) return true;
    std::vector<float> logits(sessions.size() * expected.size());
    batch->decode(sessions, std::vector<Token>(sessions.size(), 5), logits).value();
    for (std::size_t i = 0; i < sessions.size(); ++i) {
      const auto row = std::span(logits).subspan(i * expected.size(), expected.size());
      if (!std::ranges::equal(row, expected)) return false;
    }
    return true;
  }
};

}  // namespace

TEST_CASE("executor, model, sessions and batch go in every order, and what is left works") {
  std::vector<float> expected;
  std::array<std::size_t, 5> order = {0, 1, 2, 3, 4};
  do {
    // Loaded anew, so that the last part to go takes the weights with it.
    std::optional<FloatModel> original = tests::load(shared_config(), shared_weights());
    if (expected.empty()) {
      auto session = original->session({.workers = {.threads = 1}}).value();
      const auto logits = session.decode(5).value();
      expected.assign(logits.begin(), logits.end());
    }
    Household household(*original);
    original.reset();
    std::string destroyed;
    bool good = true;
    for (const std::size_t part : order) {
      destroyed += std::to_string(part);
      household.destroy(part);
      good = household.works(expected) && good;
    }
    CAPTURE(destroyed);
    CHECK(good);
  } while (std::ranges::next_permutation(order).found);
}

TEST_CASE("a session that another is moved over lets go of what it had") {
  std::optional<FloatModel> model = tests::load(shared_config(), shared_weights());
  auto other_weights = reference::random_weights(shared_config(), 42);
  std::optional<FloatModel> other = tests::load(shared_config(), other_weights);
  const auto expected = read_alone(*other, 2);
  FloatSession session = model->session({.workers = {.threads = 2}}).value();
  model.reset();  // the session is the last to have the weights
  session = other->session({.workers = {.threads = 1}}).value();
  other.reset();
  CHECK(read(session, prompt(2)) == expected);
}
