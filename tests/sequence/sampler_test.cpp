// SPDX-License-Identifier: Apache-2.0
#include "mamba2/sequence/sampler.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <limits>
#include <set>

#include "tests/constants.hpp"
#include "tests/reference/random_weights.hpp"

using mamba2::Sampler;
using mamba2::SamplerOptions;
using mamba2::Token;
using tests::kInfinity;
using tests::kNan;

namespace {

/// No step but the temperature.
SamplerOptions plain() { return {.temperature = 1.0F, .top_p = 1.0F}; }

Sampler make(const SamplerOptions& options, std::size_t tokens) {
  return Sampler::create(options, tokens).value();
}

/// The tokens that come up in many draws, without a penalty for having come up.
std::set<Token> seen_in_draws(SamplerOptions options, const std::vector<float>& logits) {
  std::set<Token> seen;
  Sampler sampler = make(options, logits.size());
  for (int i = 0; i < 3000; ++i) seen.insert(sampler.sample(logits));
  return seen;
}

/// Logits whose probabilities are 0.4, 0.3, 0.2, 0.1, in mixed order.
std::vector<float> four() {
  return {std::log(0.2F), std::log(0.4F), std::log(0.1F), std::log(0.3F)};
}

}  // namespace

TEST_CASE("temperature 0 takes the largest logit, the smaller id of two") {
  Sampler sampler = make({.temperature = 0.0F}, 4);
  CHECK(sampler.sample(std::vector<float>{1, 3, 3, 2}) == 1);
  CHECK(sampler.sample(std::vector<float>{-kInfinity, -5, -7, -6}) == 1);
  CHECK(sampler.sample(std::vector<float>{kNan, 1, kNan, 2}) == 3);
  CHECK(sampler.sample(std::vector<float>(4, kNan)) == 0);
  CHECK(sampler.sample(std::vector<float>(4, -kInfinity)) == 0);
}

TEST_CASE("rows that no token has are never chosen") {
  const std::vector<float> logits = {1.0F, 0.0F, 50.0F, kInfinity};
  CHECK(make({.temperature = 0.0F}, 2).sample(logits) == 0);
  Sampler sampler = make(plain(), 2);
  for (int i = 0; i < 100; ++i) CHECK(sampler.sample(logits) < 2);
}

TEST_CASE("tokens come up as often as their probabilities say") {
  constexpr int kDraws = 40000;
  const std::array<double, 4> expected = {0.2, 0.4, 0.1, 0.3};
  std::array<int, 4> count{};
  Sampler sampler = make(plain(), 4);
  for (int i = 0; i < kDraws; ++i) ++count[static_cast<std::size_t>(sampler.sample(four()))];
  for (std::size_t i = 0; i < 4; ++i) {
    // Five standard deviations.
    const double bound = 5.0 * std::sqrt(expected[i] * (1.0 - expected[i]) / kDraws);
    CHECK(std::abs(count[i] / static_cast<double>(kDraws) - expected[i]) < bound);
  }
}

TEST_CASE("temperature sharpens: at 0.5 probabilities are squared") {
  constexpr int kDraws = 40000;
  SamplerOptions options = plain();
  options.temperature = 0.5F;
  int first = 0;
  Sampler sampler = make(options, 4);
  for (int i = 0; i < kDraws; ++i) first += sampler.sample(four()) == 1 ? 1 : 0;
  CHECK(std::abs(first / static_cast<double>(kDraws) - 0.16 / 0.30) < 0.0125);
}

TEST_CASE("top_k, top_p and min_p leave exactly the tokens that they should") {
  SamplerOptions options = plain();
  options.top_k = 2;
  CHECK(seen_in_draws(options, four()) == std::set<Token>{1, 3});
  options = plain();
  options.top_p = 0.65F;  // 0.4 + 0.3 exceeds it
  CHECK(seen_in_draws(options, four()) == std::set<Token>{1, 3});
  options.top_p = 0.75F;  // needs the third
  CHECK(seen_in_draws(options, four()) == std::set<Token>{0, 1, 3});
  options.top_p = 0.01F;
  CHECK(seen_in_draws(options, four()) == std::set<Token>{1});
  options = plain();
  options.min_p = 0.45F;  // 0.2 is half of 0.4, 0.1 a quarter
  CHECK(seen_in_draws(options, four()) == std::set<Token>{0, 1, 3});
  options.min_p = 1.0F;
  CHECK(seen_in_draws(options, four()) == std::set<Token>{1});
}

