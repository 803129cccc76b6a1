// SPDX-License-Identifier: Apache-2.0
#include "mamba2/text/generate.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "mamba2/linear/floats.hpp"
#include "mamba2/sequence/state_file.hpp"
#include "tests/model_helpers.hpp"
#include "tests/reference/random_weights.hpp"

using mamba2::ErrorCode;
using mamba2::GenerateOptions;
using mamba2::StopReason;

namespace {

const std::string kModel = MAMBA2_SOURCE_DIR "/examples/models/llama-tales-14m";
constexpr const char* kPrompt = "Once upon a time there was a little girl who lived";

struct Bundled {
  mamba2::Mamba2Model<mamba2::Fp32> model = mamba2::Mamba2Model<mamba2::Fp32>::load(kModel).value();
  mamba2::Tokenizer tokenizer = mamba2::Tokenizer::load(kModel).value();
};

const Bundled& bundled() {
  static const Bundled instance;
  return instance;
}

GenerateOptions greedy(std::size_t tokens) {
  return {.max_tokens = tokens, .sampling = {.temperature = 0.0F}};
}

struct Written {
  std::string text;
  mamba2::Generated done;
  std::uint64_t read;
};

Written write(const GenerateOptions& options, std::string_view prompt = kPrompt) {
  auto session = bundled().model.session().value();
  Written out;
  out.done =
      mamba2::generate(session, bundled().tokenizer, prompt, options, [&](std::string_view piece) {
        CHECK(!piece.empty());
        out.text += piece;
        return true;
      }).value();
  out.read = session.state().tokens();
  return out;
}

/// A model with as many tokens that reads long prompts in no time; what it writes makes no sense.
mamba2::Config long_prompt_config() {
  mamba2::Config config = reference::variants().front().config;
  config.vocab_size = 8192;
  return config;
}

}  // namespace

TEST_CASE("generate stops at the number of tokens, and the session has read them all") {
  const Written w = write(greedy(12));
  CHECK(w.done.reason == StopReason::max_tokens);
  CHECK(w.done.tokens == 12);
  CHECK(w.read == w.done.prompt_tokens + 12);
  CHECK(w.text == " in a big house. One day, she went outside to");
  const Written none = write(greedy(0));
  CHECK(none.text.empty());
  CHECK(none.done.tokens == 0);
}

TEST_CASE("generate stops before a stop string") {
  GenerateOptions options = greedy(50);
  options.stop = {"no such thing", " house. One"};
  const Written w = write(options);
  CHECK(w.done.reason == StopReason::stop_string);
  CHECK(w.text == " in a big");
}

TEST_CASE("generate stops at an end-of-text token, or does not") {
  // The bundled model, told that " big" ends a text.
  const auto json = nlohmann::json::parse(reference::read_file(kModel + "/config.json").value());
  auto changed = json;
  changed["eos_token_id"] = {7, bundled().tokenizer.find(" big").value()};
  std::vector<mamba2::MappedFile> files;
  std::vector<std::span<const std::byte>> shards;
  for (const char* name : {"1-of-00002", "2-of-00002"}) {
    files.push_back(
        mamba2::MappedFile::open(kModel + "/model-0000" + name + ".safetensors").value());
    shards.push_back(files.back().bytes());
  }
  const auto checkpoint = mamba2::Checkpoint::from_bytes(changed.dump(), shards).value();
  const auto model = mamba2::Mamba2Model<mamba2::Fp32>::load(checkpoint).value();

  const auto until = [&](bool stop_at_eos, const std::vector<std::string>& stop) {
    auto session = model.session().value();
    Written out;
    GenerateOptions options = greedy(4);
    options.stop_at_eos = stop_at_eos;
    options.stop = stop;
    out.done =
        mamba2::generate(session, bundled().tokenizer, kPrompt, options, [&](std::string_view p) {
          return !out.text.append(p).empty();
        }).value();
    return out;
  };
  for (const bool stop_at_eos : {true, false}) {
    const Written w = until(stop_at_eos, {});
    CHECK(w.text == (stop_at_eos ? " in a" : " in a big house"));
    CHECK(w.done.tokens == (stop_at_eos ? 2 : 4));
    CHECK(w.done.reason == (stop_at_eos ? StopReason::eos : StopReason::max_tokens));
  }
  // The same token as a text to stop at: it counts where it does not end the text anyway.
  for (const bool stop_at_eos : {true, false}) {
    const Written stopped = until(stop_at_eos, {" big"});
    CHECK(stopped.text == " in a");
    CHECK(stopped.done.reason == (stop_at_eos ? StopReason::eos : StopReason::stop_string));
  }
}

