// SPDX-License-Identifier: Apache-2.0
// mamba2-perplexity: how well a model predicts a text.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <mamba2/mamba2.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli.hpp"
#include "weights.hpp"

namespace {

using mamba2::Result;
using mamba2::Token;

/// Sums over the scored tokens.
struct Score {
  std::size_t tokens = 0;
  std::size_t bytes = 0;
  double loss = 0.0;  ///< -log p, in nats
  double squares = 0.0;

  [[nodiscard]] double mean() const { return loss / static_cast<double>(tokens); }
  [[nodiscard]] double perplexity() const { return std::exp(mean()); }
  /// Standard error of the perplexity.
  [[nodiscard]] double standard_error() const {
    const auto n = static_cast<double>(tokens);
    const double variance = squares / n - mean() * mean();
    return perplexity() * std::sqrt(std::max(0.0, variance) / (n - 1.0));
  }
  [[nodiscard]] double bits_per_byte() const {
    return loss / std::log(2.0) / static_cast<double>(bytes);
  }
};

/// -log softmax(logits)[token], in double.
double loss_of(std::span<const float> logits, Token token) {
  const auto top = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
  double sum = 0.0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - top);
  return top + std::log(sum) - static_cast<double>(logits[static_cast<std::size_t>(token)]);
}

/// One window: the first half is context, the tokens of the second half are scored but for the
/// first, which the first half predicts: as llama.cpp counts.
template <class WeightT>
Result<void> score_window(mamba2::Session<WeightT>& session, const mamba2::Tokenizer& tokenizer,
                          std::span<const Token> window, std::vector<float>& logits, Score& score) {
  const std::size_t half = window.size() / 2;
  const std::size_t vocab_size = session.config().vocab_size;
  logits.resize((window.size() - half) * vocab_size);
  session.reset();
  if (const auto context = session.prefill(window.first(half)); !context) return context.error();
  if (Result<void> scored = session.prefill(window.subspan(half), logits); !scored) return scored;
  for (std::size_t i = half; i + 1 < window.size(); ++i) {
    const auto row = std::span(logits).subspan((i - half) * vocab_size, vocab_size);
    const double loss = loss_of(row, window[i + 1]);
    score.tokens += 1;
    score.bytes += tokenizer.token_bytes(window[i + 1]).size();
    score.loss += loss;
    score.squares += loss * loss;
  }
  return {};
}

template <class WeightT>
Result<Score> score_text(const std::string& model_path, const std::string& text_path,
                         std::size_t context, const mamba2::Workers& workers) {
  constexpr std::size_t kMaxBytes = std::size_t{1} << 30;
  const Result<std::string> text = mamba2::read_text_file(text_path, kMaxBytes);
  if (!text) return text.error();
  const auto tokenizer = mamba2::Tokenizer::load(model_path);
  if (!tokenizer) return tokenizer.error();
  const auto model = mamba2::Mamba2Model<WeightT>::load(model_path, {.workers = workers});
  if (!model) return model.error();
  if (const auto fits = mamba2::detail::usable_tokens(*tokenizer, model->config()); !fits) {
    return fits.error();
  }
  const std::vector<Token> tokens = tokenizer->encode(*text);
  const std::size_t windows = tokens.size() / context;
  if (windows == 0) {
    return mamba2::Error{mamba2::ErrorCode::invalid_argument,
                         text_path + ": must have at least " + std::to_string(context) +
                             " tokens (--context), found " + std::to_string(tokens.size())};
  }
  auto session = model->session({.workers = workers});
  if (!session) return session.error();
  cli::Progress progress("scoring");
  Score score;
  std::vector<float> logits;
  for (std::size_t w = 0; w < windows; ++w) {
    const auto window = std::span(tokens).subspan(w * context, context);
    const Result<void> outcome = score_window(*session, *tokenizer, window, logits, score);
    if (!outcome) return outcome.error();
    progress.update(w + 1, windows);
  }
  return score;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Measures how well a model predicts a text: the perplexity over the second halves of\n"
      "windows of the text, each from an empty state, as llama.cpp measures it.");
  std::string model;
  std::string text;
  std::string json_file;
  std::size_t context = 512;
  std::string weights = std::string(mamba2::Fp32::name);
  cli::WorkerOptions workers;
  app.add_option("MODEL", model, "Folder with config.json, *.safetensors and tokenizer.json")
      ->required();
  app.add_option("TEXT", text, "The text, a file in UTF-8")->required();
  app.add_option("--context", context, "Tokens of a window")
      ->capture_default_str()
      ->check(CLI::Range(4, 1 << 20));
  cli::add_weights(app, weights);
  workers.add(app);
  app.add_option("--json", json_file, "Write the result to this file as JSON");
  app.footer(
      "Example:\n  mamba2-perplexity examples/models/tales-14m book.txt\n"
      "Exit status: 0 done, 1 something failed, 2 wrong usage.");
  return cli::run(app, argc, argv, [&]() -> Result<void> {
    const auto started = workers.start();
    if (!started) return started.error();
    Score score;
    const Result<void> scored = cli::with_weights(weights, [&]<class WeightT>() -> Result<void> {
      const Result<Score> found = score_text<WeightT>(model, text, context, *started);
      if (!found) return found.error();
      score = *found;
      return {};
    });
    if (!scored) return scored;
    std::printf("perplexity %.4f +- %.4f, %.4f nats per token, %.4f bits per byte, %zu tokens\n",
                score.perplexity(), score.standard_error(), score.mean(), score.bits_per_byte(),
                score.tokens);
    if (json_file.empty()) return {};
    return cli::write_json(json_file, {{"model", model},
                                       {"text", text},
                                       {"weights", weights},
                                       {"context", context},
                                       {"tokens", score.tokens},
                                       {"perplexity", score.perplexity()},
                                       {"perplexity_stderr", score.standard_error()},
                                       {"nats_per_token", score.mean()},
                                       {"bits_per_byte", score.bits_per_byte()}});
  });
}
