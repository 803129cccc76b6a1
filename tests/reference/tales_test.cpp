// SPDX-License-Identifier: Apache-2.0
// The oracle on the bundled model against the logits and losses of another double-precision
// implementation.
#include <doctest/doctest.h>

#include <cstddef>
#include <span>
#include <vector>

#include "tests/reference/checkpoint.hpp"
#include "tests/reference/compare.hpp"
#include "tests/reference/mamba2_reference.hpp"
#include "tests/reference/safetensors_lite.hpp"

namespace {

using namespace reference;

// How much to compute: sanitizers and builds without optimisation are slow.
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__)
constexpr std::size_t kPrompt = 11, kWindow = 64;
#else
constexpr std::size_t kPrompt = 3, kWindow = 8;
#endif

std::vector<Token> token_ids(const Tensor& tensor, std::size_t count) {
  std::vector<Token> ids;
  for (const double id : to_double(tensor)) ids.push_back(static_cast<Token>(id));
  ids.resize(count);
  return ids;
}

TEST_CASE("llama-tales-14m: the oracle agrees on the bundled model") {
  const Model model =
      load_huggingface(MAMBA2_SOURCE_DIR "/examples/models/llama-tales-14m").value();
  const Config& config = model.config;
  CHECK(config.validate());
  CHECK(config.d_model == 384);
  const Safetensors golden =
      load_safetensors(MAMBA2_SOURCE_DIR "/tests/golden/llama-tales-14m.safetensors").value();

  const std::vector<Token> prompt = token_ids(golden.tensors.at("ids"), kPrompt);
  std::vector<double> expected_logits = to_double(golden.tensors.at("logits"));
  expected_logits.resize(kPrompt * config.vocab_size);
  const std::vector<double> prompt_logits = forward(config, model.weights, prompt);
  CHECK(max_abs_difference(prompt_logits, expected_logits) < 1e-6);  // they are floats up to 22

  const std::vector<Token> window = token_ids(golden.tensors.at("window_ids"), kWindow + 1);
  std::vector<double> expected_losses = to_double(golden.tensors.at("window_nll"));
  expected_losses.resize(kWindow);
  const std::vector<double> logits =
      forward(config, model.weights, std::span(window).first(kWindow), Options{.chunk = 32});
  std::vector<double> losses;
  for (std::size_t t = 0; t < kWindow; ++t) {
    const auto row = std::span(logits).subspan(t * config.vocab_size, config.vocab_size);
    losses.push_back(negative_log_likelihood(row, window[t + 1]));
  }
  CHECK(max_abs_difference(losses, expected_losses) < 1e-11);
}

}  // namespace
