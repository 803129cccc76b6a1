// SPDX-License-Identifier: Apache-2.0
// With drafts a text is, in all that generate() tells of it, the text without.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/grammar.hpp"
#include "mamba2/linear/floats.hpp"
#include "mamba2/model/model.hpp"
#include "mamba2/text/generate.hpp"
#include "tests/constants.hpp"
#include "tests/hybrid_models.hpp"
#include "tests/sequence/remembered.hpp"
#if defined(MAMBA2_SEPARATE)
#include "tools/models.hpp"
#endif

namespace {
namespace speculated {

using mamba2::Speculator;
using mamba2::Token;

const mamba2::Tokenizer& tokenizer() {
  static const mamba2::Tokenizer instance =
      mamba2::Tokenizer::load(MAMBA2_SOURCE_DIR "/examples/models/llama-tales-14m").value();
  return instance;
}

/// A model with recurrent layers, attention and experts; what it writes makes no sense.
mamba2::AnyModel hybrid(std::uint64_t seed, std::size_t more_rows = 3) {
  nlohmann::json config = reference::random_hybrid_config(reference::Writer::granite, seed);
  config["vocab_size"] = tokenizer().vocab_size() + more_rows;
  config["eos_token_id"] = 0;
  const reference::Checkpoint files =
      reference::write_hybrid(config, reference::random_hybrid(config, seed));
  return tests::HybridModel{files.config_json, files.safetensors, {}, {}}.load(
      mamba2::kPlan<mamba2::Fp32>);
}
const mamba2::AnyModel& telling_model() {
  static const mamba2::AnyModel instance = hybrid(5);
  return instance;
}

/// All that there is to see of a text.
struct SpeculatedText {
  std::vector<std::string> pieces;
  std::vector<Token> tokens;
  std::vector<float> logprobs;
  std::size_t count = 0;
  mamba2::StopReason reason = {};
  std::string error;
  std::uint64_t read = 0, random = 0;
  std::uint64_t base = 0;  // states can be compared where the recurrence stands at the same token
  std::vector<bool> seen;
  std::vector<float> logits;
  std::vector<std::byte> state;

  friend bool operator==(const SpeculatedText&, const SpeculatedText&) = default;
};

#if defined(MAMBA2_QUICK_TESTS)
constexpr std::size_t kFewest = 4, kStep = 15, kLargerStep = 15;
constexpr float kTemperatures[] = {0.9F};
#else
constexpr std::size_t kFewest = 1, kStep = 1, kLargerStep = 7;
constexpr float kTemperatures[] = {0.0F, 0.9F};
#endif

constexpr const char* kSeaPrompt = "The sea was calm, the sea was deep, and the";

struct Wanted {
  mamba2::GenerateOptions options;
  std::size_t context = 0;
  std::size_t cancelled_after = SIZE_MAX;  // pieces
  const mamba2::Grammar* grammar = nullptr;
  std::size_t texts = 1;  // each goes on where the one before ended
};

SpeculatedText write(const Wanted& wanted, Speculator* speculator) {
  auto session = telling_model().session({.context = wanted.context, .rewind = 16}).value();
  mamba2::GenerateOptions options = wanted.options;
  auto sampler = mamba2::make_sampler(options.sampling, tokenizer(), session.config()).value();
  std::vector<mamba2::Constraint> constraint;
  if (wanted.grammar != nullptr) {
    options.constraint = &constraint.emplace_back(*wanted.grammar);
  }
  options.speculator = speculator;
  options.logprobs = true;
  options.best_tokens = 2;
  SpeculatedText out;
  options.on_token = [&](const mamba2::GeneratedToken& token) {
    out.tokens.push_back(token.token);
    out.logprobs.push_back(token.logprob);
    for (const auto& best : token.best) out.logprobs.push_back(best.logprob);
  };
  for (std::size_t i = 0; i < wanted.texts; ++i) {
    const auto done = mamba2::generate(session, sampler, tokenizer(), i == 0 ? kSeaPrompt : "",
                                       options, [&](std::string_view piece) {
                                         out.pieces.emplace_back(piece);
                                         return out.pieces.size() < wanted.cancelled_after;
                                       });
    if (!done) out.error = done.error().message;
    if (!done) break;
    out.count += done->tokens;
    out.reason = done->reason;
  }
  out.read = session.state().tokens();
  out.base = session.state().base();
  out.random = sampler.random();
  out.seen = sampler.seen();
  out.state = tests::remembered(session.state());
  const auto logits = session.logits();
  out.logits.assign(logits.begin(), logits.end());
  return out;
}

/// Draws drafts of the application's own from the text that will come: `is_right(place)` of them.
mamba2::SpeculatorOptions own(const SpeculatedText& plain,
                              std::function<bool(std::size_t)> is_right, std::size_t drafts) {
  mamba2::SpeculatorOptions options{.lookup = false, .drafts = drafts};
  options.own = [&plain, is_right](const mamba2::TokenHistory& text, std::span<Token> out) {
    const std::size_t prompt = static_cast<std::size_t>(plain.read) - plain.tokens.size();
    for (std::size_t i = 0; i < out.size(); ++i) {
      const std::size_t place = static_cast<std::size_t>(text.size()) - prompt + i;
      const Token token = place < plain.tokens.size() ? plain.tokens[place] : 7;
      out[i] = is_right(place) ? token : (token + 1) % 8000;
    }
    return out.size();
  };
  return options;
}

Speculator speculator(const mamba2::SpeculatorOptions& options = {}) {
  return Speculator::create(telling_model().config(), options).value();
}

/// Checks that nothing can be seen of drafts, whatever they are.
void check(const Wanted& wanted, bool thoroughly = false) {
  const SpeculatedText plain = write(wanted, nullptr);
  const auto same = [&](Speculator made) {
    const SpeculatedText found = write(wanted, &made);
    CHECK(found.tokens == plain.tokens);
    CHECK((found.pieces == plain.pieces));
    CHECK(found.error == plain.error);
    CHECK((found.reason == plain.reason && found.count == plain.count && found.read == plain.read));
    CHECK((found.random == plain.random && found.seen == plain.seen));
    CHECK((found.logprobs == plain.logprobs));
    CHECK((found.logits == plain.logits));
    CHECK((found.base != plain.base || found.state == plain.state));
    return made.stats();
  };
  std::uint64_t random = 1;
  const auto often = [&random](std::size_t) {
    random = random * 6364136223846793005U + 1442695040888963407U;
    return (random >> 40U) % 3 != 0;
  };
  for (std::size_t drafts = kFewest; drafts <= 15; drafts += thoroughly ? kStep : kLargerStep) {
    CAPTURE(drafts);
    same(speculator({.drafts = drafts}));
    const auto wrong = same(speculator(own(
        plain, [](std::size_t) { return false; }, drafts)));
    CHECK(wrong.accepted == 0);
    const auto right = same(speculator(own(
        plain, [](std::size_t) { return true; }, drafts)));
    CHECK(right.accepted == right.drafted);
    CHECK(right.tokens == plain.tokens.size());
    same(speculator(own(plain, often, drafts)));
    CHECK(right.passes <= wrong.passes);
  }
  same(speculator());
}

mamba2::GenerateOptions sampled(std::size_t tokens, float temperature, std::uint64_t seed = 1) {
  return {.max_tokens = tokens,
          .sampling = {.temperature = temperature, .top_p = 0.9F, .seed = seed}};
}

}  // namespace speculated
}  // namespace

