// SPDX-License-Identifier: Apache-2.0
#include "mamba2/sequence/prefix_cache.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "mamba2/linear/floats.hpp"
#include "tests/model_helpers.hpp"
#include "tests/reference/compare.hpp"
#include "tests/reference/random_weights.hpp"

using mamba2::PrefixCache;
using mamba2::Token;

namespace {

using Tokens = std::vector<Token>;

mamba2::Mamba2Model<mamba2::Fp32> cached_model(std::uint64_t seed = 21) {
  const mamba2::Config config = reference::variants().front().config;
  return tests::load(config, reference::random_weights(config, seed));
}

/// States that say by their counts who they are, and know the next logits.
mamba2::State numbered(std::size_t number) {
  mamba2::State state = mamba2::State::create(reference::variants().front().config).value();
  state.count(number);
  std::ranges::fill(state.new_last(), 0.0F);
  return state;
}
/// One that does not know them.
mamba2::State without_last(std::size_t number) {
  mamba2::State state = mamba2::State::create(reference::variants().front().config).value();
  state.count(number);
  return state;
}

/// Bytes of an entry of so many tokens.
std::size_t entry_bytes(std::size_t tokens) {
  PrefixCache cache(std::size_t{1} << 30);
  cache.insert(1, Tokens(tokens), numbered(1));
  return cache.bytes();
}

/// The number of the state that is found, and the tokens that it knows.
void check_found(PrefixCache& cache, const Tokens& tokens, std::size_t known, std::size_t number) {
  mamba2::State state = numbered(0);
  CHECK(cache.find(1, tokens, state) == known);
  CHECK(state.tokens() == number);
}

}  // namespace

TEST_CASE("the longest prefix is found") {
  PrefixCache cache(std::size_t{1} << 30);
  check_found(cache, {1, 2, 3}, 0, 0);
  CHECK(cache.insert(1, Tokens{1}, numbered(10)));
  CHECK(cache.insert(1, Tokens{1, 2, 3}, numbered(30)));
  CHECK(cache.insert(1, Tokens{1, 2}, numbered(20)));
  CHECK(cache.insert(1, Tokens{1, 2, 4, 5, 6}, numbered(50)));
  check_found(cache, {1, 2, 3, 4}, 3, 30);
  check_found(cache, {1, 2, 3}, 3, 30);
  check_found(cache, {1, 2, 4, 5}, 2, 20);
  check_found(cache, {1, 9}, 1, 10);
  check_found(cache, {1}, 1, 10);
  check_found(cache, {2, 2, 3, 4}, 0, 0);
  check_found(cache, {}, 0, 0);

  mamba2::State state = numbered(0);
  CHECK(cache.find(2, Tokens{1, 2, 3, 4}, state) == 0);  // another model
  auto half = mamba2::State::create(reference::variants().front().config,
                                    {.precision = mamba2::StatePrecision::fp16})
                  .value();
  CHECK(cache.find(1, Tokens{1, 2, 3, 4}, half) == 0);
  CHECK(!cache.insert(1, {}, state));

  // The same tokens again: one entry.
  const std::size_t bytes = cache.bytes();
  CHECK(cache.insert(1, Tokens{1, 2}, numbered(99)));
  CHECK(cache.bytes() == bytes);
  CHECK(cache.entries() == 4);
  cache.clear();
  CHECK(cache.bytes() == 0);
  check_found(cache, {1, 2, 3, 4}, 0, 0);
}

TEST_CASE("a state that does not know the next logits is found for longer tokens alone") {
  PrefixCache cache(std::size_t{1} << 30);
  CHECK(cache.insert(1, Tokens{1}, numbered(10)));
  CHECK(cache.insert(1, Tokens{1, 2}, without_last(20)));
  check_found(cache, {1, 2, 3}, 2, 20);
  check_found(cache, {1, 2}, 1, 10);
  // One that does takes its place.
  CHECK(cache.insert(1, Tokens{1, 2}, numbered(21)));
  CHECK(cache.entries() == 2);
  check_found(cache, {1, 2}, 2, 21);
  CHECK(cache.insert(1, Tokens{1, 2}, without_last(22)));
  check_found(cache, {1, 2}, 2, 21);
}

