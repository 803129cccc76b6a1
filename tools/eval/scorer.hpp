// SPDX-License-Identifier: Apache-2.0
// Scores many continuations at a time.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <mamba2/kernels/activations.hpp>
#include <mamba2/kernels/simd.hpp>
#include <mamba2/mamba2.hpp>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "tools/eval/encode.hpp"

namespace eval {

/// The largest of the logits.
[[nodiscard]] inline float largest(std::span<const float> logits) {
  using mamba2::kernels::Floats;
  using mamba2::kernels::kLanes;
  float top = logits.front();
  std::size_t i = 0;
  if (logits.size() >= kLanes) {
    Floats most = mamba2::kernels::load(logits.data());
    for (; i + kLanes <= logits.size(); i += kLanes) {
      const Floats some = mamba2::kernels::load(&logits[i]);
      most = xsimd::select(some > most, some, most);
    }
    std::array<float, kLanes> lanes;
    mamba2::kernels::store(most, lanes.data());
    top = std::ranges::max(lanes);
  }
  for (; i < logits.size(); ++i) top = std::max(top, logits[i]);
  return top;
}

/// log(sum(exp(logits))), all of which are at most `top`.
[[nodiscard]] inline double log_sum_exp(std::span<const float> logits, float top) {
  using mamba2::kernels::Floats;
  using mamba2::kernels::kLanes;
  // In double as soon as a few are added up.
  constexpr std::size_t kBlock = 16 * kLanes;
  double sum = 0.0;
  std::size_t i = 0;
  for (; i + kBlock <= logits.size(); i += kBlock) {
    Floats block(0.0F);
    for (std::size_t k = 0; k < kBlock; k += kLanes) {
      block += mamba2::kernels::exp(mamba2::kernels::load(&logits[i + k]) - Floats(top));
    }
    sum += static_cast<double>(mamba2::kernels::sum(block));
  }
  for (; i < logits.size(); ++i) sum += std::exp(static_cast<double>(logits[i] - top));
  return static_cast<double>(top) + std::log(sum);
}

/// The score of one token by the logits of its place; of the most likely ones, the first is it.
[[nodiscard]] inline Score score_token(std::span<const float> logits, Token token) {
  const float top = largest(logits);
  const auto place = logits.begin() + token;
  return {static_cast<double>(*place) - log_sum_exp(logits, top),
          std::find(logits.begin(), place + 1, top) == place};
}

struct ScorerOptions {
  std::size_t sequences = 16;  ///< so many contexts at a time, and so many continuations
  bool share = true;           ///< else every text is read by itself and in one piece
  mamba2::StatePrecision state = mamba2::StatePrecision::fp32;
  mamba2::KvPrecision kv = mamba2::KvPrecision::fp16;
  std::size_t context = 2048;  ///< tokens of a text at most
};

/// Reads contexts, each once for all that follow it, and continuations from copies of their states;
/// as many sequences go through the weights at a time as there are. What a request scores does not
/// depend on the others.
class Scorer {
 public:
  /// Errors: those of Batch::create and State::create.
  [[nodiscard]] static Result<Scorer> create(const mamba2::AnyModel& model,
                                             const ScorerOptions& options,
                                             std::shared_ptr<mamba2::Executor> executor) {
    auto batch = model.batch({.tokens = 512, .workers = {.executor = executor}});
    if (!batch) return std::move(batch).error();
    auto empty =
        mamba2::State::create(model.config(), {options.state, options.kv, options.context});
    if (!empty) return std::move(empty).error();
    return Scorer(*std::move(batch), *std::move(empty), options, std::move(executor));
  }

  [[nodiscard]] const mamba2::Config& config() const { return batch_.config(); }

  /// What it reads with, and memory for so many states: for others, between two calls of score().
  [[nodiscard]] mamba2::AnyBatch& batch() { return batch_; }
  [[nodiscard]] std::span<mamba2::State> states(std::size_t count) {
    contexts_.resize(std::max(count, contexts_.size()), empty_);
    return std::span(contexts_).first(count);
  }
  [[nodiscard]] std::size_t sequences() const { return options_.sequences; }