TEST_CASE("speculation: the text is that of plain decoding, at any temperature") {
  using namespace speculated;
  for (const float temperature : {0.0F, 0.7F, 1.3F}) {
    for (const std::size_t seed : tests::all_or_last({2, 3, 1})) {
      CAPTURE(temperature);
      CAPTURE(seed);
      check({.options = sampled(40, temperature, seed)}, seed == 1);
    }
  }
}

TEST_CASE("speculation: penalties, biases, filters and edits act as in plain decoding") {
  using namespace speculated;
  for (const float temperature : kTemperatures) {
    Wanted wanted{.options = sampled(40, temperature)};
    mamba2::SamplerOptions& sampling = wanted.options.sampling;
    sampling.repetition_penalty = 1.3F;
    check(wanted);
    sampling.presence_penalty = 0.7F;
    sampling.frequency_penalty = 0.4F;
    sampling.top_k = 40;
    sampling.min_p = 0.05F;
    check(wanted);
    sampling.logit_bias = {{300, mamba2::kBanned}, {261, 4.0F}, {400, 3.5F}};
    check(wanted);
    wanted.options.edit_logits = [](std::span<float> logits, std::span<const Token> tokens) {
      // Depends on every token before.
      std::size_t sum = tokens.size();
      for (const Token token : tokens) sum = sum * 31 + static_cast<std::size_t>(token);
      logits[sum % 8000] += 5.0F;
    };
    check(wanted);
  }
}

TEST_CASE("speculation: texts end as in plain decoding") {
  using namespace speculated;
  for (const float temperature : kTemperatures) {
    CAPTURE(temperature);
    const SpeculatedText plain = write({.options = sampled(40, temperature)}, nullptr);
    REQUIRE(plain.tokens.size() == 40);
    Wanted wanted{.options = sampled(40, temperature)};
    for (const std::size_t place :
         tests::all_or_last({0, 1, 38, 17})) {  // a stop string, also across tokens
      wanted.options.stop = {std::string(tokenizer().token_bytes(plain.tokens[place]))};
      check(wanted);
      wanted.options.stop = {"no such thing",
                             std::string(tokenizer().token_bytes(plain.tokens[place])) +
                                 std::string(tokenizer().token_bytes(plain.tokens[place + 1]))};
      check(wanted);
    }
    wanted.options.stop.clear();
    for (const std::size_t pieces : tests::all_or_last({1, 2, 9})) {
      wanted.cancelled_after = pieces;
      check(wanted);
    }
    wanted.cancelled_after = SIZE_MAX;
    for (const std::size_t tokens : tests::all_or_last({0, 1, 2, 3})) {
      wanted.options.max_tokens = tokens;
      check(wanted);
    }
    wanted.options.finish_sentence = 30;
    check(wanted);
    wanted.options = sampled(40, temperature);
    wanted.options.sampling.logit_bias = {{0, 7.0F}};  // the end of text, at some place
    check(wanted);
    wanted.options = sampled(40, temperature);
    for (const std::size_t room : tests::all_or_last({1, 2, 3, 20, 8})) {
      wanted.context = static_cast<std::size_t>(plain.read) - 40 + room;
      const SpeculatedText full = write(wanted, nullptr);
      CHECK(full.reason == mamba2::StopReason::context_full);
      CHECK(full.count == room);
      check(wanted);
    }
  }
}

