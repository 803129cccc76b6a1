// SPDX-License-Identifier: Apache-2.0
// Measures how fast a model decodes and prefills, beside what the machine could do meanwhile.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <mamba2/mamba2.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "bench/machine.hpp"
#include "bench/operations.hpp"
#include "bench/random_weights.hpp"
#include "bench/report.hpp"
#include "bench/roof.hpp"
#include "bench/slices.hpp"
#include "tools/cli.hpp"
#include "tools/shapes.hpp"
#include "tools/weights.hpp"

namespace bench {

/// One model with weights of a plan.
class Measurement {
 public:
  Measurement(const Request& request, const mamba2::Plan& plan) : request_(request), plan_(plan) {}

  /// Error: those of loading.
  [[nodiscard]] mamba2::Result<void> load() {
    // The peak is that of everything before, where it cannot be reset.
    if (reset_peak_memory()) baseline_rss_ = cli::peak_memory();
    mamba2::Result<void> loaded;
    const double time = seconds([&] { loaded = make_model(); });
    load_s_ = request_.random ? 0.0 : time;
    return loaded;
  }

  /// Calls sink(row) for every row. In a thread of its own for each number of threads, because that
  /// thread's CPUs are chosen to fit. Errors: those of sessions and threads.
  template <class Sink>
  [[nodiscard]] mamba2::Result<void> run(Sink sink) {
    return on_threads([&](const Threads& threads, const mamba2::SessionOptions& options) {
      return run_on(threads, options, sink);
    });
  }

  /// The same for other measurements: work(threads, options of sessions).
  template <class Work>
  [[nodiscard]] mamba2::Result<void> on_threads(Work work) {
    mamba2::Result<void> outcome;
    const auto on = [&](std::size_t count) -> mamba2::Result<void> {
      const auto threads = Threads::create(count, request_.cpus);
      if (!threads) return threads.error();
      mamba2::SessionOptions options = session_options();
      options.workers = {.executor = threads->executor};
      return work(*threads, options);
    };
    for (std::size_t i = 0; i < request_.threads.size() && outcome; ++i) {
      std::thread([&] { outcome = cli::guarded([&] { return on(request_.threads[i]); }); }).join();
    }
    return outcome;
  }

  /// After load().
  [[nodiscard]] const mamba2::AnyModel& model() const { return *model_; }
  /// "llama-tales-14m" for the folder examples/models/llama-tales-14m/.
  [[nodiscard]] std::string name() const {
    if (request_.random) return request_.model;
    std::filesystem::path path = std::filesystem::absolute(request_.model).lexically_normal();
    if (!path.has_filename()) path = path.parent_path();
    return path.filename().string();
  }

 private:
  using Session = mamba2::AnySession;
  using Tokens = std::span<const mamba2::Token>;

  [[nodiscard]] mamba2::SessionOptions session_options() const {
    return {.state = request_.state, .kv = request_.kv, .context = request_.room()};
  }

  [[nodiscard]] mamba2::Result<void> make_model() {
    auto weights = request_.random ? random_weights_of_shape() : weights_of_file();
    if (!weights) return std::move(weights).error();
    packed_ = {weights->arena.data(), weights->arena.size()};
    mamba2::all_matrices(*weights, [&](const mamba2::Slot& slot, const mamba2::Matrix& m) {
      if (slot.role == mamba2::Role::matrix) format_ = m.format;
    });
    head_bytes_ = weights->lm_head.bytes();
    model_ = mamba2::AnyModel::from_weights(*std::move(weights));
    return {};
  }

  [[nodiscard]] mamba2::Result<mamba2::Weights> random_weights_of_shape() {
    const mamba2::Config config = cli::config_of_shape(request_.model);
    memory_required_ =
        mamba2::memory_required(mamba2::Weights::planned(config, plan_), session_options()).peak();
    return random_weights(config, plan_);
  }

