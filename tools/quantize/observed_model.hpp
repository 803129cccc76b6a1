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
    auto weights = mamba2::load_weights<mamba2::Observed>(
        checkpoint, {.workers = workers, .progress = progress});
    if (!weights) return std::move(weights).error();
    auto model = std::unique_ptr<ObservedModel>(new ObservedModel(plan, *weights));
    model->executor_ = workers.executor;
    auto session = mamba2::Mamba2Model<mamba2::Observed>::from_weights(*std::move(weights))
                       .session({.prefill_batch = Text::kChunk, .workers = workers});
    if (!session) return std::move(session).error();
    model->session_ = std::make_unique<mamba2::Session<mamba2::Observed>>(*std::move(session));
    return model;
  }

  [[nodiscard]] mamba2::Executor& executor() const { return *executor_; }
  [[nodiscard]] std::size_t vocab_size() const { return session_->config().vocab_size; }

  /// The recorder of the plan's index'th matrix; nullptr if that is only an embedding.
  [[nodiscard]] InputRecorder* recorder(std::size_t index) { return recorders_[index]; }

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

  /// Replaces rows (count, cols) of the plan's index'th matrix; first: a multiple of kBandRows.
  void replace_rows(std::size_t index, std::size_t first, std::size_t count, const float* rows) {
    const mamba2::Matrix<mamba2::Observed>& m = matrices_[index];
    constexpr std::size_t kBand = mamba2::Observed::kBandRows;
    std::vector<float> band(kBand * m.cols);
    for (std::size_t r = 0; r < count; r += kBand) {
      const std::size_t some = std::min(kBand, count - r);
      std::fill(band.begin(), band.end(), 0.0F);
      std::copy_n(rows + r * m.cols, some * m.cols, band.begin());
      // The arena is this model's own.
      m.pack_band({band.data()}, const_cast<std::byte*>(m.band((first + r) / kBand)));
    }
  }

 private:
  ObservedModel(const Plan& plan, mamba2::Weights<mamba2::Observed>& weights) {
    const auto observe = [this](mamba2::Matrix<mamba2::Observed>& m, std::size_t rotation) {
      m.recorder = &storage_.emplace_back(m.cols, rotation);
      recorders_.push_back(m.recorder);
      matrices_.push_back(m);
    };
    for (const Target& target : plan.targets()) {
      constexpr std::size_t kLayers = std::string_view("layers.").size();
      if (target.name == "lm_head" || (target.name == "embedding" && plan.tied())) {
        observe(weights.lm_head, 1);
      } else if (target.name == "embedding") {
        recorders_.push_back(nullptr);
        matrices_.push_back(weights.embedding);
      } else {
        auto& block = weights.blocks[std::stoul(target.name.substr(kLayers))];
        const bool is_out = target.name.ends_with("out_proj");
        observe(is_out ? block.out_proj : block.in_proj, target.format.rotation);
      }
    }
  }

  std::deque<InputRecorder> storage_;
  std::vector<InputRecorder*> recorders_;                   // in the order of the plan
  std::vector<mamba2::Matrix<mamba2::Observed>> matrices_;  // likewise
  std::shared_ptr<mamba2::Executor> executor_;
  std::unique_ptr<mamba2::Session<mamba2::Observed>> session_;
  std::vector<float> logits_;
};

}  // namespace quantize