  /// Fills in the scores. Requests with the same context are best neighbours.
  [[nodiscard]] Result<void> score(std::span<Request> requests) {
    Result<void> scored;
    while (!requests.empty() && scored) {
      const std::size_t count = options_.share ? fitting(requests) : 1;
      scored = options_.share ? score_shared(requests.first(count)) : score_whole(requests.front());
      requests = requests.subspan(count);
    }
    return scored;
  }

 private:
  /// Tokens of a sequence whose logits are kept at a time: what it reads in a pass.
  static constexpr std::size_t kPiece = 192;

  /// A request, and the number of its context; the last one that needs the context's state takes it
  /// instead of a copy.
  struct Fork {
    Request* request;
    std::size_t context;
    bool is_last = false;
  };

  Scorer(mamba2::AnyBatch batch, mamba2::State empty, const ScorerOptions& options,
         std::shared_ptr<mamba2::Executor> executor)
      : batch_(std::move(batch)),
        empty_(std::move(empty)),
        options_(options),
        executor_(std::move(executor)) {}

  /// How many of the requests have no more contexts together than may be read at a time.
  [[nodiscard]] std::size_t fitting(std::span<const Request> requests) const {
    std::size_t contexts = 1;
    for (std::size_t i = 1; i < requests.size(); ++i) {
      if (requests[i].context != requests[i - 1].context) ++contexts;
      if (contexts > options_.sequences) return i;
    }
    return requests.size();
  }

  [[nodiscard]] Result<void> score_shared(std::span<Request> requests) {
    std::vector<Fork> forks;
    std::size_t contexts = 0;
    for (std::size_t i = 0; i < requests.size(); ++i) {
      if (i == 0 || requests[i].context != requests[i - 1].context) ++contexts;
      forks.push_back({&requests[i], contexts - 1, false});
    }
    if (Result<void> read = read_contexts(forks, contexts); !read) return read;
    std::erase_if(forks, [](const Fork& fork) { return fork.request->continuation.size() == 1; });
    // Products of about as many tokens are best neighbours.
    std::ranges::stable_sort(forks, {},
                             [](const Fork& f) { return f.request->continuation.size(); });
    std::vector<Fork*> last(contexts, nullptr);
    for (Fork& fork : forks) last[fork.context] = &fork;
    for (Fork* fork : last) {
      if (fork != nullptr) fork->is_last = true;
    }
    for (std::size_t i = 0; i < forks.size(); i += options_.sequences) {
      const std::size_t count = std::min(options_.sequences, forks.size() - i);
      Result<void> read = read_continuations(std::span<const Fork>(forks).subspan(i, count));
      if (!read) return read;
    }
    return {};
  }

  /// Leaves the states of the contexts in contexts_, and scores the first tokens of continuations.
  [[nodiscard]] Result<void> read_contexts(std::span<const Fork> forks, std::size_t count) {
    contexts_.resize(std::max(count, contexts_.size()), empty_);
    std::vector<mamba2::Reading> readings(count);
    const std::span<float> logits = rows(count);
    for (const Fork& fork : forks) {
      mamba2::State& state = contexts_[fork.context];
      state.reset();
      readings[fork.context] = {&state, fork.request->context, row(logits, fork.context)};
    }
    if (Result<void> read = batch_.prefill(readings); !read) return read;
    executor_->run(forks.size(), [&](std::size_t i) {
      Request& request = *forks[i].request;
      request.score = score_token(row(logits, forks[i].context), request.continuation.front());
    });
    return {};
  }

