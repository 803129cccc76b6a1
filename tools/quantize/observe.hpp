// SPDX-License-Identifier: Apache-2.0
// A weight policy that lets others see the inputs of matrices.
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

}  // namespace quantize

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// Fp16, and the matrices' inputs are recorded where a recorder is set.
struct Observed {
  static constexpr std::string_view name = "fp16";
  using Head = Observed;
  static constexpr std::size_t kRotation = Fp16::kRotation;
  static constexpr std::size_t kBandRows = Fp16::kBandRows;
};

template <>
struct Matrix<Observed> {
  const std::byte* bands;
  std::size_t rows;
  std::size_t cols;
  quantize::InputRecorder* recorder = nullptr;

  [[nodiscard]] Matrix<Fp16> plain() const { return {bands, rows, cols}; }

  static void choose_format(DType) {}
  [[nodiscard]] static constexpr bool takes_codes(DType) { return false; }
  [[nodiscard]] std::size_t band_bytes() const { return plain().band_bytes(); }
  [[nodiscard]] std::size_t band_count() const { return plain().band_count(); }
  [[nodiscard]] std::size_t bytes() const { return plain().bytes(); }
  [[nodiscard]] const std::byte* band(std::size_t index) const { return plain().band(index); }
  [[nodiscard]] std::size_t rows_in(std::size_t first, std::size_t count) const {
    return plain().rows_in(first, count);
  }
  [[nodiscard]] static constexpr float max_weight(DType stored) {
    return Matrix<Fp16>::max_weight(stored);
  }
  [[nodiscard]] static constexpr std::string_view format_name() { return Observed::name; }
  void pack_band(const BandRows& from, std::byte* to) const { plain().pack_band(from, to); }
  void row(std::size_t index, float* to) const { plain().row(index, to); }
  [[nodiscard]] std::size_t input_bytes() const { return plain().input_bytes(); }
  void prepare(const float* x, std::byte* to) const { plain().prepare(x, to); }
  [[nodiscard]] static constexpr std::size_t arithmetic(std::size_t tokens) {
    return Matrix<Fp16>::arithmetic(tokens);
  }

  /// Of the tasks of a product, the one with the first bands takes note: the tokens are in their
  /// order, whatever the threads.
  void multiply(std::size_t first, std::size_t count, const Inputs& x, MutableRows y) const {
    if (recorder != nullptr && first == 0) recorder->take(x);
    plain().multiply(first, count, x, y);
  }
};

static_assert(WeightPolicy<Observed>);

}  // namespace MAMBA2_ISA
}  // namespace mamba2