TEST_CASE("the budget holds to the byte, and what was not used for longest goes") {
  const std::size_t one = entry_bytes(1);
  CHECK(entry_bytes(11) == one + 10 * sizeof(Token));
  CHECK(one >= numbered(0).bytes() + sizeof(Token));

  PrefixCache cache(3 * one);
  for (const Token token : {1, 2, 3}) {
    CHECK(cache.insert(1, Tokens{token}, numbered(static_cast<std::size_t>(token))));
  }
  CHECK(cache.bytes() == 3 * one);
  check_found(cache, {1, 7}, 1, 1);                 // 2 is the oldest now
  CHECK(cache.insert(1, Tokens{3}, numbered(33)));  // and was, as this is used
  CHECK(cache.insert(1, Tokens{4}, numbered(4)));
  CHECK(cache.bytes() == 3 * one);
  check_found(cache, {2, 7}, 0, 0);
  check_found(cache, {1, 7}, 1, 1);
  check_found(cache, {3, 7}, 1, 3);
  check_found(cache, {4, 7}, 1, 4);

  // One with more tokens needs the room of two.
  CHECK(cache.insert(1, Tokens{5, 5}, numbered(5)));
  CHECK(cache.entries() == 2);
  CHECK(cache.bytes() == entry_bytes(2) + one);
  check_found(cache, {4, 7}, 1, 4);

  CHECK(PrefixCache(one).insert(1, Tokens{1}, numbered(1)));
  PrefixCache small(one - 1);
  CHECK(!small.insert(1, Tokens{1}, numbered(1)));
  CHECK(small.bytes() == 0);
  CHECK(!PrefixCache(0).insert(1, Tokens{1}, numbered(1)));

  // Whatever comes, it does not grow.
  reference::Random random(8);
  for (int i = 0; i < 300; ++i) {
    const auto length = static_cast<std::size_t>(1 + random.next() % 50);
    cache.insert(1, random.tokens(length, 5), numbered(1));
    REQUIRE(cache.bytes() <= cache.budget());
  }
}

TEST_CASE("a prompt is read from what is known of it") {
  PrefixCache cache(std::size_t{1} << 30);
  const auto model = cached_model();
  auto session = model.session().value();
  const auto read = [&](const Tokens& tokens) {
    const auto logits = cache.prefill(session, tokens).value();
    CHECK(session.state().tokens() == tokens.size());
    return std::vector<float>(logits.begin(), logits.end());
  };
  const auto alone = [&](const Tokens& tokens) {
    auto fresh = model.session().value();
    const auto logits = fresh.prefill(tokens).value();
    return std::vector<float>(logits.begin(), logits.end());
  };
  const Tokens prompt = {3, 1, 4, 1, 5, 9, 2, 6};
  const std::vector<float> first = read(prompt);
  CHECK(first == alone(prompt));  // the same bits
  CHECK(cache.entries() == 1);
  CHECK(read(prompt) == first);
  CHECK(cache.entries() == 1);
  Tokens longer = prompt;
  longer.insert(longer.end(), {5, 3});
  const std::vector<float> more = read(longer);
  CHECK(reference::max_abs_difference(more, alone(longer)) < 1e-4);
  CHECK(cache.entries() == 2);
  CHECK(read(longer) == more);
  CHECK(read({8}) == alone({8}));
  CHECK(cache.entries() == 3);
  CHECK(read(prompt) == first);

  // It goes on from there as the sequence would have.
  auto fresh = model.session().value();
  (void)fresh.prefill(prompt).value();
  const auto expected = fresh.decode(7).value();
  const auto next = session.decode(7).value();
  CHECK(std::vector<float>(next.begin(), next.end()) ==
        std::vector<float>(expected.begin(), expected.end()));
  CHECK(read(prompt) == first);

  // Another model of the same shape gets none of these.
  auto other = cached_model(22).session().value();
  auto other_alone = cached_model(22).session().value();
  const auto logits = cache.prefill(other, prompt).value();
  CHECK(reference::max_abs_difference(logits, other_alone.prefill(prompt).value()) < 1e-4);

  // Errors change nothing.
  const std::size_t entries = cache.entries();
  CHECK(!cache.prefill(session, Tokens{}));
  CHECK(!cache.prefill(session, Tokens{3, 1, 4, -1}));
  CHECK(!cache.prefill(session, Tokens{3, 1, 4, 37}));
  CHECK(session.state().tokens() == prompt.size());
  CHECK(cache.entries() == entries);
}

TEST_CASE("a prompt that is remembered as a whole is not read") {
  struct Counting final : mamba2::Executor {
    void run(std::size_t count, mamba2::Task task) noexcept override {
      for (std::size_t i = 0; i < count; ++i) task(i);
      ++runs;
    }
    int runs = 0;
  };
  const auto executor = std::make_shared<Counting>();
  auto session = cached_model().session({.workers = {.executor = executor}}).value();
  PrefixCache cache(std::size_t{1} << 30);
  const Tokens prompt = {3, 1, 4, 1, 5};
  (void)cache.prefill(session, prompt).value();
  const int reading = std::exchange(executor->runs, 0);
  (void)cache.prefill(session, prompt).value();
  CHECK(executor->runs == 1);  // the head
  CHECK(reading > 1 + static_cast<int>(session.config().n_layer));
}

TEST_CASE("threads share a cache") {
  const auto model = cached_model();
  PrefixCache cache(3 * entry_bytes(8));
  std::vector<std::thread> threads;
  std::vector<int> wrong(4);
  for (int& errors : wrong) {
    threads.emplace_back([&errors, &cache, &model] {
      auto session = model.session({.workers = {.threads = 1}}).value();
      auto alone = model.session({.workers = {.threads = 1}}).value();
      for (Token i = 0; i < 20; ++i) {
        const Tokens prompt = {7, 7, 7, 7, i % 6, i % 3, 1};
        const auto logits = cache.prefill(session, prompt).value();
        alone.reset();
        if (reference::max_abs_difference(logits, alone.prefill(prompt).value()) > 1e-4) ++errors;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == std::vector<int>(4));
  CHECK(cache.bytes() <= cache.budget());
}