TEST_CASE("generate stops at a special token by its name, and never shows it") {
  const auto& tokenizer = bundled().tokenizer;
  const std::string plain = write(greedy(6)).text;
  const std::vector<mamba2::Token> ids = tokenizer.encode(plain);
  REQUIRE(ids.size() == 6);
  std::vector<std::string> said;
  for (const mamba2::Token id : ids) said.emplace_back(tokenizer.token_bytes(id));

  // The bundled tokenizer, told that the third of these words is special.
  REQUIRE(said[2].starts_with(' '));
  auto json = nlohmann::json::parse(reference::read_file(kModel + "/tokenizer.json").value());
  json["added_tokens"].push_back({{"id", ids[2]},
                                  {"content", "\u0120" + said[2].substr(1)},
                                  {"single_word", false},
                                  {"lstrip", false},
                                  {"rstrip", false},
                                  {"normalized", false},
                                  {"special", true}});
  const auto changed = mamba2::Tokenizer::from_json(json.dump()).value();
  const auto until = [&](const std::vector<std::string>& stop) {
    auto session = bundled().model.session().value();
    GenerateOptions options = greedy(6);
    options.stop = stop;
    Written out;
    out.done = mamba2::generate(session, changed, kPrompt, options, [&](std::string_view piece) {
                 return !out.text.append(piece).empty();
               }).value();
    return out;
  };
  const std::string shown = said[0] + said[1] + said[3] + said[4] + said[5];
  CHECK(until({}).text == shown);
  const Written stopped = until({said[2]});
  CHECK(stopped.text == said[0] + said[1]);
  CHECK(stopped.done.reason == StopReason::stop_string);
  CHECK(stopped.done.tokens == 3);
  // From within the word before it into the one behind it.
  CHECK(until({said[1].substr(1) + said[2] + said[3].substr(0, 2)}).text == said[0] + " ");
  // Texts that have begun and do not go on; and one that is there only in what is shown.
  CHECK(until({said[2] + "no such thing", said[1] + said[3]}).text == shown);
}

TEST_CASE("a text that is long enough may go on until its sentence ends") {
  for (const char* token : {".", "!", " end?", ".\"", "!'", "?)", "...", ".\u201D", ".'\"",
                            "\u3002", "\n", ".\n\n", "\u2026"}) {
    CAPTURE(token);
    CHECK(mamba2::detail::ends_sentence(token));
  }
  for (const char* token : {"", "a", ",", ",\"", "\"", "3.1", ".,", "\u201D", ";", "<|end|>"}) {
    CAPTURE(token);
    CHECK(!mamba2::detail::ends_sentence(token));
  }

  auto session = bundled().model.session().value();
  std::vector<std::string> pieces;
  (void)mamba2::generate(session, bundled().tokenizer, kPrompt, greedy(80),
                         [&](std::string_view piece) {
                           pieces.emplace_back(piece);
                           return true;
                         })
      .value();
  REQUIRE(pieces.size() == 80);
  std::vector<std::size_t> ends;  // so many tokens, and the sentence has ended
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    if (mamba2::detail::ends_sentence(pieces[i])) ends.push_back(i + 1);
  }
  // One end and the next, which is some tokens behind it.
  const auto next = std::ranges::adjacent_find(ends, [](auto a, auto b) { return b > a + 2; });
  REQUIRE(next != ends.end());
  const std::size_t end = next[0];
  const std::size_t next_end = next[1];
  const auto tokens = [](std::size_t most, std::size_t more) {
    GenerateOptions options = greedy(most);
    options.finish_sentence = more;
    const Written written = write(options);
    CHECK(written.done.reason == StopReason::max_tokens);
    return written.done.tokens;
  };
  CHECK(tokens(end, 60) == end);
  CHECK(tokens(end + 1, 60) == next_end);
  CHECK(tokens(end + 1, next_end - end - 1) == next_end);
  CHECK(tokens(end + 1, 1) == end + 2);
  CHECK(tokens(end + 1, 0) == end + 1);
  CHECK(tokens(0, 60) == 0);
}

