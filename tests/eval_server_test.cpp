// SPDX-License-Identifier: Apache-2.0
// mamba2-eval --serve: from a line that asks to a line that answers.
#include <doctest/doctest.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tests/model_helpers.hpp"
#include "tests/reference/random_weights.hpp"
#include "tests/tokenizer/tiny_tokenizer.hpp"
#include "tools/eval/lines.hpp"
#include "tools/eval/server.hpp"
#include "tools/eval/writer.hpp"

using eval::Request;
using mamba2::Token;

namespace {

constexpr Token kServerEnd = 262;

/// ids: bytes, then he 256, ll 257, hell 258, hello 259, " w" 260, ab 261, <|end|> 262.
const mamba2::Tokenizer& server_tokenizer() {
  static const auto loaded = mamba2::Tokenizer::from_json(tiny::tokenizer().dump(), "tiny").value();
  return loaded;
}

mamba2::Config server_config() {
  mamba2::Config c;
  c.d_model = 64;
  c.n_layer = 2;
  c.vocab_size = 272;
  c.d_inner = c.d_ssm = 128;
  c.headdim = 32;
  c.d_state = 16;
  c.eos_token_ids = {kServerEnd};
  return c;
}

/// Remembers what it is asked, and answers something.
class Listener final : public eval::Evaluator {
 public:
  const mamba2::Config& config() const override { return config_; }
  eval::Result<void> score(std::span<Request> requests) override {
    for (Request& request : requests) {
      request.score = {-value * static_cast<double>(request.continuation.size()), true};
      asked.push_back(request);
    }
    return {};
  }
  eval::Result<void> write(const mamba2::Tokenizer& tokenizer,
                           std::span<eval::Prompt> prompts) override {
    CHECK(&tokenizer == &server_tokenizer());
    for (eval::Prompt& prompt : prompts) {
      prompt.text = "well\n";
      prompted.push_back(prompt);
    }
    return {};
  }

  double value = 0.5;
  std::vector<Request> asked;
  std::vector<eval::Prompt> prompted;

 private:
  mamba2::Config config_ = server_config();
};

std::string server_answer(Listener& model, const std::string& line, std::size_t max_length = 8) {
  return eval::Server(model, server_tokenizer(), max_length).answer({line, true}, "line 3");
}

using Tokens = std::vector<Token>;

}  // namespace

TEST_CASE("the server scores pairs as the harness encodes them") {
  Listener model;
  CHECK(server_answer(model, R"({"loglikelihood": [
          {"context": "xy ", "continuation": "w"}, {"context": "", "continuation": "hello w"}]})") ==
        R"({"loglikelihood":[[-0.5,true],[-1.0,true]]})");
  REQUIRE(model.asked.size() == 2);
  CHECK(model.asked[0].context == Tokens{'x', 'y'});
  CHECK(model.asked[0].continuation == Tokens{260});
  CHECK(model.asked[1].context == Tokens{kServerEnd});
  CHECK(model.asked[1].continuation == Tokens{259, 260});
  CHECK(server_answer(model, R"({"loglikelihood": []})") == R"({"loglikelihood":[]})");
  model.value = INFINITY;
  CHECK(server_answer(model, R"({"loglikelihood": [{"context": "x", "continuation": "y"}]})") ==
        R"({"error":"the model gives logits that are not finite"})");
}

TEST_CASE("the server scores long texts window by window") {
  Listener model;
  CHECK(server_answer(model, R"({"loglikelihood_rolling": [
          {"text": "pqrstuv"}, {"text": ""}, {"text": "xy"}]})",
                      3) == R"({"loglikelihood_rolling":[-3.5,0.0,-1.0]})");
  REQUIRE(model.asked.size() == 4);
  CHECK(model.asked[0].context == Tokens{kServerEnd});
  CHECK(model.asked[0].continuation == Tokens{'p', 'q', 'r'});
  CHECK(model.asked[1].context == Tokens{'r'});
  CHECK(model.asked[1].continuation == Tokens{'s', 't', 'u'});
  CHECK(model.asked[2].context == Tokens{'s', 't', 'u'});
  CHECK(model.asked[2].continuation == Tokens{'v'});
  CHECK(model.asked[3].context == Tokens{kServerEnd});
  CHECK(model.asked[3].continuation == Tokens{'x', 'y'});
}

TEST_CASE("the server leaves room for the text that is to come") {
  Listener model;
  CHECK(server_answer(model, R"({"generate_until": [
          {"context": "pqrstuv", "until": ["a", ""], "max_gen_toks": 5},
          {"context": "", "until": [], "max_gen_toks": 7}]})") ==
        R"({"generate_until":["well\n","well\n"]})");
  REQUIRE(model.prompted.size() == 2);
  CHECK(model.prompted[0].context == Tokens{'t', 'u', 'v'});
  CHECK(model.prompted[0].until == std::vector<std::string>{"a", "", "<|end|>"});
  CHECK(model.prompted[0].max_tokens == 5);
  CHECK(model.prompted[1].context == Tokens{kServerEnd});
}

