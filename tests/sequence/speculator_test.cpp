// SPDX-License-Identifier: Apache-2.0
#include "mamba2/sequence/speculator.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <span>
#include <vector>

#include "mamba2/linear/floats.hpp"
#include "mamba2/model/model.hpp"
#include "mamba2/sequence/speculative_decoder.hpp"
#include "tests/hybrid_models.hpp"
#if defined(MAMBA2_SEPARATE)
#include "tools/models.hpp"
#endif

using mamba2::Speculator;
using mamba2::SpeculatorStats;
using mamba2::Token;

namespace {
namespace speculating {

mamba2::AnyModel hybrid(std::uint64_t seed) {
  nlohmann::json config = reference::random_hybrid_config(reference::Writer::granite, seed);
  config["vocab_size"] = 50;
  const reference::Checkpoint files =
      reference::write_hybrid(config, reference::random_hybrid(config, seed));
  return tests::HybridModel{files.config_json, files.safetensors, {}, {}}.load(
      mamba2::kPlan<mamba2::Fp32>);
}
const mamba2::AnyModel& speculated_model() {
  static const mamba2::AnyModel instance = hybrid(5);
  return instance;
}

/// What the model would say after a prompt, by itself.
std::vector<Token> greedy(std::span<const Token> prompt, std::size_t tokens) {
  auto session = speculated_model().session().value();
  std::vector<Token> text(prompt.begin(), prompt.end());
  auto logits = session.prefill(prompt).value();
  while (text.size() < prompt.size() + tokens) {
    text.push_back(static_cast<Token>(std::ranges::max_element(logits) - logits.begin()));
    logits = session.decode(text.back()).value();
  }
  return text;
}

/// Reads texts with drafts; their time is what a pass is said to cost.
class ClockedReading {
 public:
  using Cost = std::function<double(std::uint64_t)>;

  explicit ClockedReading(Cost cost) : cost_(std::move(cost)) {}

  [[nodiscard]] std::function<double()> clock() {
    return [this] {
      const std::uint64_t tokens = session_.state().tokens();
      if (tokens > seen_) time_ += cost_(tokens - seen_);
      seen_ = tokens;
      return time_;
    };
  }

  /// Reads more of a text that is given, the first `prompt` tokens at once.
  void read(Speculator& speculator, std::span<const Token> text, std::size_t prompt) {
    auto plain = speculated_model().session({.context = 1500, .rewind = 16}).value();
    session_.reset();
    (void)session_.prefill(text.first(prompt)).value();
    (void)plain.prefill(text.first(prompt)).value();
    seen_ = prompt;
    speculator.read(0, text.first(prompt));
    mamba2::SpeculativeDecoder decoder(session_, &speculator);
    bool is_same = true;
    for (std::size_t i = prompt; i < text.size(); ++i) {
      const auto found = decoder.decode(text[i], text.size() - i - 1).value();
      const auto expected = plain.decode(text[i]).value();
      is_same = is_same && std::ranges::equal(found, expected);
      is_same = is_same && decoder.tokens() == i + 1 && decoder.room() == plain.state().room();
    }
    decoder.finish().value();
    CHECK(is_same);
    CHECK(session_.state().tokens() == text.size());
    CHECK(std::ranges::equal(session_.logits(), plain.logits()));
  }

 private:
  Cost cost_;
  mamba2::AnySession session_ = speculated_model().session({.context = 1500, .rewind = 16}).value();
  std::uint64_t seen_ = 0;
  double time_ = 0.0;
};

double flat(std::uint64_t) { return 1.0; }
double by_token(std::uint64_t tokens) { return static_cast<double>(tokens); }

/// Half of it is what was there before.
std::vector<Token> repetitive(std::uint64_t seed, std::size_t tokens) {
  reference::Random random(seed);
  std::vector<Token> text = random.tokens(40, 50);
  while (text.size() < tokens) {
    const auto from = static_cast<std::size_t>(random.tokens(1, 1 + text.size() - 20)[0]);
    for (std::size_t i = 0; i < 20; ++i) text.push_back(text[from + i]);
    for (const Token token : random.tokens(10, 50)) text.push_back(token);
  }
  text.resize(tokens);
  return text;
}

}  // namespace speculating
}  // namespace

