// SPDX-License-Identifier: Apache-2.0
// Biases, penalties of what was chosen, edits and log-probabilities.
#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "mamba2/sequence/log_probabilities.hpp"
#include "mamba2/sequence/sampler.hpp"
#include "tests/constants.hpp"
#include "tests/reference/random_weights.hpp"

namespace {
namespace penalties {

using mamba2::kBanned;
using mamba2::Sampler;
using mamba2::SamplerOptions;
using mamba2::Token;

Sampler greedy(SamplerOptions options, std::size_t tokens) {
  options.temperature = 0.0F;
  return Sampler::create(options, tokens).value();
}

std::vector<Token> chosen(Sampler& sampler, const std::vector<float>& logits, int count) {
  std::vector<Token> tokens;
  for (int i = 0; i < count; ++i) tokens.push_back(sampler.sample(logits));
  return tokens;
}

std::string refused(const SamplerOptions& options) {
  const auto made = Sampler::create(options, 10);
  return made ? "accepted" : made.error().message;
}

}  // namespace penalties
}  // namespace

using namespace penalties;  // NOLINT: one file

TEST_CASE("logit_bias moves a token up, or bans it") {
  const std::vector<float> logits = {1.0F, 3.0F, 2.0F};
  CHECK(greedy({.logit_bias = {{2, 1.5F}}}, 3).sample(logits) == 2);
  CHECK(greedy({.logit_bias = {{1, kBanned}}}, 3).sample(logits) == 2);
  Sampler random = Sampler::create({.temperature = 5.0F, .logit_bias = {{1, kBanned}}}, 3).value();
  for (int i = 0; i < 200; ++i) CHECK(random.sample(logits) != 1);
}

TEST_CASE("where all tokens are banned, the sampler says so") {
  Sampler sampler = greedy({.logit_bias = {{0, kBanned}, {1, kBanned}}}, 2);
  CHECK(sampler.had_choice());
  CHECK(sampler.sample(std::vector<float>{1.0F, 2.0F}) == 0);
  CHECK(!sampler.had_choice());
}

TEST_CASE(
    "the presence penalty counts once, the frequency penalty as often as a token was chosen") {
  Sampler presence = greedy({.presence_penalty = 1.5F}, 2);
  CHECK(chosen(presence, {2.0F, 1.0F}, 4) == std::vector<Token>{0, 1, 0, 0});
  Sampler frequency = greedy({.frequency_penalty = 0.7F}, 2);
  // Logits 2, 1; 1.3, 1; 0.6, 1; 0.6, 0.3; -0.1, 0.3.
  CHECK(chosen(frequency, {2.0F, 1.0F}, 5) == std::vector<Token>{0, 0, 1, 0, 1});
  frequency.begin_text();
  CHECK(chosen(frequency, {2.0F, 1.0F}, 2) == std::vector<Token>{0, 0});
  // Tokens that were read, and not chosen, do not count.
  Sampler read = greedy({.presence_penalty = 5.0F}, 2);
  read.accept(0);
  CHECK(read.sample(std::vector<float>{2.0F, 1.0F}) == 0);
}

TEST_CASE("edits see the biased logits, and come before the penalties") {
  Sampler sampler = greedy({.presence_penalty = 1.0F, .logit_bias = {{1, 4.0F}}}, 3);
  std::vector<float> seen;
  const std::vector<float> logits = {0.0F, 1.0F, 2.0F, 50.0F};  // the last one has no token
  const auto edit = [&](std::span<float> edited) {
    seen.assign(edited.begin(), edited.end());
    edited[1] = -tests::kInfinity;
    edited[0] = 2.5F;
  };
  CHECK(sampler.sample(logits, edit) == 0);
  CHECK(seen == std::vector<float>{0.0F, 5.0F, 2.0F});
  CHECK(sampler.sample(logits, edit) == 2);  // 2.5 - 1 is less than 2
}

TEST_CASE("biases and penalties that make no sense are refused by name") {
  CHECK(refused({.logit_bias = {{10, 1.0F}}}) ==
        "sampler: logit_bias of token 10: the token must be in 0..9");
  CHECK(refused({.logit_bias = {{-1, 1.0F}}}).find("token -1") != std::string::npos);
  CHECK(refused({.logit_bias = {{3, tests::kNan}}}).find("token 3 must be a finite value") !=
        std::string::npos);
  CHECK(refused({.logit_bias = {{3, tests::kInfinity}}}) != "accepted");
  CHECK(refused({.logit_bias = {{3, 1.0F}, {2, 1.0F}, {3, 2.0F}}}) ==
        "sampler: logit_bias of token 3 must occur once, found two");
  for (const float bad : {tests::kNan, tests::kInfinity}) {
    CHECK(refused({.presence_penalty = bad}).starts_with("sampler: presence_penalty must be "));
    CHECK(refused({.frequency_penalty = bad}).starts_with("sampler: frequency_penalty must be "));
  }
}

TEST_CASE("log-probabilities are those of the softmax, the best tokens in order") {
  reference::Random random(3);
  std::vector<float> logits = reference::to_float(random.normals(500, 0.0, 4.0));
  logits[17] = tests::kNan;
  logits[18] = -tests::kInfinity;
  double sum = 0.0;
  for (const float logit : logits) {
    if (!std::isnan(logit)) sum += std::exp(static_cast<double>(logit));
  }
  const double log_sum = mamba2::log_sum_exp(logits);
  CHECK(std::abs(log_sum - std::log(sum)) < 1e-7);

  std::vector<mamba2::TokenLogprob> room(7);
  const auto best = mamba2::best_tokens(logits, log_sum, room);
  REQUIRE(best.size() == 7);
  std::vector<Token> order(500);
  for (std::size_t i = 0; i < 500; ++i) order[i] = static_cast<Token>(i);
  std::erase(order, 17);
  const auto at = [&](Token t) { return logits[static_cast<std::size_t>(t)]; };
  std::ranges::stable_sort(order, [&](Token a, Token b) { return at(a) > at(b); });
  for (std::size_t i = 0; i < 7; ++i) {
    CHECK(best[i].token == order[i]);
    CHECK(std::abs(static_cast<double>(best[i].logprob) -
                   (static_cast<double>(at(order[i])) - std::log(sum))) < 1e-5);
  }
  CHECK(mamba2::best_tokens(logits, log_sum, {}).empty());
  const std::vector<float> two = {1.0F, 1.0F};
  CHECK(mamba2::best_tokens(two, mamba2::log_sum_exp(two), room).size() == 2);
  CHECK(room[0].token == 0);
  CHECK(std::isfinite(mamba2::log_sum_exp(std::vector<float>(3, tests::kNan))));
}