TEST_CASE("the server refuses lines by place and key") {
  const std::vector<std::pair<std::string, std::string>> lines = {
      {"", "line 3: expected JSON, found nothing (0 bytes)"},
      {"3", "line 3 must be an object with one key, found 3"},
      {"{}", "line 3 must be an object with one key, found one with 0"},
      {R"({"a": 1, "b": 2})", "line 3 must be an object with one key, found one with 2"},
      {R"({"a": []})",
       "line 3: the key must be loglikelihood, loglikelihood_rolling or generate_until, found "
       "\"a\""},
      {R"({"loglikelihood": {}})", "line 3: loglikelihood must be a list, found an object"},
      {R"({"loglikelihood": [{"context": "x", "continuation": "y"}, []]})",
       "line 3: loglikelihood 1 must be an object, found a list of 0"},
      {R"({"loglikelihood": [{"context": "a"}]})",
       "line 3: loglikelihood 0: continuation must be a text, found no such key"},
      {R"({"loglikelihood": [{"context": "a", "continuation": ""}]})",
       "line 3: loglikelihood 0: a choice has no token of its own"},
      {R"({"loglikelihood": [{"context": "a", "continuation": "123456789"}]})",
       "line 3: loglikelihood 0: a choice must have at most 8 tokens (--max-length), found 9"},
      {R"({"loglikelihood_rolling": [{"text": "a", "id": 1}]})",
       "line 3: loglikelihood_rolling 0: id must be left out: there is no such key, found 1"},
      {R"({"generate_until": [{"context": "a", "until": "b", "max_gen_toks": 1}]})",
       "line 3: generate_until 0: until must be a list of 0 to 100 texts, found \"b\""},
      {R"({"generate_until": [{"context": "a", "until": [], "max_gen_toks": 0}]})",
       "line 3: generate_until 0: max_gen_toks must be at least 1, found 0"},
      {R"({"generate_until": [{"context": "a", "until": [], "max_gen_toks": 8}]})",
       "line 3: generate_until 0: max_gen_toks must be a whole number in 0..7, found 8"},
      {R"({"generate_until": [{"context": "a", "until": [], "max_gen_toks": -1}]})",
       "line 3: generate_until 0: max_gen_toks must be a whole number in 0..7, found -1"},
      {R"({"generate_until": [{"context": "a", "until": [], "max_gen_toks": 5.0}]})",
       "line 3: generate_until 0: max_gen_toks must be a whole number in 0..7, found 5"},
      {R"({"generate_until": [{"context": "a", "until": [], "max_gen_toks": NaN}]})",
       "line 3: generate_until 0: max_gen_toks must be a whole number in 0..7, found nan"},
      {R"({"generate_until": [{"context": "a", "until": [], "max_gen_toks": 1e400}]})",
       "line 3 at the key \"max_gen_toks\": expected JSON, found a number that is out of range"},
      {R"({"generate_until": [{"context": "a", "until": [], "max_gen_toks": 18446744073709551616}]})",
       "line 3: generate_until 0: max_gen_toks must be a whole number in 0..7, found "
       "18446744073709551616"}};
  Listener model;
  for (const auto& one : lines) {
    const std::string& line = one.first;
    CAPTURE(line);
    CHECK(eval::Json::parse(server_answer(model, line))["error"] == one.second);
  }
  CHECK(eval::Server(model, server_tokenizer(), 8).answer({"[]", false}, "line 1") ==
        R"({"error":"line 1 must have at most 67108864 bytes, found more"})");
  CHECK(model.asked.empty());
  CHECK(model.prompted.empty());
}

