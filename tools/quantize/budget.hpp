// SPDX-License-Identifier: Apache-2.0
// The precision of every matrix, chosen for the least divergence within a number of bytes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <mamba2/io/quantization.hpp>
#include <mamba2/mamba2.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tools/quantize/matrix_quantizer.hpp"
#include "tools/quantize/observed_model.hpp"
#include "tools/quantize/plan.hpp"
#include "tools/quantize/predictions.hpp"
#include "tools/quantize/statistics.hpp"

namespace quantize {

/// What a precision of a matrix would cost.
struct Choice {
  DType dtype;
  std::size_t bytes;
  double divergence;  ///< nats
};

/// The choices for one matrix, the smallest first, and the one that is taken.
struct Choices {
  std::size_t index;  ///< in the plan
  std::vector<Choice> all;
  std::size_t taken = 0;
};

/// Chooses for the least sum of divergences such that the bytes are `most` at most: the smallest of
/// all, then as long as there is room whatever saves the most divergence for each byte more.
/// Returns the bytes, which are more than `most` if the smallest do not fit.
inline std::size_t choose(std::span<Choices> matrices, std::size_t most) {
  std::size_t bytes = 0;
  for (Choices& matrix : matrices) {
    matrix.taken = 0;
    bytes += matrix.all.front().bytes;
  }
  while (bytes < most) {
    Choices* best = nullptr;
    std::size_t best_choice = 0;
    double best_gain = 0.0;
    for (Choices& matrix : matrices) {
      const Choice& now = matrix.all[matrix.taken];
      for (std::size_t c = matrix.taken + 1; c < matrix.all.size(); ++c) {
        const std::size_t more = matrix.all[c].bytes - now.bytes;
        const double gain = (now.divergence - matrix.all[c].divergence) / static_cast<double>(more);
        if (bytes + more > most || gain <= best_gain) continue;
        best = &matrix;
        best_choice = c;
        best_gain = gain;
      }
    }
    if (best == nullptr) break;
    bytes += best->all[best_choice].bytes - best->all[best->taken].bytes;
    best->taken = best_choice;
  }
  return bytes;
}

/// Measures what each matrix of a plan would cost in INT4, and estimates what it would in INT8: the
/// divergence grows with the expected squared error of the outputs.
class Sensitivity {
 public:
  /// statistics: of all matrices, for the search of scales and those errors.
  Sensitivity(const convert::ModelSource& source, ObservedModel& model, const Plan& plan,
              Predictions& predictions, Statistics& statistics)
      : source_(source),
        model_(model),
        plan_(plan),
        predictions_(predictions),
        statistics_(statistics),
        quantizer_(source, model.executor()) {}

  /// The choices for the matrices that the user has not chosen. Errors: those of Session,
  /// Statistics and MatrixQuantizer; io (interrupted).
  mamba2::Result<std::vector<Choices>> measure(const Report& report) {
    std::vector<Choices> all;
    for (std::size_t i = 0; i < plan_.targets().size(); ++i) {
      if (!plan_.targets()[i].kept) {
        auto choices = measure_matrix(i);
        if (!choices) return choices.error();
        all.push_back(*std::move(choices));
      }
      if (!report(i + 1, plan_.targets().size())) return interruption();
    }
    return all;
  }

  /// The divergence with all matrices as the plan has them now. Errors as measure.
  mamba2::Result<double> measure_plan() {
    for (std::size_t i = 0; i < plan_.targets().size(); ++i) {
      const mamba2::StoredFormat& format = plan_.targets()[i].format;
      if (!mamba2::has_scales(format.dtype)) continue;
      if (auto replaced = replace(i, format, true); !replaced) return replaced.error();
    }
    return predictions_.divergence();
  }

 private:
  mamba2::Result<Choices> measure_matrix(std::size_t index) {
    const Target& target = plan_.targets()[index];
    Choices choices{index, {}};
    const mamba2::StoredFormat coarse = plan_.format_of(target, plan_.precisions().int4);
    const auto errors = replace(index, coarse, true);
    if (!errors) return errors.error();
    const auto divergence = predictions_.divergence();
    if (!divergence) return divergence.error();
    restore(index);
    choices.all.push_back({coarse.dtype, target.bytes_as(coarse.dtype), *divergence});
    if (coarse.dtype != DType::INT8) {
      const auto fine = replace(index, plan_.format_of(target, DType::INT8), false);
      if (!fine) return fine.error();
      const double share =
          errors->weighted_errors > 0.0 ? fine->weighted_errors / errors->weighted_errors : 0.0;
      choices.all.push_back({DType::INT8, target.bytes_as(DType::INT8), *divergence * share});
    }
    choices.all.push_back({DType::F16, target.bytes_as(DType::F16), 0.0});
    return choices;
  }

  /// Quantizes a matrix; in_model: and has the model work with what comes of it.
  mamba2::Result<ErrorSums> replace(std::size_t index, const mamba2::StoredFormat& format,
                                    bool in_model) {
    const Target& target = plan_.targets()[index];
    std::vector<float> importance(target.cols, 1.0F);
    if (model_.recorder(index) != nullptr) {
      const auto statistics = statistics_.of(index);
      if (!statistics) return statistics.error();
      importance = (*statistics)->importance();
    }
    std::vector<float> values;
    return quantizer_.quantize(
        target, format, {.importance = importance}, importance, [&](const QuantizedRows& rows) {
          if (!in_model) return mamba2::Result<void>();
          values.resize(rows.count * target.cols);
          mamba2::detail::read_scaled_codes(format.dtype, rows.codes.data(), rows.scales.data(),
                                            target.cols, 0, values);
          if (format.rotation > 1) {
            mamba2::kernels::hadamard_of_weights(values.data(), values.size(), format.rotation);
          }
          model_.replace_rows(index, rows.first, rows.count, values.data());
          return mamba2::Result<void>();
        });
  }

  /// Gives the model the matrix of the original again.
  void restore(std::size_t index) {
    constexpr std::size_t kRows = 256;
    const Target& target = plan_.targets()[index];
    std::vector<float> values(kRows * target.cols);
    for (std::size_t first = 0; first < target.rows; first += kRows) {
      const std::size_t count = std::min(kRows, target.rows - first);
      const auto rows = std::span(values).first(count * target.cols);
      source_.read(target.tensor(), first * target.cols, rows);
      model_.replace_rows(index, first, count, rows.data());
    }
  }

  const convert::ModelSource& source_;
  ObservedModel& model_;
  const Plan& plan_;
  Predictions& predictions_;
  Statistics& statistics_;
  MatrixQuantizer quantizer_;
};

}  // namespace quantize