  [[nodiscard]] mamba2::Result<mamba2::Weights> weights_of_file() {
    const auto checkpoint = mamba2::Checkpoint::open(request_.model);
    if (!checkpoint) return checkpoint.error();
    memory_required_ =
        mamba2::memory_required(mamba2::plan_weights(*checkpoint, plan_), session_options()).peak();
    auto pool = mamba2::ThreadPool::create(
        {.threads = std::ranges::max(request_.threads), .cpus = request_.cpus});
    if (!pool) return std::move(pool).error();
    cli::Progress progress("loading");
    return mamba2::load_weights(
        *checkpoint, plan_,
        {.workers = {.executor = *std::move(pool)},
         .progress = [&](std::size_t done, std::size_t total) { progress.update(done, total); }});
  }

  template <class Sink>
  [[nodiscard]] mamba2::Result<void> run_on(const Threads& threads,
                                            const mamba2::SessionOptions& options, Sink& sink) {
    for (const std::size_t sequences : request_.batch) {
      const auto row = decode_batch(sequences, threads);
      if (!row) return row.error();
      sink(*row);
    }
    for (const bool decoding : {true, false}) {
      if ((decoding ? request_.decode : request_.prefill) == 0) continue;
      auto session = model_->session(options);
      if (!session) return std::move(session).error();
      const auto row = decoding ? decode(*session, threads) : prefill(*session, threads);
      if (!row) return row.error();
      sink(*row);
    }
    return {};
  }

  [[nodiscard]] mamba2::Result<Row> decode(Session& session, const Threads& threads) {
    const std::vector<mamba2::Token> context = random_tokens(request_.context);
    const std::vector<mamba2::Token> tokens =
        random_tokens(std::max(request_.decode, request_.repeat));
    if (!context.empty()) {
      cli::Progress progress("reading the context");
      constexpr std::size_t kPiece = 384;
      for (std::size_t done = 0; done < context.size(); done += kPiece) {
        const auto piece = Tokens(context).subspan(done);
        const auto read = session.prefill(piece.first(std::min(kPiece, piece.size())));
        if (!read) return read.error();
        progress.update(std::min(done + kPiece, context.size()), context.size());
      }
    }
    // Whatever happens only once; and then how long a token takes.
    for (std::size_t i = 0; i < 2; ++i) {
      const auto warm = session.decode(tokens.front());
      if (!warm) return warm.error();
    }
    const double once = seconds([&] { static_cast<void>(session.decode(tokens.front())); });
    const double expected = once * static_cast<double>(tokens.size() / request_.repeat);

    Row row = describe("decode", threads);
    row.tokens = tokens.size();
    row.context = request_.context;
    const std::size_t seen = request_.context + tokens.size() / 2;  // on average
    const Operations operations = decode_operations(model_->config(), seen);
    const auto slices = slice(threads, row, operations, expected, [&](std::size_t i) {
      const auto part = [&](std::size_t n) { return tokens.size() * n / request_.repeat; };
      const auto some = Tokens(tokens).subspan(part(i), part(i + 1) - part(i));
      bool finite = true;
      const double time = seconds([&] {
        for (const mamba2::Token token : some) finite &= is_finite(session.decode(token));
      });
      return std::pair(time / static_cast<double>(some.size()), finite);
    });
    if (!slices) return slices.error();
    row.bytes_per_token =
        static_cast<double>(model_->bytes_per_token(request_.state, request_.kv, seen));
    summarize(*slices, operations, row);
    row.share = spread(*slices, [&](const Slice& s) {
      return row.bytes_per_token / s.bytes_per_s / s.seconds_per_token;
    });
    return row;
  }

