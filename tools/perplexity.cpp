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

#include "cli.hpp"
#include "score.hpp"
#include "weights.hpp"

namespace {

using mamba2::Error;
using mamba2::ErrorCode;
using mamba2::Result;
using mamba2::Token;

struct Options {
  std::string model, text, json_file;
  std::string reference;  ///< a model, or empty
  cli::WeightsOption weights = {.usual = std::string(mamba2::Fp32::name)};
  std::string reference_weights = std::string(mamba2::Fp32::name);
  mamba2::StatePrecision state = mamba2::StatePrecision::fp32;
  std::size_t context = 512;
  std::size_t windows = std::numeric_limits<std::size_t>::max();
  std::size_t batch = mamba2::SessionOptions().prefill_batch;
};

/// A model with weights of any policy.
class Predictor {
 public:
  Predictor() = default;
  Predictor(const Predictor&) = delete;
  Predictor& operator=(const Predictor&) = delete;
  virtual ~Predictor() = default;
  [[nodiscard]] virtual const mamba2::Config& config() const = 0;
  /// The logits after each token of the second half of a window, (half, vocab_size), valid until
  /// the next call.
  [[nodiscard]] virtual Result<std::span<const float>> predict(std::span<const Token> window) = 0;
};

template <class WeightT>
class ModelPredictor final : public Predictor {
 public:
  explicit ModelPredictor(mamba2::Session<WeightT> session) : session_(std::move(session)) {}

  const mamba2::Config& config() const override { return session_.config(); }

  Result<std::span<const float>> predict(std::span<const Token> window) override {
    const std::size_t half = window.size() / 2;
    logits_.resize((window.size() - half) * config().vocab_size);
    session_.reset();
    if (const auto read = session_.prefill(window.first(half)); !read) return read.error();
    if (const auto read = session_.prefill(window.subspan(half), logits_); !read) {
      return read.error();
    }
    return std::span<const float>(logits_);
  }

