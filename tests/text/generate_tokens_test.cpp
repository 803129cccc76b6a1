// SPDX-License-Identifier: Apache-2.0
// What generate() tells about each token, and what an application can change before it is chosen.
#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mamba2/grammar.hpp"
#include "mamba2/linear/floats.hpp"
#include "mamba2/model/model.hpp"
#include "mamba2/sequence/state_file.hpp"
#include "mamba2/text/generate.hpp"
#include "tests/model_helpers.hpp"
#include "tests/reference/random_weights.hpp"
#include "tests/tokenizer/tiny_tokenizer.hpp"

namespace {
namespace each_token {

const std::string kModel = MAMBA2_SOURCE_DIR "/examples/models/llama-tales-14m";

const mamba2::Tokenizer& tokenizer() {
  static const mamba2::Tokenizer instance = mamba2::Tokenizer::load(kModel).value();
  return instance;
}

/// A small model with as many tokens as the tokenizer has; what it writes makes no sense.
mamba2::Mamba2Model<mamba2::Fp32> model() {
  mamba2::Config config = reference::variants().front().config;
  config.vocab_size = tokenizer().vocab_size() + 3;  // rows that no token has
  config.eos_token_ids = {0};
  return tests::load(config, reference::random_weights(config, 2));
}

mamba2::GenerateOptions greedy(std::size_t tokens) {
  return {.max_tokens = tokens, .sampling = {.temperature = 0.0F}};
}

}  // namespace each_token
}  // namespace

TEST_CASE("generate tells each token with its log-probability and the best ones") {
  const auto loaded = each_token::model();
  auto session = loaded.session().value();
  auto twin = loaded.session().value();
  auto logits = twin.prefill(each_token::tokenizer().encode("The sea")).value();
  std::size_t told = 0;
  mamba2::GenerateOptions options = each_token::greedy(4);
  options.logprobs = true;
  options.best_tokens = 3;
  options.sampling.logit_bias = {{5, 100.0F}};  // does not change what is told
  options.on_token = [&](const mamba2::GeneratedToken& t) {
    ++told;
    CHECK(t.token == 5);
    const auto usable = logits.first(each_token::tokenizer().vocab_size());
    const double log_sum = mamba2::log_sum_exp(usable);
    CHECK(std::abs(static_cast<double>(t.logprob) - (static_cast<double>(usable[5]) - log_sum)) <
          1e-4);
    REQUIRE(t.best.size() == 3);
    CHECK(t.best[0].logprob >= t.best[1].logprob);
    for (const float logit : usable) {
      CHECK(static_cast<double>(logit) - log_sum <= static_cast<double>(t.best[0].logprob) + 1e-6);
    }
    logits = twin.decode(t.token).value();
  };
  const auto done = mamba2::generate(session, each_token::tokenizer(), "The sea", options,
                                     [](std::string_view) { return true; });
  CHECK(done.value().tokens == 4);
  CHECK(told == 4);
}

TEST_CASE("generate lets the application edit logits, with the tokens so far") {
  auto session = each_token::model().session().value();
  const std::vector<mamba2::Token> prompt = each_token::tokenizer().encode("The sea");
  std::vector<std::size_t> lengths;
  mamba2::GenerateOptions options = each_token::greedy(3);
  options.edit_logits = [&](std::span<float> logits, std::span<const mamba2::Token> tokens) {
    CHECK(logits.size() == each_token::tokenizer().vocab_size());
    lengths.push_back(tokens.size());
    CHECK(std::equal(prompt.begin(), prompt.end(), tokens.begin()));
    if (tokens.size() > prompt.size()) {
      CHECK(tokens.back() == static_cast<mamba2::Token>(100 + tokens.size() - 1));
    }
    logits[100 + tokens.size()] = 1e6F;
  };
  const auto done = mamba2::generate(session, each_token::tokenizer(), "The sea", options,
                                     [](std::string_view) { return true; });
  CHECK(done.value().tokens == 3);
  const std::size_t n = prompt.size();
  CHECK(lengths == std::vector<std::size_t>{n, n + 1, n + 2});
  // All banned: an error, and no endless text.
  options.edit_logits = [](std::span<float> logits, std::span<const mamba2::Token>) {
    for (float& logit : logits) logit = mamba2::kBanned;
  };
  const auto none = mamba2::generate(session, each_token::tokenizer(), "The sea", options,
                                     [](std::string_view) { return true; });
  REQUIRE(!none);
  CHECK(none.error().code == mamba2::ErrorCode::invalid_argument);
}