TEST_CASE("speculation: a text goes on as after plain decoding") {
  using namespace speculated;
  for (const float temperature : kTemperatures) {
    for (const std::size_t tokens : tests::all_or_last({1, 5, 12})) {
      check({.options = sampled(tokens, temperature), .texts = 3});
    }
  }
}

TEST_CASE("speculation: errors in the middle of a text are those of plain decoding") {
  using namespace speculated;
  Wanted wanted{.options = sampled(40, 0.8F)};
  wanted.options.edit_logits = [](std::span<float> logits, std::span<const Token> tokens) {
    if (tokens.size() > 30) std::ranges::fill(logits, mamba2::kBanned);
  };
  CHECK(write(wanted, nullptr).error.starts_with("no token is left"));
  check(wanted);
}

TEST_CASE("speculation: a grammar holds") {
  using namespace speculated;
  const mamba2::GrammarTokens tokens(tokenizer());
  for (const char* schema :
       {R"({"type": "array", "items": {"enum": ["sea", "calm", "deep sea"]}, "minItems": 6})",
        R"({"type": "object", "properties": {"name": {"type": "string", "maxLength": 12},
            "depth": {"type": "number"}}, "required": ["name", "depth"]})"}) {
    const auto grammar = mamba2::json_schema_grammar(schema, tokens).value();
    for (const float temperature : kTemperatures) {
      for (const std::size_t most : tests::all_or_last({50, 80})) {
        Wanted wanted{.options = sampled(most, temperature), .grammar = &grammar};
        const SpeculatedText plain = write(wanted, nullptr);
        CHECK(plain.error.empty());
        check(wanted);
      }
    }
  }
}

TEST_CASE("speculation: a draft model, right, wrong, or one that drafts beside lookups") {
  using namespace speculated;
  for (const float temperature : kTemperatures) {
    CAPTURE(temperature);
    const Wanted wanted{.options = sampled(40, temperature)};
    const SpeculatedText plain = write(wanted, nullptr);
    for (const std::uint64_t seed : {5U, 6U}) {  // the model itself, and another
      const mamba2::AnyModel small = hybrid(seed);
      for (const bool lookup : {false, true}) {
        for (const std::size_t drafts : tests::all_or_last({0, 1, 15, 4})) {
          CAPTURE(drafts);
          const mamba2::SpeculatorOptions options{.lookup = lookup, .drafts = drafts};
          auto both = Speculator::create(telling_model().config(),
                                         small.session({.rewind = 16}).value(), options)
                          .value();
          for (int i = 0; i < 2; ++i) {  // the second time it knows the text
            SpeculatedText found = write(wanted, &both);
            if (found.base != plain.base) found.base = plain.base, found.state = plain.state;
            const bool is_same = found == plain;
            CHECK(is_same);
          }
          const auto& stats = both.stats();
          CHECK(stats.tokens == 80);
          if (seed == 5 && !lookup && temperature == 0.0F) {
            CHECK(stats.accepted == stats.drafted);
            if (drafts > 0) CHECK(stats.passes <= 2 * (40 + drafts) / (drafts + 1));
          }
        }
      }
    }
  }
}

TEST_CASE("speculation: another vocabulary, what takes nothing back, wrong options are refused") {
  using namespace speculated;
  const auto message = [](const auto& result) {
    REQUIRE(!result);
    return result.error().message;
  };
  const auto other = hybrid(5, 4);
  const mamba2::Config& config = telling_model().config();
  CHECK(message(Speculator::create(config, other.session({.rewind = 16}).value())) ==
        "speculator: the vocabulary of the draft model must have 8195 rows, found 8196");
  CHECK(message(Speculator::create(config, {.drafts = 16})) ==
        "speculator: drafts must be in 0..15, found 16");
  CHECK(message(Speculator::create(
            config, telling_model().session({.context = 31, .rewind = 16}).value())) ==
        "speculator: the context of the draft model must be at least 32, found 31");
  CHECK(message(Speculator::create(config, telling_model().session({.rewind = 15}).value())) ==
        "speculator: sessions of the draft model must be able to take back 16 tokens "
        "(SessionOptions::rewind), found 15");
  auto made = speculator();
  auto session = other.session({.rewind = 16}).value();
  mamba2::GenerateOptions options = sampled(5, 0.0F);
  options.speculator = &made;
  CHECK(message(mamba2::generate(session, tokenizer(), kSeaPrompt, options, [](std::string_view) {
          return true;
        })) == "speculator: the vocabulary of the model must have 8195 rows, found 8196");
  CHECK(session.state().tokens() == 0);
}
