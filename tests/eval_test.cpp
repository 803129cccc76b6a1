// SPDX-License-Identifier: Apache-2.0
// mamba2-eval's way from a line of JSON to an answer.
#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "tests/model_helpers.hpp"
#include "tests/reference/random_weights.hpp"
#include "tests/tokenizer/tiny_tokenizer.hpp"
#include "tools/eval/encode.hpp"
#include "tools/eval/metrics.hpp"
#include "tools/eval/scorer.hpp"
#include "tools/eval/tasks.hpp"

using eval::Request;
using mamba2::Token;

namespace {

mamba2::Result<eval::Question> parsed(const std::string& task, const std::string& line) {
  return eval::read_question(*eval::find_task(task), line, "x.jsonl: line 7");
}

/// ids: bytes, then he 256, ll 257, hell 258, hello 259, " w" 260, ab 261.
const mamba2::Tokenizer& tiny_words() {
  static const auto loaded = mamba2::Tokenizer::from_json(tiny::tokenizer().dump(), "tiny").value();
  return loaded;
}

struct Pair {
  std::vector<Token> context, continuation;
  bool operator==(const Pair&) const = default;
};

constexpr Token kEmpty = 262;

mamba2::Result<Pair> encoded(const std::string& context, const std::string& continuation,
                             std::size_t max_length = 2048) {
  auto request = eval::encode_pair(tiny_words(), kEmpty, context, continuation, max_length);
  if (!request) return request.error();
  return Pair{request->context, request->continuation};
}

eval::Outcome judged(const std::string& task, const eval::Question& q,
                     const std::vector<double>& log_likelihoods) {
  std::vector<Request> requests;
  for (const double value : log_likelihoods) requests.push_back({{1}, {2}, {value, false}});
  return eval::judge(*eval::find_task(task), q, std::move(requests));
}

}  // namespace

TEST_CASE("prompts are those of the harness") {
  const auto arc = parsed("arc_easy", R"({"id": 4, "question": "Why?", "gold": 4,
                                            "choices": ["a", "b", "c", "d", "e"]})")
                       .value();
  CHECK(arc.context == "Question: Why?\nAnswer:");
  CHECK(arc.choices == std::vector<std::string>{"a", "b", "c", "d", "e"});
  CHECK(arc.gold == 4);
  CHECK(arc.id == 4);
  const auto piqa =
      parsed("piqa", R"({"id": "p", "goal": "To sit,", "sol1": "x", "sol2": "y", "label": 1})")
          .value();
  CHECK(piqa.context == "Question: To sit,\nAnswer:");
  CHECK(piqa.choices == std::vector<std::string>{"x", "y"});
  CHECK(piqa.gold == 1);
  CHECK(piqa.id == "p");
  const auto swag =
      parsed("hellaswag", R"({"query": "Roof: A man. He", "choices": ["sits.", "runs."],
                                "gold": 0})")
          .value();
  CHECK(swag.context == "Roof: A man. He");
  CHECK(swag.choices == std::vector<std::string>{"sits.", "runs."});

  const auto lambada = [](const std::string& text) {
    const auto q = parsed("lambada_openai", mamba2::detail::Json{{"text", text}}.dump()).value();
    return std::pair(q.context, q.choices);
  };
  using Words = std::vector<std::string>;
  CHECK(lambada("a b c.") == std::pair<std::string, Words>("a b", {"c."}));
  CHECK(lambada("a\nb\tc.") == std::pair<std::string, Words>("", {"a\nb\tc."}));
  CHECK(lambada("a  c") == std::pair<std::string, Words>("a ", {"c"}));
  CHECK(lambada("a b ") == std::pair<std::string, Words>("a b", {""}));
}

