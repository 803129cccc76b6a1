// SPDX-License-Identifier: Apache-2.0
// The model that is quantized, at work on a text: what the inputs of its matrices are, and what
// changes of them do to its predictions.
#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>
#include <functional>
#include <mamba2/mamba2.hpp>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tools/quantize/observe.hpp"
#include "tools/quantize/plan.hpp"

namespace quantize {

/// Told how much is done and how much there is; answers whether to go on.
using Report = std::function<bool(std::size_t done, std::size_t total)>;

[[nodiscard]] inline mamba2::Error interruption() { return {mamba2::ErrorCode::io, "interrupted"}; }

/// Tokens of a text, in windows that each start from an empty state.
struct Text {
  static constexpr std::size_t kWindow = 512;
  static constexpr std::size_t kChunk = 256;  // that the model reads at a time

  std::vector<mamba2::Token> tokens;

  /// At most `most` tokens, from all parts of the text. Errors: io, invalid_argument (too short).
  [[nodiscard]] static mamba2::Result<Text> read(const std::string& path,
                                                 const mamba2::Tokenizer& tokenizer,
                                                 std::size_t most) {
    constexpr std::size_t kMaxBytes = std::size_t{1} << 30;
    const auto text = mamba2::read_text_file(path, kMaxBytes);
    if (!text) return text.error();
    const std::vector<mamba2::Token> all = tokenizer.encode(*text);
    const std::size_t there = all.size() / kWindow;
    const std::size_t windows = std::min(there, std::max<std::size_t>(1, most / kWindow));
    if (windows == 0) {
      return mamba2::Error{mamba2::ErrorCode::invalid_argument,
                           mamba2::detail::concat(path, ": must have at least ", kWindow,
                                                  " tokens, found ", all.size())};
    }
    Text read;
    for (std::size_t w = 0; w < windows; ++w) {
      const auto first = all.begin() + static_cast<std::ptrdiff_t>(w * there / windows * kWindow);
      read.tokens.insert(read.tokens.end(), first, first + kWindow);
    }
    return read;
  }

  /// The first windows, with at most so many tokens.
  [[nodiscard]] std::span<const mamba2::Token> some(std::size_t most) const {
    const std::size_t windows = std::max<std::size_t>(1, most / kWindow);
    return std::span(tokens).first(std::min(tokens.size(), windows * kWindow));
  }
};

/// The model in FP16, whose matrices may be observed and replaced.
class ObservedModel {
 public:
  /// Errors: those of load_weights and Session.
  [[nodiscard]] static mamba2::Result<std::unique_ptr<ObservedModel>> load(
      const mamba2::Checkpoint& checkpoint, const Plan& plan, const mamba2::Workers& workers,
      const std::function<void(std::size_t, std::size_t)>& progress) {
    auto weights = mamba2::load_weights(checkpoint, mamba2::kPlan<mamba2::Fp16>,
                                        {.workers = workers, .progress = progress});
    if (!weights) return std::move(weights).error();
    auto model = std::unique_ptr<ObservedModel>(new ObservedModel(plan, *weights));
    model->executor_ = workers.executor;
    auto session = mamba2::AnyModel::from_weights(*std::move(weights))
                       .session({.prefill_batch = Text::kChunk, .workers = workers});
    if (!session) return std::move(session).error();
    model->session_ = std::make_unique<mamba2::AnySession>(*std::move(session));
    return model;
  }

  [[nodiscard]] mamba2::Executor& executor() const { return *executor_; }
  [[nodiscard]] std::size_t vocab_size() const { return session_->config().vocab_size; }

  /// The recorder of the plan's index'th matrix; nullptr if that is only an embedding.
  [[nodiscard]] InputRecorder* recorder(std::size_t index) { return matrices_[index].recorder; }

  /// Reads tokens, and calls after(done) -> Result<void> after each chunk, when the recorders that
  /// are on have its inputs. with_logits: all of them are computed, (kChunk, vocab_size).
  template <class After>
  mamba2::Result<void> read(std::span<const mamba2::Token> tokens, bool with_logits, After after) {
    if (with_logits) logits_.resize(Text::kChunk * vocab_size());
    for (std::size_t first = 0; first < tokens.size(); first += Text::kChunk) {
      if (first % Text::kWindow == 0) session_->reset();
      const auto chunk = tokens.subspan(first, Text::kChunk);
      if (with_logits) {
        if (auto read = session_->prefill(chunk, logits_); !read) return read;
      } else if (const auto read = session_->prefill(chunk); !read) {
        return read.error();
      }
      if (auto fine = after(first + chunk.size()); !fine) return fine;
    }
    return {};
  }
  [[nodiscard]] std::span<const float> logits() const { return logits_; }

  /// Replaces rows (count, cols) of the plan's index'th matrix; first: a multiple of a band's rows.
  void replace_rows(std::size_t index, std::size_t first, std::size_t count, const float* rows) {
    const mamba2::Format& format = mamba2::kFormat<mamba2::Fp16>;
    const std::size_t cols = matrices_[index].cols;
    std::vector<float> band(format.band_rows * cols);
    for (std::size_t r = 0; r < count; r += format.band_rows) {
      const std::size_t some = std::min(format.band_rows, count - r);
      std::fill(band.begin(), band.end(), 0.0F);
      std::copy_n(rows + r * cols, some * cols, band.begin());
      const std::size_t at = (first + r) / format.band_rows * format.band_bytes(cols);
      format.pack_band({band.data()}, cols, matrices_[index].bands + at);
    }
  }

 private:
  struct ObservedMatrix {
    std::byte* bands;
    std::size_t cols;
    InputRecorder* recorder;  // nullptr: of the embedding, which is in no product
  };

  ObservedModel(const Plan& plan, mamba2::Weights& weights) {
    const std::vector<Target>& targets = plan.targets();
    matrices_.resize(targets.size());
    mamba2::all_matrices(weights, [&](const mamba2::Slot& slot, mamba2::Matrix& m) {
      const Target* target = plan.find(slot.full_name());
      const bool is_multiplied = slot.role != mamba2::Role::embedding || plan.tied();
      // Inputs are to be seen as the matrix that is written will see them.
      mamba2::Matrix written = m;
      written.rotation = target->format.rotation;
      if (is_multiplied) m.format = &formats_.emplace_back(written);
      matrices_[static_cast<std::size_t>(target - targets.data())] = {
          weights.writable(m.bands), m.cols, is_multiplied ? &formats_.back().recorder : nullptr};
    });
    weights.link();
  }

  std::deque<ObservedFormat> formats_;
  std::vector<ObservedMatrix> matrices_;  // in the order of the plan
  std::shared_ptr<mamba2::Executor> executor_;
  std::unique_ptr<mamba2::AnySession> session_;
  std::vector<float> logits_;
};

}  // namespace quantize
