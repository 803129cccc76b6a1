// SPDX-License-Identifier: Apache-2.0
// mamba2-perplexity: how well a model predicts a text, and how far it is from a reference.
#include <algorithm>
#include <cstdio>
#include <limits>
#include <mamba2/mamba2.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tools/cli.hpp"
#include "tools/loading.hpp"
#include "tools/perplexity/predictor.hpp"
#include "tools/perplexity/windows.hpp"
#include "tools/score.hpp"
#include "tools/weights.hpp"

namespace {

using mamba2::Error;
using mamba2::ErrorCode;
using mamba2::Result;
using mamba2::Token;
using perplexity::Predictor;
using perplexity::Window;

struct Options {
  std::string model, text, json_file;
  std::string reference;  ///< a model, or empty
  cli::WeightsOption weights = {.usual = std::string(mamba2::Fp32::name)};
  std::string reference_weights = std::string(mamba2::Fp32::name);
  mamba2::StatePrecision state = mamba2::StatePrecision::fp32;
  mamba2::KvPrecision kv = mamba2::KvPrecision::fp16;
  cli::LoadingOptions loading;  ///< of the model, not of the reference
  std::size_t context = 0;      ///< 0: the usual one
  bool rolling = false;
  std::size_t windows = std::numeric_limits<std::size_t>::max();
  std::size_t batch = mamba2::SessionOptions().prefill_batch;
};

/// The models to compare, the text, and what is found.
struct Study {
  std::unique_ptr<Predictor> model;
  std::unique_ptr<Predictor> reference;  ///< or nullptr
  mamba2::Tokenizer tokenizer;
  std::string text;
  std::vector<Token> tokens;  ///< with --rolling after the one that ends a text
  cli::Loss loss;
  cli::Loss reference_loss;
  cli::Divergence divergence;
};

/// The text's tokens. Error: invalid_argument, if there are too few.
Result<void> encode(const Options& o, Study& study) {
  study.tokens = study.tokenizer.encode(study.text, {.add_special = !o.rolling});
  if (auto known =
          mamba2::detail::check_tokens(study.tokens, study.tokenizer, study.model->config());
      !known) {
    return known;
  }
  std::size_t needed = o.context;
  if (o.rolling) {
    const std::vector<Token>& ends = study.model->config().eos_token_ids;
    if (ends.empty()) {
      return Error{ErrorCode::unsupported,
                   o.model + ": names no token that ends a text, which --rolling starts with"};
    }
    study.tokens.insert(study.tokens.begin(), ends.front());
    needed = 3;  // as a mean of one has no standard error
  }
  if (study.tokens.size() >= needed) return {};
  return Error{ErrorCode::invalid_argument, o.text + ": must have at least " +
                                                std::to_string(needed - (o.rolling ? 1 : 0)) +
                                                " tokens" + (o.rolling ? "" : " (--context)") +
                                                ", found " + std::to_string(study.tokens.size())};
}

Result<Study> prepare(const Options& o, const mamba2::Workers& workers) {
  constexpr std::size_t kMaxBytes = std::size_t{1} << 30;
  Result<std::string> text = mamba2::read_text_file(o.text, kMaxBytes);
  if (!text) return std::move(text).error();
  auto tokenizer = mamba2::Tokenizer::load(o.model);
  if (!tokenizer) return std::move(tokenizer).error();
  auto model = perplexity::open_predictor(o.model, o.weights.of(o.model),
                                          {.prefill_batch = o.batch,
                                           .state = o.state,
                                           .kv = o.kv,
                                           .context = o.context,
                                           .workers = workers},
                                          o.loading);
  if (!model) return std::move(model).error();
  const mamba2::Config& config = (*model)->config();
  Study study{.model = *std::move(model),
              .reference = nullptr,
              .tokenizer = *std::move(tokenizer),
              .text = *std::move(text),
              .tokens = {},
              .loss = {},
              .reference_loss = {},
              .divergence = {}};
  if (Result<void> encoded = encode(o, study); !encoded) return std::move(encoded).error();
  if (o.reference.empty()) return study;
  auto reference = perplexity::open_predictor(
      o.reference, o.reference_weights,
      {.kv = mamba2::KvPrecision::fp32, .context = o.context, .workers = workers});
  if (!reference) return std::move(reference).error();
  study.reference = *std::move(reference);
  const std::size_t vocab_size = study.reference->config().vocab_size;
  if (vocab_size != config.vocab_size) {
    return Error{ErrorCode::mismatch, o.reference + ": vocab_size must be that of " + o.model +
                                          ", " + std::to_string(config.vocab_size) + ", found " +
                                          std::to_string(vocab_size)};
  }
  return study;
}

/// Scores some of a window's tokens: what predicts them, and with what.
void score(Study& study, std::span<const Token> next, std::span<const float> logits,
           std::span<const float> expected) {
  const std::size_t vocab_size = study.model->config().vocab_size;
  for (std::size_t i = 0; i < next.size(); ++i) {
    const auto token = static_cast<std::size_t>(next[i]);
    const std::size_t bytes = study.tokenizer.token_bytes(next[i]).size();
    const auto add = [&](std::span<const float> all, cli::Loss& loss) {
      const auto row = all.subspan(i * vocab_size, vocab_size);
      loss.add(cli::log_sum_exp(row) - static_cast<double>(row[token]), bytes);
      return row;
    };
    const auto q = add(logits, study.loss);
    if (study.reference) study.divergence.add(add(expected, study.reference_loss), q, token);
  }
}

Result<void> score_window(Study& study, const Window& window) {
  constexpr std::size_t kPiece = 512;  // tokens whose logits are kept at a time
  const auto context = window.tokens.first(window.first - 1);
  if (auto started = study.model->start(context); !started) return started;
  if (study.reference) {
    if (auto started = study.reference->start(context); !started) return started;
  }
  for (std::size_t i = window.first; i < window.tokens.size(); i += kPiece) {
    const std::size_t count = std::min(kPiece, window.tokens.size() - i);
    const auto read = window.tokens.subspan(i - 1, count);
    const auto logits = study.model->predict(read);
    if (!logits) return logits.error();
    Result<std::span<const float>> expected = std::span<const float>();
    if (study.reference) expected = study.reference->predict(read);
    if (!expected) return expected.error();
    score(study, window.tokens.subspan(i, count), *logits, *expected);
  }
  return {};
}

/// Prints what was found.
nlohmann::ordered_json report_loss(const Options& o, const Study& study) {
  const cli::Loss& loss = study.loss;
  const std::size_t bytes = o.rolling ? study.text.size() : loss.bytes();
  const double bits_per_byte = loss.nats() / std::log(2.0) / static_cast<double>(bytes);
  std::printf("perplexity %.4f +- %.4f, %.4f nats per token, %.4f bits per byte, %zu tokens\n",
              loss.perplexity(), loss.standard_error(), loss.mean(), bits_per_byte, loss.tokens());
  nlohmann::ordered_json json = {{"model", o.model},
                                 {"text", o.text},
                                 {"weights", o.weights.of(o.model)},
                                 {"state", cli::name(o.state)},
                                 {"kv", cli::name(o.kv)},
                                 {"context", o.context},
                                 {"batch", o.batch},
                                 {"tokens", loss.tokens()},
                                 {"perplexity", loss.perplexity()},
                                 {"perplexity_stderr", loss.standard_error()},
                                 {"nats_per_token", loss.mean()},
                                 {"bits_per_byte", bits_per_byte}};
  if (o.rolling) {
    const std::size_t words = perplexity::count_words(study.text);
    const double word = std::exp(loss.nats() / static_cast<double>(words));
    const double byte = std::exp(loss.nats() / static_cast<double>(bytes));
    std::printf("of a word %.4f, of a byte %.6f; %zu words, %zu bytes\n", word, byte, words, bytes);
    json.update(
        {{"word_perplexity", word}, {"byte_perplexity", byte}, {"words", words}, {"bytes", bytes}});
  }
  return json;
}

nlohmann::ordered_json report_divergence(const Options& o, const Study& study) {
  const cli::Divergence& d = study.divergence;
  const double expected = study.reference_loss.perplexity();
  const double change = study.loss.perplexity() / expected - 1.0;
  std::printf(
      "reference's perplexity %.4f, this one's %+.2f %%\n"
      "KL divergence, nats: mean %.3g, median %.3g, 90 %% %.3g, 99 %% %.3g, 99.9 %% %.3g, most "
      "%.3g\n"
      "same most likely token %.2f %%; probability of the token that came: mean change %+.3f, "
      "RMS %.3f points\n",
      expected, 100.0 * change, d.kl_mean(), d.kl_quantile(0.5), d.kl_quantile(0.9),
      d.kl_quantile(0.99), d.kl_quantile(0.999), d.kl_quantile(1.0), 100.0 * d.same_top1(),
      100.0 * d.mean_change(), 100.0 * d.rms_change());
  return {{"reference", o.reference},         {"reference_weights", o.reference_weights},
          {"reference_perplexity", expected}, {"perplexity_change", change},
          {"kl_mean", d.kl_mean()},           {"kl_median", d.kl_quantile(0.5)},
          {"kl_p90", d.kl_quantile(0.9)},     {"kl_p95", d.kl_quantile(0.95)},
          {"kl_p99", d.kl_quantile(0.99)},    {"kl_p999", d.kl_quantile(0.999)},
          {"kl_max", d.kl_quantile(1.0)},     {"same_top1", d.same_top1()},
          {"mean_change", d.mean_change()},   {"rms_change", d.rms_change()}};
}

Result<void> run(const Options& o, const cli::WorkerOptions& workers) {
  if (auto writable = cli::check_writable(o.json_file); !writable) return writable;
  const auto started = workers.start();
  if (!started) return started.error();
  Result<Study> study = prepare(o, *started);
  if (!study) return study.error();
  std::vector<Window> windows = o.rolling ? perplexity::rolling(study->tokens, o.context)
                                          : perplexity::halves(study->tokens, o.context);
  windows.resize(std::min(o.windows, windows.size()));
  cli::Progress progress("scoring");
  for (std::size_t i = 0; i < windows.size(); ++i) {
    if (Result<void> scored = score_window(*study, windows[i]); !scored) return scored;
    progress.update(i + 1, windows.size());
  }
  if (!std::isfinite(study->loss.mean())) {
    return Error{ErrorCode::malformed, o.model + ": gives logits that are not finite"};
  }
  nlohmann::ordered_json json = report_loss(o, *study);
  if (study->reference) json.update(report_divergence(o, *study));
  return cli::write_json(o.json_file, json);
}

void add_options(CLI::App& app, Options& o) {
  app.add_option("MODEL", o.model, cli::kModelHelp)->required();
  app.add_option("TEXT", o.text, "The text, a file in UTF-8")->required();
  app.add_option("--context", o.context, "Tokens of a window")
      ->default_str("512; 2048 with --rolling")
      ->transform(cli::whole(4, 1 << 20));
  auto* windows = app.add_option("--windows", o.windows, "Use so many windows of the text at most")
                      ->default_str("all")
                      ->transform(cli::whole(1));
  app.add_flag("--rolling", o.rolling,
               "Score every token, and tell the perplexity of words and bytes, too, as\n"
               "lm-evaluation-harness does for a text")
      ->excludes(windows);
  o.weights.add(app);
  o.loading.add(app);
  cli::add_state(app, o.state);
  cli::add_kv(app, o.kv);
  app.add_option("--batch", o.batch,
                 "Tokens to read at a time; 1: one by one, as text is written. Rounding differs")
      ->capture_default_str()
      ->transform(cli::whole(1, 4096));
  auto* reference = app.add_option(
      "--reference", o.reference, "Compare the predictions with this model's; may be MODEL itself");
  app.add_option("--reference-weights", o.reference_weights, "Precision of its weights")
      ->capture_default_str()
      ->needs(reference)
      ->check(CLI::IsMember(cli::kWeights));
  app.add_option("--json", o.json_file, "Write the result to this file as JSON");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Measures how well a model predicts a text: the perplexity over the second halves of\n"
      "windows of the text, each from an empty state, as llama.cpp measures it. With --reference\n"
      "also how far its predictions are from another model's, or from its own in full precision:\n"
      "the KL divergence, which tells small losses long before the perplexity does.");
  Options options;
  cli::WorkerOptions workers;
  add_options(app, options);
  workers.add(app);
  app.footer(
      "Examples:\n"
      "  mamba2-perplexity examples/models/llama-tales-14m book.txt\n"
      "  mamba2-perplexity model book.txt --weights int8 --reference model\n"
      "  mamba2-perplexity model book.txt --state fp16 --reference model --context 4096 --batch 1\n"
      "  mamba2-perplexity model book.txt --rolling\n"
      "Exit status: 0 done, 1 something failed, 2 wrong usage.");
  return cli::run(app, argc, argv, [&] {
    if (options.context == 0) options.context = options.rolling ? 2048 : 512;
    return run(options, workers);
  });
}