  /// Many sequences decode a token each at a time.
  [[nodiscard]] mamba2::Result<Row> decode_batch(std::size_t sequences, const Threads& threads) {
    auto batch = model_->batch({.tokens = sequences, .workers = {.executor = threads.executor}});
    if (!batch) return std::move(batch).error();
    auto empty = mamba2::State::create(model_->config(), session_options().state_options());
    if (!empty) return std::move(empty).error();
    std::vector<mamba2::State> states(sequences, *empty);
    const std::vector<mamba2::Token> tokens = random_tokens(sequences);
    const std::size_t vocab_size = model_->config().vocab_size;
    std::vector<float> logits(sequences * vocab_size);
    std::vector<mamba2::Reading> readings;
    for (std::size_t i = 0; i < sequences; ++i) {
      const auto row = std::span(logits).subspan(i * vocab_size, vocab_size);
      readings.push_back({&states[i], Tokens(tokens).subspan(i, 1), row});
    }
    const auto step = [&] { return batch->prefill(readings) && std::isfinite(logits.back()); };
    for (std::size_t i = 0; i < 2; ++i) step();
    const std::size_t steps =
        std::max<std::size_t>(1, request_.batch_tokens / sequences / request_.repeat);
    const double once = seconds([&] { step(); });

    Row row = describe("batch", threads);
    row.sequences = sequences;
    row.memory_required =
        std::max(memory_required_, row.weight_bytes + sequences * row.state_bytes +
                                       model_->batch_bytes({.tokens = sequences}));
    row.tokens = steps * request_.repeat * sequences;
    const Operations operations = decode_operations(model_->config(), 0);
    const double expected = once * static_cast<double>(steps);
    const auto slices = slice(threads, row, operations, expected, [&](std::size_t) {
      bool finite = true;
      const double time = seconds([&] {
        for (std::size_t i = 0; i < steps; ++i) finite &= step();
      });
      return std::pair(time / static_cast<double>(steps * sequences), finite);
    });
    if (!slices) return slices.error();
    const mamba2::StateLayout layout(model_->config(), session_options().state_options());
    const auto state = static_cast<double>(layout.moved_bytes(0));
    const auto weights = static_cast<double>(model_->bytes_of_weights(sequences));
    row.bytes_per_token = weights / static_cast<double>(sequences) + state;
    summarize(*slices, operations, row);
    row.share = spread(*slices, [&](const Slice& s) {
      return row.bytes_per_token / s.bytes_per_s / s.seconds_per_token;
    });
    return row;
  }

  [[nodiscard]] mamba2::Result<Row> prefill(Session& session, const Threads& threads) {
    const std::vector<mamba2::Token> tokens = random_tokens(request_.prefill);
    const std::size_t batch = std::min(tokens.size(), mamba2::SessionOptions().prefill_batch);
    const auto warm = session.prefill(Tokens(tokens).first(batch));
    if (!warm) return warm.error();
    const double first =
        seconds([&] { static_cast<void>(session.prefill(Tokens(tokens).first(batch))); });
    const double expected = first * static_cast<double>(tokens.size() / batch);

    Row row = describe("prefill", threads);
    row.tokens = tokens.size();
    const Operations operations = prefill_operations(model_->config(), tokens.size());
    const auto slices = slice(threads, row, operations, expected, [&](std::size_t) {
      session.reset();
      bool finite = true;
      const double time = seconds([&] { finite = is_finite(session.prefill(tokens)); });
      return std::pair(time / static_cast<double>(tokens.size()), finite);
    });
    if (!slices) return slices.error();
    row.bytes_per_token = prefill_bytes(tokens.size());
    summarize(*slices, operations, row);
    row.share = spread(*slices, [&](const Slice& s) {
      return operations.total() / s.operations_per_s / s.seconds_per_token;
    });
    return row;
  }

  /// A token's share of the memory traffic: weights and state once for every batch, the head once.
  [[nodiscard]] double prefill_bytes(std::size_t tokens) const {
    const std::size_t batch = mamba2::SessionOptions().prefill_batch;
    const auto batches = static_cast<double>((tokens + batch - 1) / batch);
    const auto head = static_cast<double>(head_bytes_);
    const auto once = static_cast<double>(model_->bytes_per_token(request_.state) +
                                          model_->bytes_of_weights(std::min(tokens, batch)) -
                                          model_->bytes_of_weights(1));
    return (batches * (once - head) + head) / static_cast<double>(tokens);
  }