TEST_CASE("lines are read as they come") {
  std::array<int, 2> ends{};
  REQUIRE(::pipe(ends.data()) == 0);
  const std::string text = "one\n\nthree\nfour";
  REQUIRE(::write(ends[1], text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  ::close(ends[1]);
  eval::LineReader lines(ends[0]);
  for (const std::string expected : {"one", "", "three", "four"}) {
    const auto line = lines.next().value();
    REQUIRE(line.has_value());
    CHECK(line->text == expected);
    CHECK(line->whole);
  }
  CHECK(!lines.next().value().has_value());
  ::close(ends[0]);
  CHECK(lines.next().error().message == "standard input cannot be read");
}

namespace {

/// What generate() writes after a prompt, to be cut as the harness does.
template <class WeightT>
std::string server_generated(const mamba2::Mamba2Model<WeightT>& model, const std::string& prompt,
                             std::size_t tokens) {
  auto session = model.session().value();
  std::string text;
  mamba2::generate(session, server_tokenizer(), prompt,
                   {.max_tokens = tokens, .sampling = {.temperature = 0.0F}},
                   [&](std::string_view more) {
                     text += more;
                     return true;
                   })
      .value();
  return text;
}

/// The most likely tokens behind some, up to the one that ends texts.
template <class WeightT>
Tokens server_greedy(const mamba2::Mamba2Model<WeightT>& model, const Tokens& context,
                     std::size_t count) {
  auto session = model.session().value();
  auto sampler = mamba2::Sampler::create({.temperature = 0.0F}, kServerEnd + 1).value();
  Tokens written;
  Token token = sampler.sample(session.prefill(context).value());
  while (written.size() < count && token != kServerEnd) {
    written.push_back(token);
    token = sampler.sample(session.decode(token).value());
  }
  return written;
}

}  // namespace

TEST_CASE("many texts are written as each is alone") {
  const mamba2::Config config = server_config();
  const auto model = tests::load<mamba2::Fp32>(config, reference::random_weights(config, 5));
  const auto executor = std::make_shared<mamba2::SerialExecutor>();
  const std::vector<std::pair<std::string, std::size_t>> starts = {
      {"Once upon a time", 9}, {"hello", 30}, {"The sea", 1}, {"x", 17}, {"He opened", 5}};
  std::vector<std::string> expected;
  for (const auto& [text, count] : starts) {
    expected.push_back(server_generated(model, text, count));
  }
  for (const std::size_t sequences : std::vector<std::size_t>{1, 2, 16}) {
    CAPTURE(sequences);
    auto scorer = eval::Scorer::create(model, {.sequences = sequences}, executor);
    eval::ModelEvaluator evaluator(*std::move(scorer));
    std::vector<eval::Prompt> prompts;
    for (const auto& [text, count] : starts) {
      prompts.push_back({server_tokenizer().encode(text), {}, count});
    }
    evaluator.write(server_tokenizer(), prompts).value();
    for (std::size_t i = 0; i < prompts.size(); ++i) CHECK(prompts[i].text == expected[i]);

    // The end of what was to come is a text to stop at, and what stands before one is kept.
    const std::string stop = expected[1].substr(expected[1].size() / 2);
    prompts = {{server_tokenizer().encode("hello"), {"", "never", stop}, 30}};
    evaluator.write(server_tokenizer(), prompts).value();
    CHECK(prompts[0].text == expected[1].substr(0, expected[1].find(stop)));
  }
}

TEST_CASE("texts end where a special token is said, and are cut in what is shown") {
  const mamba2::Config config = server_config();
  const auto model = tests::load<mamba2::Fp32>(config, reference::random_weights(config, 5));
  // Something that it writes, in which a letter comes for the first time behind another character:
  // the letter is made a special token.
  Tokens context;
  Tokens written;
  std::size_t at = 0;
  const auto is_text = [&](std::size_t i) { return written[i] > ' ' && written[i] < 0x7F; };
  for (Token start = 'a'; at == 0; ++start) {
    REQUIRE(start <= 'z');
    context = {start};
    written = server_greedy(model, context, 30);
    for (std::size_t i = 1; i < written.size() && at == 0; ++i) {
      const auto here = written.begin() + static_cast<std::ptrdiff_t>(i);
      if (is_text(i - 1) && is_text(i) && std::find(written.begin(), here, *here) == here) at = i;
    }
  }
  tiny::Json json = tiny::tokenizer();
  json["added_tokens"].push_back(json["added_tokens"][0]);
  json["added_tokens"][1]["id"] = written[at];
  json["added_tokens"][1]["content"] = std::string(1, static_cast<char>(written[at]));
  const auto tokenizer = mamba2::Tokenizer::from_json(json.dump(), "tiny").value();

  const auto executor = std::make_shared<mamba2::SerialExecutor>();
  eval::ModelEvaluator evaluator(eval::Scorer::create(model, {}, executor).value());
  const auto until = [&](const std::string& stop) {
    std::vector<eval::Prompt> prompts = {{context, {stop}, written.size()}};
    evaluator.write(tokenizer, prompts).value();
    return prompts[0].text;
  };
  const std::string special(tokenizer.token_bytes(written[at]));
  const std::string before = tokenizer.decode(std::span(written).first(at));
  CHECK(until("never") == tokenizer.decode(written));
  CHECK(until(special) == before);
  // As the harness has it: the text that has ended is searched again, without special tokens.
  CHECK(until(before.back() + special) == before);
}

TEST_CASE("a long continuation is read in pieces") {
  const mamba2::Config config = server_config();
  const auto model = tests::load<mamba2::Fp32>(config, reference::random_weights(config, 6));
  const auto executor = std::make_shared<mamba2::SerialExecutor>();
  std::vector<Request> requests;
  for (const std::size_t size : std::vector<std::size_t>{192, 193, 194, 500, 3}) {
    Request request{.context = {1, 2, 3}, .continuation = {}};
    for (std::size_t i = 0; i < size; ++i) {
      request.continuation.push_back(static_cast<Token>((i * i * 31 + size) % 262));
    }
    requests.push_back(request);
  }
  auto whole = requests;
  auto few = requests;
  for (auto& [some, options] : std::vector<std::pair<std::vector<Request>*, eval::ScorerOptions>>{
           {&requests, {}}, {&whole, {.share = false}}, {&few, {.sequences = 2}}}) {
    eval::Scorer::create(model, options, executor).value().score(*some).value();
  }
  for (std::size_t i = 0; i < requests.size(); ++i) {
    CAPTURE(i);
    CHECK(requests[i].score.log_likelihood ==
          doctest::Approx(whole[i].score.log_likelihood).epsilon(1e-6));
    CHECK(requests[i].score.log_likelihood == few[i].score.log_likelihood);
  }
}