TEST_CASE("a callback can stop the text") {
  auto session = bundled().model.session().value();
  int pieces = 0;
  const auto done =
      mamba2::generate(session, bundled().tokenizer, kPrompt, greedy(50), [&](std::string_view) {
        return ++pieces < 3;
      }).value();
  CHECK(done.reason == StopReason::cancelled);
  CHECK(pieces == 3);
  CHECK(session.state().tokens() == done.prompt_tokens + done.tokens);
}

TEST_CASE("a callback can stop the reading of the prompt") {
  const auto weights = reference::random_weights(long_prompt_config(), 2);
  auto session = tests::load(long_prompt_config(), weights).session().value();
  GenerateOptions options = greedy(50);
  std::size_t read = 0;
  options.on_prompt = [&](std::size_t tokens, std::size_t total) {
    CHECK(total > 1000);
    read = tokens;
    return tokens < 600;
  };
  std::string prompt;
  for (int i = 0; i < 200; ++i) prompt += kPrompt;
  const auto cancelled =
      mamba2::generate(session, bundled().tokenizer, prompt, options, [](std::string_view) {
        return true;
      }).value();
  CHECK(cancelled.reason == StopReason::cancelled);
  CHECK(cancelled.tokens == 0);
  CHECK(cancelled.prompt_tokens == read);
  CHECK(cancelled.prompt_seconds > 0.0);
  CHECK(cancelled.seconds == 0.0);
  CHECK(session.state().tokens() == read);
}

TEST_CASE("the same seed gives the same text, another seed another") {
  // So wild that eight tokens differ, however an instruction set rounds.
  const auto seeded = [](std::uint64_t seed) {
    return GenerateOptions{
        .max_tokens = 8,
        .sampling = {.temperature = 2.0F, .top_k = 0, .top_p = 1.0F, .min_p = 0.0F, .seed = seed}};
  };
  const std::string text = write(seeded(1), "Once").text;
  CHECK(text == write(seeded(1), "Once").text);
  CHECK(text != write(seeded(2), "Once").text);
}

TEST_CASE("a second call continues the text of the first") {
  auto session = bundled().model.session().value();
  std::string text;
  const auto append = [&](std::string_view piece) { return !text.append(piece).empty(); };
  const auto& tokenizer = bundled().tokenizer;
  (void)mamba2::generate(session, tokenizer, "It was a dark", greedy(3), append).value();
  (void)mamba2::generate(session, tokenizer, " and the old man", greedy(3), append).value();
  const std::string split = std::exchange(text, {});

  auto whole = bundled().model.session().value();
  (void)mamba2::generate(whole, tokenizer, "It was a dark", greedy(3), append).value();
  const std::string first = text;
  auto again = bundled().model.session().value();
  std::vector<mamba2::Token> ids = tokenizer.encode("It was a dark");
  for (const std::string& part : {first, std::string(" and the old man")}) {
    for (const mamba2::Token id : tokenizer.encode(part)) ids.push_back(id);
  }
  auto logits = again.prefill(ids).value();
  auto sampler = mamba2::Sampler::create({.temperature = 0.0F}, tokenizer.vocab_size()).value();
  for (int i = 0; i < 3; ++i) {
    const mamba2::Token token = sampler.sample(logits);
    text += tokenizer.token_bytes(token);
    logits = again.decode(token).value();
  }
  CHECK(text == split);
}

TEST_CASE("a text goes on from a State as if it had not ended") {
  const auto& tokenizer = bundled().tokenizer;
  std::string text;
  const auto append = [&](std::string_view piece) { return !text.append(piece).empty(); };
  auto first = bundled().model.session().value();
  (void)mamba2::generate(first, tokenizer, kPrompt, greedy(8), append).value();
  auto fork = bundled().model.session().value();
  fork.set_state(first.state()).value();
  const auto done = mamba2::generate(fork, tokenizer, "", greedy(8), append).value();
  CHECK(done.prompt_tokens == 0);
  CHECK(text == write(greedy(16)).text);
  CHECK(fork.state().tokens() == first.state().tokens() + 8);
}