TEST_CASE("a prompt begins a new text for the penalties, none goes on with the last") {
  const auto loaded = each_token::model();
  auto session = loaded.session().value();
  auto sampler = mamba2::make_sampler({.temperature = 0.0F, .presence_penalty = 1e6F},
                                      each_token::tokenizer(), session.config())
                     .value();
  std::vector<mamba2::Token> tokens;
  mamba2::GenerateOptions options = each_token::greedy(3);
  options.on_token = [&](const mamba2::GeneratedToken& t) { tokens.push_back(t.token); };
  const auto write = [&](std::string_view prompt) {
    tokens.clear();
    (void)mamba2::generate(session, sampler, each_token::tokenizer(), prompt, options,
                           [](std::string_view) { return true; })
        .value();
    return tokens;
  };
  const auto first = write("The sea");
  const auto more = write("");
  for (const mamba2::Token token : more) CHECK(std::ranges::count(first, token) == 0);
  session.reset();
  CHECK(write("The sea") == first);
}

TEST_CASE("reasons have names") {
  CHECK(mamba2::stop_reason_name(mamba2::StopReason::eos) == "eos");
  CHECK(mamba2::stop_reason_name(mamba2::StopReason::context_full) == "context_full");
}

TEST_CASE("a sampler that a state file has no room for is not saved as another") {
  const auto loaded = each_token::model();
  auto session = loaded.session().value();
  auto sampler =
      mamba2::make_sampler({.frequency_penalty = 0.5F}, each_token::tokenizer(), session.config())
          .value();
  const auto saved = mamba2::StateFile(session, &sampler).write([](std::span<const std::byte>) {
    return mamba2::Result<void>();
  });
  REQUIRE(!saved);
  CHECK(saved.error().message.find("frequency_penalty") != std::string::npos);
}

TEST_CASE("generate holds a text to a grammar") {
  const auto loaded = each_token::model();
  auto session = loaded.session().value();
  const mamba2::GrammarTokens tokens(each_token::tokenizer());
  const auto write = [&](const char* schema, std::size_t max_tokens) {
    mamba2::Constraint constraint(mamba2::json_schema_grammar(schema, tokens).value());
    mamba2::GenerateOptions options = each_token::greedy(max_tokens);
    options.constraint = &constraint;
    options.finish_sentence = 50;
    std::string text;
    const auto done = mamba2::generate(session, each_token::tokenizer(), "The sea", options,
                                       [&](std::string_view piece) {
                                         text += piece;
                                         return true;
                                       });
    if (!done) return done.error().message;
    CHECK(done->tokens <= max_tokens);
    return text + " " + std::string(mamba2::stop_reason_name(done->reason));
  };
  CHECK(write(R"({"const": "sea"})", 9) == "\"sea\" complete");
  const std::string string = write(R"({"type": "string"})", 5);
  CHECK(string.starts_with("\""));
  CHECK(string.ends_with("\" complete"));
  // A number may end or go on: by an end of text, or the limit.
  const std::string number = write(R"({"type": "integer"})", 2);
  CHECK((number.ends_with(" max_tokens") || number.ends_with(" eos")));
  const auto read = session.state().tokens();
  CHECK(write(R"({"const": "the sea was deep"})", 2) ==
        "constraint: the shortest text takes 6 tokens, expected at most 2");
  CHECK(session.state().tokens() == read);  // not even the prompt
  // Of another vocabulary.
  const auto other = mamba2::Tokenizer::load(MAMBA2_SOURCE_DIR "/tests/golden/tokenizer/neox.json");
  mamba2::Constraint constraint(mamba2::json_grammar(mamba2::GrammarTokens(other.value())).value());
  mamba2::GenerateOptions options = each_token::greedy(9);
  options.constraint = &constraint;
  const auto done = mamba2::generate(session, each_token::tokenizer(), "The sea", options,
                                     [](std::string_view) { return true; });
  REQUIRE(!done);
  CHECK(done.error().code == mamba2::ErrorCode::mismatch);
}

TEST_CASE("a text that begins behind a special token has no blank before it") {
  tiny::Json json = tiny::tokenizer();
  json["pre_tokenizer"] = nullptr;
  json["model"]["vocab"] = {{"<unk>", 0}, {"\u2581a", 1}, {"b", 2}};
  json["model"]["merges"] = tiny::Json::array();
  json["added_tokens"][0]["id"] = 3;
  const tiny::Json blank = {
      {"type", "Replace"}, {"pattern", {{"String", "\u2581"}}}, {"content", " "}};
  const tiny::Json strip = {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}};
  json["decoder"] = {{"type", "Sequence"}, {"decoders", {blank, {{"type", "Fuse"}}, strip}}};
  const auto tokenizer = mamba2::Tokenizer::from_json(json.dump()).value();
  const auto loaded = each_token::model();
  auto session = loaded.session().value();
  const std::vector<mamba2::Token> end = {3};
  const auto written = [&](bool begins_text) {
    session.reset();
    (void)session.prefill(end).value();
    mamba2::GenerateOptions options = each_token::greedy(2);
    options.begins_text = begins_text;
    options.sampling.logit_bias = {{1, 1e6F}};
    std::string text;
    (void)mamba2::generate(session, tokenizer, "", options, [&](std::string_view part) {
      text += part;
      return true;
    }).value();
    return text;
  };
  CHECK(written(true) == "a a");
  CHECK(written(false) == " a a");
}