TEST_CASE("speculator: as many drafts as pay, by the time that passes take") {
  using namespace speculating;
  const std::vector<Token> text = repetitive(1, 1000);
  for (const auto& [cost, least, most] : {std::tuple(ClockedReading::Cost(flat), 1.8, 3.0),
                                          std::tuple(ClockedReading::Cost(by_token), 0.97, 1.0)}) {
    ClockedReading reading(cost);
    auto speculator =
        Speculator::create(speculated_model().config(), {.clock = reading.clock()}).value();
    reading.read(speculator, text, 100);
    const SpeculatorStats& stats = speculator.stats();
    CHECK(stats.tokens == 900);
    CHECK(stats.speedup() > least);
    CHECK(stats.speedup() <= most);
  }
  // Nothing repeats itself.
  ClockedReading reading(by_token);
  auto speculator =
      Speculator::create(speculated_model().config(), {.clock = reading.clock()}).value();
  reading.read(speculator, reference::Random(9).tokens(1000, 50), 1);
  CHECK(speculator.stats().speedup() > 0.97);
}

TEST_CASE("speculator: a draft model follows the text, wherever it goes") {
  using namespace speculating;
  const std::vector<Token> text = greedy(reference::Random(3).tokens(150, 50), 100);
  for (const std::size_t context : {1000U, 40U}) {  // with 40 it begins anew again and again
    ClockedReading reading(flat);
    auto speculator =
        Speculator::create(speculated_model().config(),
                           speculated_model().session({.context = context, .rewind = 16}).value(),
                           {.lookup = false, .draft_window = 200, .drafts = 7})
            .value();
    const auto accepted = [&](std::span<const Token> some, std::size_t prompt) {
      const SpeculatorStats before = speculator.stats();
      reading.read(speculator, some, prompt);
      const SpeculatorStats& after = speculator.stats();
      return static_cast<double>(after.accepted - before.accepted) /
             static_cast<double>(after.drafted - before.drafted);
    };
    // By itself it says what the model says, if it knows all of the text.
    const double right = accepted(text, 150);
    if (context == 1000) CHECK(right == 1.0);
    // The same place once more, another text, and the first again.
    if (context == 1000) CHECK(accepted(text, 170) == 1.0);
    (void)accepted(reference::Random(4).tokens(300, 50), 20);
    const double again = accepted(text, 150);
    if (context == 1000) CHECK(again == 1.0);
  }
}

TEST_CASE("speculator: one without a draft model, and without lookups, decodes plainly") {
  using namespace speculating;
  ClockedReading reading(flat);
  auto speculator = Speculator::create(speculated_model().config(), {.lookup = false}).value();
  reading.read(speculator, repetitive(2, 100), 10);
  CHECK(speculator.stats().passes == 90);
  CHECK(speculator.stats().drafted == 0);
}

TEST_CASE("speculator: drafts of the application's own that are no tokens are left out") {
  using namespace speculating;
  const std::vector<Token> text = repetitive(3, 100);
  mamba2::SpeculatorOptions options{.lookup = false, .drafts = 3};
  std::size_t asked = 0;
  options.own = [&](const mamba2::TokenHistory& known, std::span<Token> out) {
    for (std::size_t i = 0; i < out.size() && known.size() + i < text.size(); ++i) {
      out[i] = text[static_cast<std::size_t>(known.size()) + i];
    }
    if (++asked % 3 == 1 && !out.empty()) out[out.size() / 2] = asked % 2 == 0 ? -1 : 50;
    return out.size() + 5;  // more than there is room for
  };
  ClockedReading reading(flat);
  auto speculator = Speculator::create(speculated_model().config(), options).value();
  reading.read(speculator, text, 10);
  CHECK(speculator.stats().accepted == speculator.stats().drafted);
  CHECK(speculator.stats().passes < 40);
}