TEST_CASE("a text goes on from a state file as if it had not ended") {
  const GenerateOptions options = {.max_tokens = 8,
                                   .sampling = {.repetition_penalty = 1.1F, .seed = 3}};
  GenerateOptions twice = options;
  twice.max_tokens = 16;
  const std::string expected = write(twice).text;

  const auto& tokenizer = bundled().tokenizer;
  std::string text;
  const auto append = [&](std::string_view piece) { return !text.append(piece).empty(); };
  std::vector<std::byte> file;
  {
    auto session = bundled().model.session().value();
    auto sampler = mamba2::make_sampler(options.sampling, tokenizer, session.config()).value();
    (void)mamba2::generate(session, sampler, tokenizer, kPrompt, options, append).value();
    mamba2::StateFile(session, &sampler)
        .write([&](std::span<const std::byte> part) {
          file.insert(file.end(), part.begin(), part.end());
          return mamba2::Result<void>();
        })
        .value();
  }
  auto session = bundled().model.session().value();
  auto sampler = mamba2::make_sampler({.seed = 99}, tokenizer, session.config()).value();
  mamba2::StateFile(session, &sampler).read(file).value();
  const auto done = mamba2::generate(session, sampler, tokenizer, "", options, append).value();
  CHECK(text == expected);
  CHECK(done.prompt_tokens == 0);
  CHECK(done.tokens == 8);

  auto small = mamba2::Sampler::create({}, 5).value();
  const auto refused = mamba2::generate(session, small, tokenizer, "", options, append);
  REQUIRE(!refused);
  CHECK(refused.error().message == "the sampler must be one for 8192 tokens, found 5");
}

TEST_CASE("a sampler has seen what was read, and no more") {
  const auto weights = reference::random_weights(long_prompt_config(), 2);
  auto session = tests::load(long_prompt_config(), weights).session().value();
  auto sampler =
      mamba2::make_sampler({.temperature = 0.0F}, bundled().tokenizer, session.config()).value();
  std::string prompt;
  for (int i = 0; i < 100; ++i) prompt += kPrompt;
  prompt += " zebra";
  GenerateOptions options = greedy(0);
  options.on_prompt = [](std::size_t, std::size_t) { return false; };
  const auto ignore = [](std::string_view) { return true; };
  (void)mamba2::generate(session, sampler, bundled().tokenizer, prompt, options, ignore).value();
  const auto ids = bundled().tokenizer.encode(prompt);
  CHECK(sampler.seen()[static_cast<std::size_t>(ids.front())]);
  CHECK(!sampler.seen()[static_cast<std::size_t>(ids.back())]);
}

TEST_CASE("an empty prompt, wrong options and another model's tokenizer are refused") {
  const auto ignore = [](std::string_view) { return true; };
  auto session = bundled().model.session().value();
  const auto empty = mamba2::generate(session, bundled().tokenizer, "", greedy(5), ignore);
  REQUIRE(!empty);
  CHECK(empty.error().message == "prefill: no tokens: the prompt is empty");
  GenerateOptions bad = greedy(5);
  bad.sampling.top_p = 2.0F;
  CHECK(!mamba2::generate(session, bundled().tokenizer, kPrompt, bad, ignore));

  const auto config = reference::variants().front().config;
  auto small = tests::load(config, reference::random_weights(config, 1)).session().value();
  const auto outcome = mamba2::generate(small, bundled().tokenizer, kPrompt, greedy(5), ignore);
  REQUIRE(!outcome);
  CHECK(outcome.error().code == ErrorCode::mismatch);
  CHECK(outcome.error().message ==
        "the tokenizer does not belong to the model, or has more tokens: \"Once\" in the text is "
        "token "
        "1474, the model's vocabulary has 37 rows");
  // Texts of what the model knows are read, and nothing else is written.
  const auto known = mamba2::generate(small, bundled().tokenizer, "!", greedy(5), ignore);
  REQUIRE(known);
  CHECK(known->tokens == 5);
}

TEST_CASE("logits that are not finite end the text with an error") {
  reference::Weights weights = reference::random_weights(long_prompt_config(), 3);
  std::ranges::fill(weights.norm_f, 3e38);  // too large for the head
  auto session = tests::load(long_prompt_config(), weights).session().value();
  const auto done = mamba2::generate(session, bundled().tokenizer, kPrompt, greedy(4),
                                     [](std::string_view) { return true; });
  REQUIRE(!done);
  CHECK(done.error().code == ErrorCode::malformed);
  CHECK(done.error().message.find("not finite after 1") != std::string::npos);
}
