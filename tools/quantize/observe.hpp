// SPDX-License-Identifier: Apache-2.0
// A format that lets others see the inputs of matrices.
#pragma once

#include <cstddef>
#include <cstring>
#include <mamba2/kernels/hadamard.hpp>
#include <mamba2/mamba2.hpp>
#include <string_view>
#include <vector>

namespace quantize {

/// The inputs of one matrix, token after token.
class InputRecorder {
 public:
  /// rotation: width of the Hadamard blocks that the inputs are rotated by.
  InputRecorder(std::size_t cols, std::size_t rotation) : cols_(cols), rotation_(rotation) {}

  /// Whether inputs are noted; at first they are not.
  void turn(bool on) { on_ = on; }

  /// Notes the inputs of some tokens, made ready for a matrix of floats.
  void take(const mamba2::Inputs& x) {
    if (!on_) return;
    for (std::size_t t = 0; t < x.tokens; ++t) {
      rows_.resize(rows_.size() + cols_);
      float* row = &rows_[rows_.size() - cols_];
      std::memcpy(row, x[t], cols_ * sizeof(float));
      if (rotation_ > 1) mamba2::kernels::hadamard(row, cols_, rotation_);
    }
  }

  /// (tokens(), cols()), since the last clear().
  [[nodiscard]] const float* rows() const { return rows_.data(); }
  [[nodiscard]] std::size_t tokens() const { return rows_.size() / cols_; }
  [[nodiscard]] std::size_t cols() const { return cols_; }
  void clear() { rows_.clear(); }

 private:
  std::size_t cols_;
  std::size_t rotation_;
  bool on_ = false;
  std::vector<float> rows_;
};

/// FP16, and a matrix's inputs are noted.
struct ObservedFormat : mamba2::Format {
  InputRecorder recorder;

  explicit ObservedFormat(const mamba2::Matrix& m)
      : mamba2::Format(mamba2::kFormat<mamba2::Fp16>), recorder(m.cols, m.rotation) {
    multiply = multiply_observed;
  }

 private:
  /// Of the tasks of a product, the one with the first bands takes note: the tokens are in their
  /// order, whatever the threads.
  static void multiply_observed(const mamba2::Matrix& m, std::size_t first, std::size_t count,
                                const mamba2::Inputs& x, mamba2::MutableRows y) {
    // A matrix has but a view of its format.
    auto* format = const_cast<mamba2::Format*>(m.format);  // NOLINT(*-const-cast)
    if (first == 0) static_cast<ObservedFormat*>(format)->recorder.take(x);
    mamba2::kFormat<mamba2::Fp16>.multiply(m, first, count, x, y);
  }
};

}  // namespace quantize
