// SPDX-License-Identifier: Apache-2.0
// The bundled model against a double-precision run of it: logits, greedy texts, held-out losses.
#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "mamba2/linear/floats.hpp"
#include "mamba2/text/generate.hpp"
#include "tests/model_helpers.hpp"
#include "tests/reference/compare.hpp"
#include "tests/reference/safetensors_lite.hpp"

using mamba2::Token;

namespace {

// Under sanitizers and emulators a token of this model takes 0.1 s: the first tokens of each text
// must do there.
#if defined(MAMBA2_QUICK_TESTS)
constexpr std::size_t kGreedyTokens = 4;
constexpr std::size_t kWindows = 1;
constexpr std::size_t kWindowTokens = 64;
#else
constexpr std::size_t kGreedyTokens = 48;
constexpr std::size_t kWindows = 4;
constexpr std::size_t kWindowTokens = 256;
#endif

constexpr const char* kTales = MAMBA2_SOURCE_DIR "/examples/models/llama-tales-14m";

const mamba2::Mamba2Model<mamba2::Fp32>& model() {
  static const auto loaded = mamba2::Mamba2Model<mamba2::Fp32>::load(kTales).value();
  return loaded;
}

const mamba2::Tokenizer& golden_tokenizer() {
  static const auto loaded = mamba2::Tokenizer::load(kTales).value();
  return loaded;
}

reference::Safetensors golden() {
  return reference::load_safetensors(MAMBA2_SOURCE_DIR "/tests/golden/llama-tales-14m.safetensors")
      .value();
}

nlohmann::json golden_texts() {
  const auto text =
      reference::read_file(MAMBA2_SOURCE_DIR "/tests/golden/llama-tales-14m.json").value();
  return nlohmann::json::parse(text);
}

std::vector<Token> ids(const reference::Tensor& tensor) {
  std::vector<Token> tokens;
  for (const double id : reference::to_double(tensor)) tokens.push_back(static_cast<Token>(id));
  return tokens;
}

}  // namespace

TEST_CASE("logits of the bundled model") {
  const reference::Safetensors file = golden();
  const auto tokens = ids(file.tensors.at("ids"));
  const auto expected = reference::to_double(file.tensors.at("logits"));
  auto session = model().session().value();
  const double difference =
      reference::max_abs_difference(tests::all_logits(session, tokens), expected);
  MESSAGE("largest difference of a logit: ", difference);
  CHECK(difference < 1e-3);  // 3e-4 standard deviations
}

TEST_CASE("greedy continuations of the bundled model") {
  int texts = 0;
  for (const auto& prompt : golden_texts()) {
    if (!prompt.contains("prompt")) continue;
    ++texts;
    const auto text = prompt.at("prompt").get<std::string>();
    CAPTURE(text);
    CHECK(golden_tokenizer().encode(text) == prompt.at("ids").get<std::vector<Token>>());
    const auto expected = prompt.at("greedy_ids").get<std::vector<Token>>();
    REQUIRE(expected.size() >= kGreedyTokens);
    CHECK(golden_tokenizer().decode(expected) == prompt.at("greedy_text").get<std::string>());
    auto session = model().session().value();
    std::string continuation;
    const auto done =
        mamba2::generate(
            session, golden_tokenizer(), text,
            {.max_tokens = kGreedyTokens, .sampling = {.temperature = 0.0F}},
            [&](std::string_view piece) { return !continuation.append(piece).empty(); })
            .value();
    CHECK(continuation == golden_tokenizer().decode(std::span(expected).first(kGreedyTokens)));
    CHECK(done.tokens == kGreedyTokens);
  }
  CHECK(texts == 5);
}

TEST_CASE("held-out losses of the bundled model") {
  const reference::Safetensors file = golden();
  const reference::Tensor& window_ids = file.tensors.at("window_ids");
  const auto all_ids = ids(window_ids);
  const auto all_losses = reference::to_double(file.tensors.at("window_nll"));
  const std::size_t length = window_ids.shape[1] - 1;
  REQUIRE(window_ids.shape[0] >= kWindows);
  REQUIRE(length >= kWindowTokens);
  auto session = model().session().value();
  double sum = 0.0;
  for (std::size_t w = 0; w < kWindows; ++w) {
    session.reset();
    const auto tokens = std::span(all_ids).subspan(w * (length + 1), length + 1);
    const auto logits = tests::all_logits(session, tokens.first(kWindowTokens));
    std::vector<double> losses;
    const std::size_t vocab_size = session.config().vocab_size;
    for (std::size_t t = 0; t < kWindowTokens; ++t) {
      const auto row = logits.begin() + static_cast<std::ptrdiff_t>(t * vocab_size);
      const std::vector<double> row_logits(row, row + static_cast<std::ptrdiff_t>(vocab_size));
      losses.push_back(reference::negative_log_likelihood(row_logits, tokens[t + 1]));
      sum += losses.back();
    }
    const auto expected = std::span(all_losses).subspan(w * length, kWindowTokens);
    const double difference = reference::max_abs_difference(losses, expected);
    CAPTURE(w);
    MESSAGE("largest difference of a loss, in nats: ", difference);
    CHECK(difference < 1e-4);
  }
  MESSAGE("mean loss: ", sum / static_cast<double>(kWindows * kWindowTokens), " nats per token");
}