  /// Scores the other tokens.
  [[nodiscard]] Result<void> read_continuations(std::span<const Fork> forks) {
    forks_.resize(std::max(forks.size(), forks_.size()), empty_);
    executor_->run(forks.size(), [&](std::size_t i) {
      if (!forks[i].is_last) forks_[i] = contexts_[forks[i].context];
    });
    std::size_t longest = 0;
    for (const Fork& fork : forks) {
      longest = std::max(longest, fork.request->continuation.size() - 1);
    }
    Result<void> read;
    for (std::size_t begin = 0; begin < longest && read; begin += kPiece) {
      read = read_pieces(forks, begin);
    }
    return read;
  }

  /// As many tokens of each as memory for logits is taken for at a time, from the begin'th on.
  [[nodiscard]] Result<void> read_pieces(std::span<const Fork> forks, std::size_t begin) {
    const std::size_t size = config().vocab_size;
    const auto count = [begin](const Fork& fork) {
      const std::size_t all = fork.request->continuation.size() - 1;
      return std::min(kPiece, all - std::min(all, begin));
    };
    std::size_t total = 0;
    for (const Fork& fork : forks) total += count(fork);
    const std::span<float> logits = rows(total);
    std::vector<mamba2::Reading> readings;
    std::vector<Token> targets;
    for (std::size_t i = 0; i < forks.size(); ++i) {
      const std::size_t read = count(forks[i]);
      if (read == 0) continue;
      const std::span<const Token> tokens = forks[i].request->continuation;
      mamba2::State& state = forks[i].is_last ? contexts_[forks[i].context] : forks_[i];
      readings.push_back({&state, tokens.subspan(begin, read),
                          logits.subspan(targets.size() * size, read * size)});
      const auto next = tokens.subspan(begin + 1, read);
      targets.insert(targets.end(), next.begin(), next.end());
    }
    if (Result<void> read = batch_.prefill(readings); !read) return read;
    const std::vector<Score> scores = score_rows(logits, targets);
    auto next = scores.begin();
    for (const Fork& fork : forks) {
      for (std::size_t i = 0; i < count(fork); ++i) add(*next++, fork.request->score);
    }
    return {};
  }

  /// The text of a request in one piece.
  [[nodiscard]] Result<void> score_whole(Request& request) {
    std::vector<Token> tokens = request.context;
    tokens.insert(tokens.end(), request.continuation.begin(), request.continuation.end() - 1);
    const std::span<float> logits = rows(request.continuation.size());
    contexts_.resize(std::max<std::size_t>(1, contexts_.size()), empty_);
    contexts_.front().reset();
    const mamba2::Reading reading = {&contexts_.front(), tokens, logits};
    if (Result<void> read = batch_.prefill(std::span(&reading, 1)); !read) return read;
    request.score = {};
    for (const Score& score : score_rows(logits, request.continuation)) add(score, request.score);
    return {};
  }

  [[nodiscard]] std::vector<Score> score_rows(std::span<const float> logits,
                                              std::span<const Token> targets) const {
    std::vector<Score> scores(targets.size());
    executor_->run(targets.size(),
                   [&](std::size_t i) { scores[i] = score_token(row(logits, i), targets[i]); });
    return scores;
  }

  static void add(const Score& token, Score& all) {
    all.log_likelihood += token.log_likelihood;
    all.is_greedy = all.is_greedy && token.is_greedy;
  }

  /// Memory for so many rows of logits.
  [[nodiscard]] std::span<float> rows(std::size_t count) {
    logits_.resize(std::max(logits_.size(), count * config().vocab_size));
    return std::span(logits_).first(count * config().vocab_size);
  }
  template <class Element>
  [[nodiscard]] std::span<Element> row(std::span<Element> logits, std::size_t i) const {
    return logits.subspan(i * config().vocab_size, config().vocab_size);
  }

  mamba2::AnyBatch batch_;
  mamba2::State empty_;
  ScorerOptions options_;
  std::shared_ptr<mamba2::Executor> executor_;
  std::vector<mamba2::State> contexts_;
  std::vector<mamba2::State> forks_;
  std::vector<float> logits_;
};

}  // namespace eval