TEST_CASE("min_p looks at the probabilities before the temperature, top_p after it") {
  SamplerOptions options = plain();
  options.temperature = 100.0F;  // nearly uniform
  options.min_p = 0.45F;
  CHECK(seen_in_draws(options, four()) == std::set<Token>{0, 1, 3});
  options = plain();
  options.temperature = 0.25F;  // fourth powers: 0.4 has 0.72 of the sum
  options.top_p = 0.7F;
  CHECK(seen_in_draws(options, four()) == std::set<Token>{1});
}

TEST_CASE("top_p on a large vocabulary keeps the smallest set that exceeds it") {
  const std::size_t n = 5000;
  const std::vector<float> flat(n, 0.25F);
  SamplerOptions options = plain();
  options.top_p = 0.1F;
  std::set<Token> seen = seen_in_draws(options, flat);
  CHECK(*seen.rbegin() == 500);  // 501 tokens of 1/5000 exceed 0.1, smaller ids first
  CHECK(seen.size() > 490);
}

TEST_CASE("the repetition penalty moves seen tokens away from being chosen, whatever their sign") {
  const SamplerOptions options = {.temperature = 0.0F, .repetition_penalty = 2.0F};
  Sampler sampler = make(options, 3);
  CHECK(sampler.sample(std::vector<float>{3.0F, 2.0F, -1.0F}) == 0);
  CHECK(sampler.sample(std::vector<float>{3.0F, 2.0F, -1.0F}) == 1);
  sampler.accept(-1);  // ids that no token has are ignored
  sampler.accept(3);
  Sampler negative = make(options, 2);
  negative.accept(0);
  CHECK(negative.sample(std::vector<float>{-1.0F, -1.5F}) == 1);
}

TEST_CASE("infinite logits are an order like any other") {
  SamplerOptions options = plain();
  options.min_p = 0.1F;
  CHECK(seen_in_draws(options, {kInfinity, 1.0F, -kInfinity}) == std::set<Token>{0});
  CHECK(seen_in_draws(options, {-kInfinity, -kInfinity}) == std::set<Token>{0, 1});
}

TEST_CASE("the same seed gives the same tokens, on every machine") {
  reference::Random random(1);
  std::vector<float> logits = reference::to_float(random.normals(1000, 0.0, 1.0));
  std::vector<Token> drawn;
  Sampler sampler = make({.temperature = 0.9F, .top_k = 50, .min_p = 0.01F, .seed = 42}, 1000);
  for (int i = 0; i < 8; ++i) drawn.push_back(sampler.sample(logits));
  const std::vector<Token> expected = {727, 990, 780, 443, 321, 855, 467, 990};
  CHECK(drawn == expected);
  Sampler other = make({.temperature = 0.9F, .top_k = 50, .min_p = 0.01F, .seed = 43}, 1000);
  std::vector<Token> others;
  for (int i = 0; i < 8; ++i) others.push_back(other.sample(logits));
  CHECK(others != drawn);
}

TEST_CASE("options out of range are refused by name") {
  const auto message = [](const SamplerOptions& options) {
    const auto outcome = Sampler::create(options, 10);
    return outcome ? std::string("accepted") : outcome.error().message;
  };
  CHECK(message({}) == "accepted");
  CHECK(message({.temperature = -0.5F}) ==
        "sampler: temperature must be a finite value, at least 0, found -0.5");
  CHECK(message({.temperature = kNan}).find("temperature") != std::string::npos);
  CHECK(message({.temperature = kInfinity}).find("temperature") != std::string::npos);
  CHECK(message({.top_p = 0.0F}).find("top_p") != std::string::npos);
  CHECK(message({.top_p = 1.5F}).find("top_p") != std::string::npos);
  CHECK(message({.min_p = -0.1F}).find("min_p") != std::string::npos);
  CHECK(message({.repetition_penalty = 0.0F}).find("repetition_penalty") != std::string::npos);
  for (const float bad : {kNan, -kNan, kInfinity, -kInfinity, -1.0F}) {
    CHECK(message({.temperature = bad}).starts_with("sampler: temperature must be "));
    CHECK(message({.top_p = bad}).starts_with("sampler: top_p must be "));
    CHECK(message({.min_p = bad}).starts_with("sampler: min_p must be "));
    CHECK(message({.repetition_penalty = bad}).starts_with("sampler: repetition_penalty must be "));
  }
  CHECK(!Sampler::create({}, 0));
}
