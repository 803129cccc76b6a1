// SPDX-License-Identifier: Apache-2.0
// What the inputs of matrices are like: mean squares, and the Hessians of GPTQ.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <mamba2/mamba2.hpp>
#include <mamba2/quantize/eigen.hpp>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "tools/quantize/observed_model.hpp"
#include "tools/quantize/plan.hpp"

namespace quantize {

/// Of one matrix' inputs X (tokens, cols).
struct InputStatistics {
  std::vector<float> squares;  ///< mean of x^2 for each column; empty: nothing is known
  std::vector<float> hessian;  ///< X^T X (cols, cols), of which the lower triangle counts; or empty
  std::size_t tokens = 0;      ///< of an expert those that chose it

  /// What the squared error of each column counts.
  [[nodiscard]] std::vector<float> importance() const {
    std::vector<float> counts = squares;
    const float mean = std::accumulate(counts.begin(), counts.end(), 0.0F) /
                       static_cast<float>(std::max<std::size_t>(1, counts.size()));
    // What a text happens not to use must not count for nothing.
    constexpr float kShare = 0.01F;
    for (float& count : counts) count += mean > 0.0F ? kShare * mean : 1.0F;
    return counts;
  }
};

/// Collects statistics as they are asked for: of as many matrices at a time as memory allows.
class Statistics {
 public:
  /// Of which matrices: all, those of 4 bits, or those and their Hessians.
  enum class Wanted : std::uint8_t { all, int4, int4_hessians };
  static constexpr std::size_t kMaxBytes = std::size_t{2} << 30;

  /// max_bytes: of statistics at a time, but for those of one matrix, which may have more.
  Statistics(ObservedModel& model, const Plan& plan, const Text& text, Wanted wanted, Report report,
             std::size_t max_bytes = kMaxBytes)
      : model_(model),
        plan_(plan),
        text_(text),
        wanted_(wanted),
        hessians_(wanted == Wanted::int4_hessians),
        report_(std::move(report)),
        max_bytes_(max_bytes),
        statistics_(plan.targets().size()) {}

  /// The statistics of the plan's index'th matrix, one of those wanted: of those that follow each
  /// other in the plan many come from one pass over the text. Valid until those of another are
  /// asked for. Errors: io (interrupted), those of Session.
  [[nodiscard]] mamba2::Result<const InputStatistics*> of(std::size_t index) {
    if (index < first_ || index >= end_) {
      if (auto collected = collect(index); !collected) return collected.error();
    }
    return static_cast<const InputStatistics*>(&statistics_[index]);
  }

 private:
  static constexpr std::size_t kTile = 128;  // columns of a task

  [[nodiscard]] std::size_t floats_of(const Target& target) const {
    return target.cols * (hessians_ ? target.cols : 1);
  }

  mamba2::Result<void> collect(std::size_t first) {
    for (auto& old : statistics_) old = {};
    first_ = first;
    std::size_t bytes = 0;
    for (end_ = first; end_ < statistics_.size(); ++end_) {
      const Target& target = plan_.targets()[end_];
      const bool is_wanted = wanted_ == Wanted::all || is_4_bits(target.format.dtype);
      if (!is_wanted || model_.recorder(end_) == nullptr) continue;
      bytes += floats_of(target) * sizeof(float);
      if (bytes > max_bytes_ && end_ > first) break;
      statistics_[end_].squares.resize(target.cols);
      if (hessians_) statistics_[end_].hessian.resize(floats_of(target));
      model_.recorder(end_)->turn(true);
    }
    bool head = false;
    for (std::size_t i = first; i < end_; ++i) {
      head |= !statistics_[i].squares.empty() && !plan_.targets()[i].name.starts_with("layers.");
    }
    auto outcome = model_.read(text_.tokens, head, [&](std::size_t done) {
      accumulate(first);
      return report_(done, text_.tokens.size()) ? mamba2::Result<void>() : interruption();
    });
    for (std::size_t i = first; i < end_; ++i) {
      if (model_.recorder(i) != nullptr) model_.recorder(i)->turn(false);
      for (float& square : statistics_[i].squares) {
        square /= static_cast<float>(std::max<std::size_t>(1, statistics_[i].tokens));
      }
    }
    return outcome;
  }

  /// Adds what the recorders have. A task is a tile of one matrix, whatever the number of threads.
  void accumulate(std::size_t first) {
    struct Tile {
      std::size_t index, column;
    };
    std::vector<Tile> tiles;
    for (std::size_t i = first; i < end_; ++i) {
      for (std::size_t k = 0; k < statistics_[i].squares.size(); k += kTile)
        tiles.push_back({i, k});
    }
    model_.executor().run(tiles.size(), [&](std::size_t task) {
      const InputRecorder& recorder = *model_.recorder(tiles[task].index);
      InputStatistics& sums = statistics_[tiles[task].index];
      const auto cols = static_cast<Eigen::Index>(recorder.cols());
      const auto k = static_cast<Eigen::Index>(tiles[task].column);
      const Eigen::Index count = std::min<Eigen::Index>(kTile, cols - k);
      using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
      const Eigen::Map<const RowMajor> X(recorder.rows(),
                                         static_cast<Eigen::Index>(recorder.tokens()), cols);
      // Token after token: Eigen 3.4 sums columns in an order that depends on where the sums lie.
      for (Eigen::Index t = 0; t < X.rows(); ++t) {
        for (Eigen::Index c = k; c < k + count; ++c) {
          sums.squares[static_cast<std::size_t>(c)] += X(t, c) * X(t, c);
        }
      }
      if (sums.hessian.empty()) return;
      Eigen::Map<RowMajor>(sums.hessian.data(), cols, cols)
          .block(k, 0, count, k + count)
          .noalias() += X.middleCols(k, count).transpose() * X.leftCols(k + count);
    });
    for (std::size_t i = first; i < end_; ++i) {
      if (model_.recorder(i) == nullptr) continue;
      statistics_[i].tokens += model_.recorder(i)->tokens();
      model_.recorder(i)->clear();
    }
  }

  ObservedModel& model_;
  const Plan& plan_;
  const Text& text_;
  Wanted wanted_;
  bool hessians_;
  Report report_;
  std::size_t max_bytes_;
  std::vector<InputStatistics> statistics_;  // those of [first_, end_) of the last pass
  std::size_t first_ = 0;
  std::size_t end_ = 0;
};

}  // namespace quantize
