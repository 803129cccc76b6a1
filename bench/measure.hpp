// SPDX-License-Identifier: Apache-2.0
// Measures how fast a model decodes and prefills, beside what the machine could do meanwhile.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <mamba2/mamba2.hpp>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "bench/loaded_model.hpp"
#include "bench/operations.hpp"
#include "bench/report.hpp"
#include "bench/roof.hpp"
#include "bench/slices.hpp"
#include "tools/cli.hpp"

namespace bench {

/// How fast one model with weights of a plan is.
class Measurement {
 public:
  Measurement(const Request& request, const mamba2::Plan& plan)
      : request_(request), model_(request, plan) {}

  /// Errors: those of loading.
  [[nodiscard]] mamba2::Result<void> load() { return model_.load(); }
  /// After load().
  [[nodiscard]] const mamba2::AnyModel& model() const { return *model_; }
  [[nodiscard]] std::string name() const { return model_.name(); }

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
      mamba2::SessionOptions options = model_.session_options();
      options.workers = {.executor = threads->executor};
      return work(*threads, options);
    };
    for (std::size_t i = 0; i < request_.threads.size() && outcome; ++i) {
      std::thread([&] { outcome = cli::guarded([&] { return on(request_.threads[i]); }); }).join();
    }
    return outcome;
  }

 private:
  using Session = mamba2::AnySession;
  using Tokens = std::span<const mamba2::Token>;

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

    Row row = model_.describe("decode", threads);
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
    auto empty = mamba2::State::create(model_->config(), model_.session_options().state_options());
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

    Row row = model_.describe("batch", threads);
    row.sequences = sequences;
    row.memory_required =
        std::max(model_.memory_required(), row.weight_bytes + sequences * row.state_bytes +
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
    const mamba2::StateLayout layout(model_->config(), model_.session_options().state_options());
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

    Row row = model_.describe("prefill", threads);
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
    const auto head = static_cast<double>(model_.head_bytes());
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
    Slice before = model_.roof(threads, operations, expected);
    for (std::size_t i = 0; i < request_.repeat; ++i) {
      const auto [time, finite] = work(i);
      if (!finite) {
        return mamba2::Error{mamba2::ErrorCode::malformed,
                             request_.model + ": gives logits that are not finite"};
      }
      const Slice after = model_.roof(threads, operations, expected);
      slices.push_back({time, (before.bytes_per_s + after.bytes_per_s) / 2.0,
                        (before.operations_per_s + after.operations_per_s) / 2.0});
      before = after;
      progress.update(i + 1, request_.repeat);
    }
    return slices;
  }

  void summarize(const std::vector<Slice>& slices, const Operations& operations, Row& row) const {
    bench::summarize(slices, operations, row);
    row.peak_rss = model_.baseline_rss() == 0 ? 0 : cli::peak_memory();
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
  LoadedModel model_;
};

}  // namespace bench