  /// Calls work(i), which returns the seconds per token and whether logits are finite, for every
  /// slice, and measures the roof before and after each: a slice is compared with the mean of both.
  /// expected: the seconds of a slice.
  template <class Work>
  [[nodiscard]] mamba2::Result<std::vector<Slice>> slice(const Threads& threads, const Row& row,
                                                         const Operations& operations,
                                                         double expected, Work work) {
    cli::Progress progress(
        mamba2::detail::concat(row.weights, ", threads: ", row.threads, ", ", row.phase));
    std::vector<Slice> slices;
    Slice before = roof(threads, operations, expected);
    for (std::size_t i = 0; i < request_.repeat; ++i) {
      const auto [time, finite] = work(i);
      if (!finite) {
        return mamba2::Error{mamba2::ErrorCode::malformed,
                             request_.model + ": gives logits that are not finite"};
      }
      const Slice after = roof(threads, operations, expected);
      slices.push_back({time, (before.bytes_per_s + after.bytes_per_s) / 2.0,
                        (before.operations_per_s + after.operations_per_s) / 2.0});
      before = after;
      progress.update(i + 1, request_.repeat);
    }
    return slices;
  }

  /// The best that the threads can do now, reading the packed weights, and calculating in this
  /// mixture of operations. It takes about half as long as a slice: where others use the machine,
  /// too, both should meet about as many of them.
  [[nodiscard]] Slice roof(const Threads& threads, const Operations& operations,
                           double expected) const {
    constexpr double kLeast = 0.01;  // seconds
    const double reading = std::max(kLeast, expected / 4.0);
    const double calculating = std::max(kLeast, expected / 8.0);
    const double matrix = operations.matrix / matrix_peak(*format_, threads, calculating);
    const double floats = operations.floats / peak<FmaUnit>(threads, calculating);
    return {0.0, streaming_read(threads, packed_, reading), operations.total() / (matrix + floats)};
  }

  void summarize(const std::vector<Slice>& slices, const Operations& operations, Row& row) const {
    bench::summarize(slices, operations, row);
    row.peak_rss = baseline_rss_ == 0 ? 0 : cli::peak_memory();
  }

  [[nodiscard]] Row describe(std::string_view phase, const Threads& threads) const {
    Row row;
    row.model = name();
    row.weights = plan_.name;
    row.threads = threads.count;
    row.phase = phase;
    row.repeat = request_.repeat;
    row.state = cli::name(request_.state);
    row.load_s = load_s_;
    row.baseline_rss = baseline_rss_;
    row.memory_required = memory_required_;
    row.weight_bytes = model_->weight_bytes();
    row.state_bytes = mamba2::State::bytes(model_->config(), session_options().state_options());
    return row;
  }

  [[nodiscard]] std::vector<mamba2::Token> random_tokens(std::size_t count) const {
    std::mt19937 random(7);
    std::vector<mamba2::Token> tokens(count);
    for (mamba2::Token& token : tokens) {
      token = static_cast<mamba2::Token>(random() % model_->config().vocab_size);
    }
    return tokens;
  }

  [[nodiscard]] static bool is_finite(const mamba2::Result<std::span<const float>>& logits) {
    return logits && std::isfinite(logits->front()) && std::isfinite(logits->back());
  }

  const Request& request_;
  const mamba2::Plan& plan_;
  std::optional<mamba2::AnyModel> model_;
  std::span<const std::byte> packed_;       // the model's weights
  const mamba2::Format* format_ = nullptr;  // of the layers' matrices
  std::size_t head_bytes_ = 0;
  double load_s_ = 0.0;
  std::size_t baseline_rss_ = 0;
  std::size_t memory_required_ = 0;
};

}  // namespace bench
