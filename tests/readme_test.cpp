// SPDX-License-Identifier: Apache-2.0
// What README.md shows besides examples/hello.cpp: tests/build/readme.sh compares the lines.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <mamba2/chat.hpp>
#include <mamba2/grammar.hpp>
#include <mamba2/mamba2.hpp>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tests/io/temp_dir.hpp"
#include "tools/models.hpp"

namespace {

/// All that the examples may use: the names of the first one, which is examples/hello.cpp.
class Hello {
 public:
  Hello() {
    std::filesystem::current_path(dir_.path());
    (void)session.decode(mamba2::Token{5}).value();
  }
  Hello(const Hello&) = delete;
  Hello& operator=(const Hello&) = delete;
  ~Hello() { std::filesystem::current_path(before_); }

 protected:
  const std::string path = MAMBA2_SOURCE_DIR "/examples/models/llama-tales-14m";
  const mamba2::Result<mamba2::Mamba2Model<mamba2::Int8>> model =
      mamba2::Mamba2Model<mamba2::Int8>::load(path).value();
  const mamba2::Result<mamba2::Tokenizer> tokenizer = mamba2::Tokenizer::load(path).value();
  mamba2::Session<mamba2::Int8> session = model->session().value();

 private:
  mamba2_tests::TempDir dir_;
  std::filesystem::path before_ = std::filesystem::current_path();
};

}  // namespace

TEST_CASE_FIXTURE(Hello, "the README's example of a State") {
  // clang-format off
  auto logits = session.prefill(tokenizer->encode("It was a dark and stormy night;")).value();
  mamba2::State night = session.state();        // remember this place
  logits = session.decode(mamba2::Token{12}).value();
  session.set_state(night).value();             // and come back to it
  logits = session.logits();                    // those of the next token, as then
  // clang-format on

  auto alone = model->session().value();
  (void)alone.decode(mamba2::Token{5}).value();
  const auto expected = alone.prefill(tokenizer->encode("It was a dark and stormy night;")).value();
  CHECK(std::vector<float>(logits.begin(), logits.end()) ==
        std::vector<float>(expected.begin(), expected.end()));
  logits = session.decode(mamba2::Token{12}).value();
  const std::vector<float> first(logits.begin(), logits.end());
  session.set_state(night).value();
  logits = session.decode(mamba2::Token{12}).value();
  CHECK(std::vector<float>(logits.begin(), logits.end()) == first);
}

TEST_CASE_FIXTURE(Hello, "the README's example of tokens that are taken back") {
  // clang-format off
  auto careful = model->session({.rewind = 16}).value();
  careful.prefill(tokenizer->encode("Once upon a time")).value();
  careful.rewind(careful.state().tokens() - 2).value();  // as if the last two had not been read
  // clang-format on
  const auto tokens = tokenizer->encode("Once upon a time");
  CHECK(careful.state().tokens() == tokens.size() - 2);
  auto less = model->session().value();
  (void)less.prefill(std::span(tokens).first(tokens.size() - 2)).value();
  const auto expected = less.decode(5).value();
  CHECK(std::ranges::equal(careful.decode(5).value(), expected));
}

TEST_CASE_FIXTURE(Hello, "the README's example of a Speculator") {
  // clang-format off
  auto fast = model->session({.rewind = mamba2::Speculator::kRewind}).value();
  auto speculator = mamba2::Speculator::create(model->config()).value();  // learns from text to text
  std::string story;
  mamba2::generate(fast, *tokenizer, "Once upon a time", {.max_tokens = 40, .speculator = &speculator},
                   [&](std::string_view text) { return story.append(text), true; }).value();
  // clang-format on

  std::string plain;
  auto slow = model->session().value();
  (void)mamba2::generate(slow, *tokenizer, "Once upon a time", {.max_tokens = 40},
                         [&](std::string_view text) { return !plain.append(text).empty(); })
      .value();
  CHECK(story == plain);
}

TEST_CASE_FIXTURE(Hello, "the README's example of a Constraint") {
  // clang-format off
  const mamba2::GrammarTokens tokens(*tokenizer);         // once for a tokenizer
  const auto grammar = mamba2::json_schema_grammar(R"({"type": "object", "properties": {
      "room": {"enum": ["kitchen", "hall"]}, "lamps": {"type": "integer", "minimum": 1}},
      "required": ["room", "lamps"]})", tokens).value();  // once for a schema
  mamba2::Constraint constraint(grammar);                 // one for each text at a time
  std::string json;                                       // {"room": "kitchen", "lamps": 2}
  mamba2::generate(session, *tokenizer, "It was dark in the kitchen, so", {.max_tokens = 40, .constraint = &constraint},
                   [&](std::string_view text) { return json.append(text), true; }).value();
  // clang-format on

  const auto read = nlohmann::json::parse(json);
  CHECK((read["room"] == "kitchen" || read["room"] == "hall"));
  CHECK(read["lamps"] >= 1);
}

TEST_CASE_FIXTURE(Hello, "the README's example of a state file and a PrefixCache") {
  // clang-format off
  auto sampler = mamba2::make_sampler({.seed = 7}, *tokenizer, model->config()).value();
  mamba2::StateFile file(session, &sampler);    // the sequence, its next logits, its sampler
  file.save("king.state").value();              // on the disk, as a whole or not at all
  file.load("king.state").value();              // perhaps tomorrow, in another process

  mamba2::PrefixCache cache(64 << 20);          // bytes, shared by threads and models
  auto logits = cache.prefill(session, tokenizer->encode("A king had a daughter who")).value();
  logits = cache.prefill(session, tokenizer->encode("A king had a daughter who was")).value();
  // clang-format on

  CHECK(std::filesystem::exists("king.state"));
  CHECK(!logits.empty());
  CHECK(cache.entries() == 2);
}

TEST_CASE_FIXTURE(Hello, "the README's example of a chat") {
  // clang-format off
  auto chat = mamba2::ChatTemplate::named("granite").value();   // load(path): the model's own
  std::vector<mamba2::ChatMessage> talk = {{mamba2::ChatRole::user, "Who are you?"}};
  auto prompt = chat.render(talk).value();                      // the template and users apart
  session.prefill(mamba2::encode_chat(*tokenizer, prompt)).value();
  std::string answer;
  mamba2::generate(session, *tokenizer, "", {.max_tokens = 50, .stop = chat.stops()},
                   [&](std::string_view text) { answer += text; return true; }).value();
  talk.push_back({mamba2::ChatRole::assistant, chat.read(answer).text});
  // clang-format on

  CHECK(!answer.empty());
  CHECK(talk[1].text == answer);
}

TEST_CASE_FIXTURE(Hello, "the README's example of a Batch") {
  // clang-format off
  auto alice = model->session().value(), bob = model->session().value();
  auto batch = model->batch({.tokens = 32}).value();       // rows of scratch; it holds no sequence
  std::vector<mamba2::Session<mamba2::Int8>*> users = {&alice, &bob};
  std::vector<mamba2::Token> tokens = {12, 34};            // one each
  std::vector<float> logits(users.size() * model->config().vocab_size);
  batch.decode(users, tokens, logits).value();             // as alice.decode(12), bob.decode(34)
  // clang-format on

  auto alone = model->session().value();
  const auto expected = alone.decode(mamba2::Token{34}).value();
  CHECK(std::vector<float>(expected.begin(), expected.end()) ==
        std::vector<float>(logits.end() - static_cast<std::ptrdiff_t>(expected.size()),
                           logits.end()));
}