 private:
  mamba2::Session<WeightT> session_;
  std::vector<float> logits_;
};

Result<std::unique_ptr<Predictor>> open_model(const std::string& path, const std::string& weights,
                                              const mamba2::SessionOptions& options) {
  std::unique_ptr<Predictor> predictor;
  const Result<void> opened = cli::with_weights(weights, [&]<class WeightT>() -> Result<void> {
    cli::Progress progress("loading");
    const auto model = mamba2::Mamba2Model<WeightT>::load(
        path, {.workers = options.workers,
               .progress = [&](std::size_t done, std::size_t all) { progress.update(done, all); }});
    if (!model) return model.error();
    auto session = model->session(options);
    if (!session) return session.error();
    predictor = std::make_unique<ModelPredictor<WeightT>>(*std::move(session));
    return {};
  });
  if (!opened) return opened.error();
  return predictor;
}

/// The models to compare, the text, and what is found.
struct Study {
  std::unique_ptr<Predictor> model;
  std::unique_ptr<Predictor> reference;  ///< or nullptr
  mamba2::Tokenizer tokenizer;
  std::vector<Token> tokens;
  cli::Loss loss;
  cli::Loss reference_loss;
  cli::Divergence divergence;
};

Result<Study> prepare(const Options& o, const mamba2::Workers& workers) {
  constexpr std::size_t kMaxBytes = std::size_t{1} << 30;
  const Result<std::string> text = mamba2::read_text_file(o.text, kMaxBytes);
  if (!text) return text.error();
  auto tokenizer = mamba2::Tokenizer::load(o.model);
  if (!tokenizer) return std::move(tokenizer).error();
  auto model = open_model(o.model, o.weights.of(o.model),
                          {.prefill_batch = o.batch, .state = o.state, .workers = workers});
  if (!model) return std::move(model).error();
  const mamba2::Config& config = (*model)->config();
  if (const auto fits = mamba2::detail::usable_tokens(*tokenizer, config); !fits) {
    return fits.error();
  }
  Study study{.model = *std::move(model),
              .reference = nullptr,
              .tokenizer = *std::move(tokenizer),
              .tokens = {},
              .loss = {},
              .reference_loss = {},
              .divergence = {}};
  study.tokens = study.tokenizer.encode(*text);
  if (study.tokens.size() < o.context) {
    return Error{ErrorCode::invalid_argument,
                 o.text + ": must have at least " + std::to_string(o.context) +
                     " tokens (--context), found " + std::to_string(study.tokens.size())};
  }
  if (o.reference.empty()) return study;
  auto reference = open_model(o.reference, o.reference_weights, {.workers = workers});
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

/// One window: the first half is context, the tokens of the second half are scored but for the
/// first, which the first half predicts: as llama.cpp counts.
Result<void> score_window(Study& study, std::span<const Token> window) {
  const std::size_t half = window.size() / 2;
  const std::size_t vocab_size = study.model->config().vocab_size;
  const auto logits = study.model->predict(window);
  if (!logits) return logits.error();
  Result<std::span<const float>> expected = std::span<const float>();
  if (study.reference) expected = study.reference->predict(window);
  if (!expected) return expected.error();
  for (std::size_t i = half; i + 1 < window.size(); ++i) {
    const auto next = static_cast<std::size_t>(window[i + 1]);
    const std::size_t bytes = study.tokenizer.token_bytes(window[i + 1]).size();
    const auto score = [&](std::span<const float> all, cli::Loss& loss) {
      const auto row = all.subspan((i - half) * vocab_size, vocab_size);
      loss.add(cli::log_sum_exp(row) - static_cast<double>(row[next]), bytes);
      return row;
    };
    const auto q = score(*logits, study.loss);
    if (study.reference) {
      study.divergence.add(score(*expected, study.reference_loss), q, next);
    }
  }
  return {};
}

Result<void> run(const Options& o, const cli::WorkerOptions& workers) {
  if (auto writable = cli::check_writable(o.json_file); !writable) return writable;
  const auto started = workers.start();
  if (!started) return started.error();
  Result<Study> study = prepare(o, *started);
  if (!study) return study.error();
  const std::size_t windows = std::min(o.windows, study->tokens.size() / o.context);
  cli::Progress progress("scoring");
  for (std::size_t w = 0; w < windows; ++w) {
    const auto window = std::span(study->tokens).subspan(w * o.context, o.context);
    if (Result<void> scored = score_window(*study, window); !scored) return scored;
    progress.update(w + 1, windows);
  }
  const cli::Loss& loss = study->loss;
  if (!std::isfinite(loss.mean())) {
    return mamba2::Error{mamba2::ErrorCode::malformed,
                         o.model + ": gives logits that are not finite"};
  }
  std::printf("perplexity %.4f +- %.4f, %.4f nats per token, %.4f bits per byte, %zu tokens\n",
              loss.perplexity(), loss.standard_error(), loss.mean(), loss.bits_per_byte(),
              loss.tokens());
  nlohmann::ordered_json json = {{"model", o.model},
                                 {"text", o.text},
                                 {"weights", o.weights.of(o.model)},
                                 {"state", cli::name(o.state)},
                                 {"context", o.context},
                                 {"batch", o.batch},
                                 {"tokens", loss.tokens()},
                                 {"perplexity", loss.perplexity()},
                                 {"perplexity_stderr", loss.standard_error()},
                                 {"nats_per_token", loss.mean()},
                                 {"bits_per_byte", loss.bits_per_byte()}};
  if (study->reference) {
    const cli::Divergence& d = study->divergence;
    std::printf(
        "reference's perplexity %.4f; KL divergence from it: mean %.3g, median %.3g, 99th "
        "percentile "
        "%.3g, most %.3g nats; same most likely token %.2f %%; probability of the token that came: "
        "RMS change %.2f %%\n",
        study->reference_loss.perplexity(), d.kl_mean(), d.kl_quantile(0.5), d.kl_quantile(0.99),
        d.kl_quantile(1.0), 100.0 * d.same_top1(), 100.0 * d.rms_change());
    json.update({{"reference", o.reference},
                 {"reference_weights", o.reference_weights},
                 {"reference_perplexity", study->reference_loss.perplexity()},
                 {"kl_mean", d.kl_mean()},
                 {"kl_median", d.kl_quantile(0.5)},
                 {"kl_p99", d.kl_quantile(0.99)},
                 {"kl_max", d.kl_quantile(1.0)},
                 {"same_top1", d.same_top1()},
                 {"rms_change", d.rms_change()}});
  }
  return cli::write_json(o.json_file, json);
}

void add_options(CLI::App& app, Options& o) {
  app.add_option("MODEL", o.model,
                 "Folder with config.json, *.safetensors and tokenizer.json, or GGUF file")
      ->required();
  app.add_option("TEXT", o.text, "The text, a file in UTF-8")->required();
  app.add_option("--context", o.context, "Tokens of a window")
      ->capture_default_str()
      ->check(CLI::Range(4, 1 << 20));
  app.add_option("--windows", o.windows, "Use so many windows of the text at most")
      ->default_str("all")
      ->transform(cli::kWhole)
      ->check(CLI::PositiveNumber);
  o.weights.add(app);
  cli::add_state(app, o.state);
  app.add_option("--batch", o.batch,
                 "Tokens to read at a time; 1: one by one, as text is written. Rounding differs")
      ->capture_default_str()
      ->check(CLI::Range(1, 4096));
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
      "  mamba2-perplexity examples/models/tales-14m book.txt\n"
      "  mamba2-perplexity model book.txt --weights int8 --reference model\n"
      "  mamba2-perplexity model book.txt --state fp16 --reference model --context 4096 --batch 1\n"
      "Exit status: 0 done, 1 something failed, 2 wrong usage.");
  return cli::run(app, argc, argv, [&] { return run(options, workers); });
}
