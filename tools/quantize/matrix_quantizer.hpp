// SPDX-License-Identifier: Apache-2.0
// From a matrix of a model to codes and scales, a few megabytes at a time.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <mamba2/formats/dtype_range.hpp>
#include <mamba2/io/checked_read.hpp>
#include <mamba2/io/quantization.hpp>
#include <mamba2/mamba2.hpp>
#include <mamba2/quantize.hpp>
#include <optional>
#include <span>
#include <vector>

#include "tools/convert/copy_tensors.hpp"
#include "tools/convert/model_source.hpp"
#include "tools/quantize/plan.hpp"
#include "tools/quantize/statistics.hpp"

namespace quantize {

/// Rows of a matrix, quantized.
struct QuantizedRows {
  std::size_t first, count;
  std::span<const std::byte> codes, scales;
};

/// Squares of a matrix' values and of their errors, summed; weighted: times what each column
/// counts.
struct ErrorSums {
  double values = 0.0;
  double errors = 0.0;
  double weighted_errors = 0.0;

  [[nodiscard]] double relative() const { return values > 0.0 ? std::sqrt(errors / values) : 0.0; }
};

class MatrixQuantizer {
 public:
  MatrixQuantizer(const convert::ModelSource& source, mamba2::Executor& executor)
      : source_(source), executor_(executor) {}

  /// Quantizes a matrix to `format`, and calls take(QuantizedRows) -> Result<void> for one slab of
  /// rows after the other. weights: (cols) for ErrorSums::weighted_errors, or empty. Errors:
  /// malformed (a value that is not finite, or too large), those of take.
  template <class Take>
  mamba2::Result<ErrorSums> quantize(const Target& target, const mamba2::StoredFormat& format,
                                     const mamba2::Rounding& rounding,
                                     std::span<const float> weights, Take take) {
    const std::size_t slab = std::max<std::size_t>(1, kSlabValues / kTaskRows / target.cols);
    const std::size_t slab_rows = std::min(slab * kTaskRows, target.rows);
    convert::grow(values_, slab_rows * target.cols);
    convert::grow(codes_, mamba2::code_bytes(format.dtype, slab_rows * target.cols));
    convert::grow(scales_, mamba2::scales_bytes(format.dtype, slab_rows, target.cols));
    ErrorSums sums;
    for (std::size_t first = 0; first < target.rows; first += slab_rows) {
      const std::size_t count = std::min(slab_rows, target.rows - first);
      std::vector<Part> parts((count + kTaskRows - 1) / kTaskRows);
      executor_.run(parts.size(), [&](std::size_t i) {
        const std::size_t row = i * kTaskRows;
        parts[i] = quantize_part(target, format, rounding, weights, first, row,
                                 std::min(kTaskRows, count - row));
      });
      for (const Part& part : parts) {
        if (part.bad) return source_.bad_element(target.tensor(), format.dtype, *part.bad);
        sums.values += part.sums.values;
        sums.errors += part.sums.errors;
        sums.weighted_errors += part.sums.weighted_errors;
      }
      source_.release(target.tensor(), first * target.cols, count * target.cols);
      const QuantizedRows rows = {
          first, count,
          std::span(codes_).first(mamba2::code_bytes(format.dtype, count * target.cols)),
          std::span(scales_).first(mamba2::scales_bytes(format.dtype, count, target.cols))};
      if (auto taken = take(rows); !taken) return taken.error();
    }
    return sums;
  }

 private:
  static constexpr std::size_t kTaskRows = 16;
  static constexpr std::size_t kSlabValues = std::size_t{1} << 21;

  struct Part {
    ErrorSums sums;
    std::optional<mamba2::detail::BadElement> bad;
  };

  Part quantize_part(const Target& target, const mamba2::StoredFormat& format,
                     const mamba2::Rounding& rounding, std::span<const float> weights,
                     std::size_t slab, std::size_t row, std::size_t count) {
    const float most = mamba2::max_encodable(format.dtype);
    const std::size_t cols = target.cols;
    const std::span<float> values = std::span(values_).subspan(row * cols, count * cols);
    source_.read(target.tensor(), (slab + row) * cols, values);
    if (const auto bad =
            mamba2::detail::check_and_rotate(values, (slab + row) * cols, format.rotation, most)) {
      return {{}, bad};
    }
    std::byte* codes = &codes_[mamba2::code_bytes(format.dtype, row * cols)];
    std::byte* scales = &scales_[mamba2::scales_bytes(format.dtype, row, cols)];
    mamba2::quantize_rows(format.dtype, values.data(), count, cols, rounding, codes, scales);
    Part part;
    std::vector<float> decoded(cols);
    for (std::size_t r = 0; r < count; ++r) {
      mamba2::detail::read_scaled_codes(format.dtype, codes, scales, cols, r * cols, decoded);
      for (std::size_t k = 0; k < cols; ++k) {
        const double value = values[r * cols + k];
        const double error = value - decoded[k];
        part.sums.values += value * value;
        part.sums.errors += error * error;
        if (!weights.empty()) part.sums.weighted_errors += error * error * weights[k];
      }
    }
    return part;
  }

  const convert::ModelSource& source_;
  mamba2::Executor& executor_;
  std::vector<float> values_;
  std::vector<std::byte> codes_, scales_;
};

}  // namespace quantize