TEST_CASE("a line that is no question is refused, by place and field") {
  const std::string choices = R"("choices": ["a", "b"])";
  const std::vector<std::pair<std::string, std::string>> lines = {
      {"{\"gold\": 1", " at the key \"gold\": expected JSON, found a syntax error"},
      {R"({"gold": 1, "gold": 1})", ": the key \"gold\" occurs twice in one object"},
      {"[1]", " must be an object, found a list of 1"},
      {"{" + choices + R"(, "gold": 0})", ": question must be a text, found no such key"},
      {R"({"question": 3, "choices": ["a", "b"], "gold": 0})",
       ": question must be a text, found 3"},
      {R"({"question": "q", "choices": "ab", "gold": 0})",
       ": choices must be a list of 2 to 100 texts, found \"ab\""},
      {R"({"question": "q", "choices": ["a"], "gold": 0})",
       ": choices must be a list of 2 to 100 texts, found a list of 1"},
      {R"({"question": "q", "choices": ["a", 2], "gold": 0})",
       ": choices must be a list of 2 to 100 texts, found one with something else in it"},
      {R"({"question": "q", "gold": 2, )" + choices + "}",
       ": gold must be a whole number in 0..1, found 2"},
      {R"({"question": "q", "gold": -1, )" + choices + "}",
       ": gold must be a whole number in 0..1, found -1"},
      {R"({"question": "q", "gold": 0.0, )" + choices + "}",
       ": gold must be a whole number in 0..1, found 0"},
      {R"({"question": "q", "gold": 18446744073709551616, )" + choices + "}",
       ": gold must be a whole number in 0..1, found 18446744073709551616"},
      {R"({"question": "q", "gold": NaN, )" + choices + "}",
       ": gold must be a whole number in 0..1, found nan"},
      {R"({"question": "q", "gold": 1e400, )" + choices + "}",
       " at the key \"gold\": expected JSON, found a number that is out of range"},
      {R"({"question": "q", "id": 1.5, "gold": 0, )" + choices + "}",
       ": id must be a whole number or a text, found 1.5"},
      {R"({"question": "q", "gold": "0", )" + choices + "}",
       ": gold must be a whole number in 0..1, found \"0\""},
      {R"({"question": "q", "id": [], "gold": 0, )" + choices + "}",
       ": id must be a whole number or a text, found a list of 0"}};
  for (const auto& one : lines) {
    const std::string& line = one.first;
    const std::string& message = one.second;
    CAPTURE(line);
    const auto outcome = parsed("arc_easy", line);
    REQUIRE(!outcome);
    CHECK(outcome.error().message.starts_with("x.jsonl: line 7" + message));
  }
}

TEST_CASE("files have a question to a line, empty ones aside") {
  const eval::Task& task = *eval::find_task("lambada_openai_test.jsonl");
  const std::string two = "\n{\"text\": \"a b\"}\r\n \n{\"text\": \"c d\", \"id\": 9}";
  const auto all = eval::read_questions(task, two, "f", 100).value();
  REQUIRE(all.size() == 2);
  CHECK(all[0].id == 1);
  CHECK(all[1].id == 9);
  CHECK(eval::read_questions(task, two, "f", 1).value().size() == 1);
  CHECK(eval::read_questions(task, two + "\n}", "f", 9).error().message.starts_with("f: line 5:"));
  CHECK(eval::read_questions(task, "\n\n", "f", 9).error().message == "f: has no questions");
  CHECK(eval::find_task("arc_challenge.jsonl") == nullptr);
}

TEST_CASE("context and continuation are encoded together and cut where the context ends") {
  CHECK(encoded("a", " b").value() == Pair{{'a'}, {' ', 'b'}});
  CHECK(encoded("a", " w").value() == Pair{{'a'}, {260}});
  // White space goes to the continuation, whatever kind it is of.
  CHECK(encoded("a  ", " w").value() == Pair{{'a'}, {' ', ' ', 260}});
  CHECK(encoded("a\n", " w").value() == Pair{{'a'}, {'\n', 260}});
  CHECK(encoded("a\xC2\xA0", " w").value() == Pair{{'a'}, {0xC2, 0xA0, 260}});
  CHECK(encoded("a\xE3\x80\x80", " w").value() == Pair{{'a'}, {0xE3, 0x80, 0x80, 260}});
  CHECK(encoded("a\x1F", " w").value() == Pair{{'a'}, {0x1F, 260}});
  // A token across the boundary: as many as the context has alone are cut off.
  CHECK(encoded("xa", "b w").value() == Pair{{'x', 'a'}, {260}});
  CHECK(encoded("hell", "o").error().message == "a choice has no token of its own");
  // No context at all.
  CHECK(encoded("", " w").value() == Pair{{kEmpty}, {260}});
  CHECK(encoded("  ", " w").value() == Pair{{kEmpty}, {' ', ' ', 260}});
  CHECK(encoded("", "<|end|> w").value() == Pair{{kEmpty}, {260}});
  CHECK(encoded("", "<|end|>").error().message == "a choice has no token of its own");
  CHECK(encoded("a", " ").value() == Pair{{'a'}, {' '}});
}

TEST_CASE("a text that is too long loses its beginning") {
  CHECK(encoded("xyxyz", " w", 5).value() == Pair{{'x', 'y', 'x', 'y', 'z'}, {260}});
  CHECK(encoded("xyxyz", " w", 3).value() == Pair{{'x', 'y', 'z'}, {260}});
  CHECK(encoded("xyxyz", " wx", 3).value() == Pair{{'y', 'z'}, {260, 'x'}});
  CHECK(encoded("xyxyz", " wx", 2).value() == Pair{{'z'}, {260, 'x'}});
  CHECK(encoded("xyxyz", " wx", 1).error().message ==
        "a choice must have at most 1 tokens (--max-length), found 2");
}

TEST_CASE("the highest log-likelihood is picked, per character for acc_norm, the first of equals") {
  eval::Question q{.place = {}, .id = {}, .context = {}, .choices = {}, .gold = 1};
  // Per byte the second would be higher.
  q.choices = {"abcd", "\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9"};
  auto outcome = judged("piqa", q, {-4.0, -6.0});
  CHECK(outcome.picked == 0);
  CHECK(outcome.picked_norm == 0);
  CHECK(!outcome.right);
  outcome = judged("piqa", q, {-4.0, -3.9});
  CHECK(outcome.right);
  CHECK(outcome.right_norm);
  q.choices = {"a", "abcd", "abcde", "ab", "abc"};
  outcome = judged("arc_easy", q, {-1.0, -2.0, -5.0, -1.0, -1.5});
  CHECK(outcome.picked == 0);
  CHECK(outcome.picked_norm == 1);
  CHECK(!outcome.right);
  CHECK(outcome.right_norm);
  CHECK(eval::code_points("a\xC3\xB1\xE2\x82\xAC\xF0\x9F\x98\x80") == 4);
  // Nothing to choose from: every token must be the most likely one.
  q.choices = {"word"};
  q.gold = 0;
  CHECK(!judged("lambada_openai", q, {-1.0}).right);
}

TEST_CASE("means, perplexities, their errors, and flips") {
  const auto half = eval::mean(std::vector<double>{1.0, 0.0, 0.0, 1.0});
  CHECK(half.value == 0.5);
  CHECK(half.standard_error == doctest::Approx(std::sqrt(1.0 / 12.0)));
  CHECK(std::isnan(eval::mean(std::vector<double>{1.0}).standard_error));
  const auto perplexity = eval::perplexity(std::vector<double>{-1.0, -3.0});
  CHECK(perplexity.value == doctest::Approx(std::exp(2.0)));
  CHECK(perplexity.standard_error == doctest::Approx(std::exp(2.0)));

  const auto p = [](std::size_t to_wrong, std::size_t to_right) {
    return eval::Flips{to_wrong, to_right}.p_value();
  };
  CHECK(p(0, 0) == 1.0);
  CHECK(p(3, 3) == 1.0);
  CHECK(p(1, 5) == doctest::Approx(14.0 / 64.0));
  CHECK(p(5, 1) == doctest::Approx(14.0 / 64.0));
  CHECK(p(10, 0) == doctest::Approx(2.0 / 1024.0));
  CHECK(p(4700, 5300) == doctest::Approx(2.0e-9).epsilon(0.1));
  eval::Question q{.place = {}, .id = {}, .context = {}, .choices = {"a", "b"}, .gold = 0};
  const std::vector<eval::Outcome> before = {
      judged("piqa", q, {-1, -2}), judged("piqa", q, {-1, -2}), judged("piqa", q, {-2, -1})};
  const std::vector<eval::Outcome> after = {
      judged("piqa", q, {-2, -1}), judged("piqa", q, {-1, -2}), judged("piqa", q, {-1, -2})};
  const auto flips = eval::flips(before, after, &eval::Outcome::right);
  CHECK(flips.to_wrong == 1);
  CHECK(flips.to_right == 1);
}

TEST_CASE("a token's score: normalised, and greedy if it is the first of the most likely") {
  for (const std::size_t size : std::vector<std::size_t>{1, 3, 17, 300, 1000}) {
    CAPTURE(size);
    const auto logits = reference::to_float(reference::Random(size).normals(size, 0.0, 4.0));
    double sum = 0.0;
    for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
    double all = 0.0;
    std::size_t greedy = 0;
    for (std::size_t i = 0; i < size; ++i) {
      const auto score = eval::score_token(logits, static_cast<Token>(i));
      CHECK(std::abs(score.log_likelihood - (static_cast<double>(logits[i]) - std::log(sum))) <
            1e-6);
      all += std::exp(score.log_likelihood);
      greedy += score.is_greedy ? 1 : 0;
    }
    CHECK(all == doctest::Approx(1.0));
    CHECK(greedy == 1);
  }
  std::vector<float> ties(20, -3.0F);
  ties[18] = ties[7] = 5.0F;
  CHECK(eval::score_token(ties, 7).is_greedy);
  CHECK(!eval::score_token(ties, 18).is_greedy);
}

namespace {

/// A model for the ids of tiny_words().
template <class WeightT>
mamba2::Mamba2Model<WeightT> eval_model() {
  mamba2::Config c;
  c.d_model = 64;
  c.n_layer = 2;
  c.vocab_size = 272;
  c.d_inner = c.d_ssm = 128;
  c.headdim = 32;
  c.d_state = 16;
  return tests::load<WeightT>(c, reference::random_weights(c, 5));
}

/// Contexts of many lengths, one longer than the model may read; choices with and without a common
/// beginning, of one token and of many.
std::vector<Request> eval_requests() {
  std::string old = "Long ago";
  for (int i = 0; i < 5; ++i) old += ", and before that another day";
  const std::vector<std::pair<std::string, std::vector<std::string>>> texts = {
      {"The cat sat down beside the fire and", {"slept.", "flew.", "wrote a long letter home."}},
      {"Question: What is snow?\nAnswer:", {"Frozen water.", "Fire.", "A kind of dog.", "x", "y"}},
      {"", {"Once", "upon a time"}},
      {old, {"it was night.", "it", "there lived a king who had three sons."}},
      {"He opened the door. ",
       {"Nobody was there.",
        "\xC3\x9C"
        "ber"}}};
  std::vector<Request> requests;
  for (const auto& [context, choices] : texts) {
    const eval::Question q{
        .place = {}, .id = {}, .context = context, .choices = choices, .gold = 0};
    const auto more = eval::encode_question(tiny_words(), kEmpty, q, 100).value();
    requests.insert(requests.end(), more.begin(), more.end());
  }
  return requests;
}

template <class WeightT>
void check_scores(mamba2::StatePrecision state, double bound) {
  CAPTURE(WeightT::name);
  const auto model = eval_model<WeightT>();
  const std::vector<Request> requests = eval_requests();
  const auto executor = std::make_shared<mamba2::SerialExecutor>();
  const auto scored = [&](std::size_t sequences, bool share) {
    auto all = requests;
    const eval::ScorerOptions options = {sequences, share, state};
    auto scorer = eval::Scorer::create(model, options, executor).value();
    scorer.score(all).value();
    return all;
  };
  const auto together = scored(16, true);
  const auto few = scored(2, true);
  const auto whole = scored(16, false);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    CAPTURE(i);
    // One at a time, in the same pieces: the same bits.
    const Request& request = requests[i];
    const std::span<const Token> tokens = request.continuation;
    auto alone = model.session({.state = state, .workers = {.executor = executor}}).value();
    eval::Score expected =
        eval::score_token(alone.prefill(request.context).value(), tokens.front());
    if (tokens.size() > 1) {
      const auto logits = tests::all_logits(alone, tokens.first(tokens.size() - 1));
      const std::size_t size = model.config().vocab_size;
      for (std::size_t t = 1; t < tokens.size(); ++t) {
        const auto score =
            eval::score_token(std::span(logits).subspan((t - 1) * size, size), tokens[t]);
        expected.log_likelihood += score.log_likelihood;
        expected.is_greedy = expected.is_greedy && score.is_greedy;
      }
    }
    CHECK(together[i].score.log_likelihood == expected.log_likelihood);
    CHECK(together[i].score.is_greedy == expected.is_greedy);
    CHECK(few[i].score.log_likelihood == expected.log_likelihood);
    // The whole text in one piece: other roundings, which INT8 activations make larger.
    CHECK(std::abs(whole[i].score.log_likelihood - expected.log_likelihood) < bound);
    CHECK(whole[i].score.is_greedy == expected.is_greedy);
  }
}

}  // namespace

TEST_CASE("continuations from copied states, many at a time, score what they score alone") {
  check_scores<mamba2::Fp32>(mamba2::StatePrecision::fp32, 1e-4);
  check_scores<mamba2::Int8>(mamba2::StatePrecision::fp32, 1.0);
  check_scores<mamba2::Fp16>(mamba2::StatePrecision::fp16, 1e-2);
}
