// SPDX-License-Identifier: Apache-2.0
// What a weight policy is, and the matrix that it packs.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <limits>
#include <span>
#include <string_view>

#include "mamba2/core/views.hpp"
#include "mamba2/formats/dtype.hpp"
#include "mamba2/formats/dtype_range.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// The rows of a band, on their way from a checkpoint into a Matrix.
struct BandRows {
  const float* values;        ///< (band rows, cols): rows past the last are zero
  DType stored = DType::F32;  ///< the checkpoint's type
  std::span<const std::byte> data =
      {};  ///< the same rows in that type, without those past the last
  std::span<const std::byte> scales = {};  ///< theirs, where the type has_scales
};

/// A weight matrix (rows, cols) packed by policy W into bands of W::kBandRows rows. A band is one
/// linear stream of memory in which a lane of a vector register is a row, so that a matrix-vector
/// product needs no sum across lanes. Rows that fill up the last band are zero.
///
/// This is the matrix of a policy with a single format, whose functions it calls; see
/// MatrixFormat. Mixed has a Matrix of its own.
template <class W>
struct Matrix {
  const std::byte* bands;
  std::size_t rows;
  std::size_t cols;

  /// Chooses the format for a matrix that a checkpoint stores in this type. Here there is no
  /// choice.
  static void choose_format(DType) {}

  [[nodiscard]] std::size_t band_bytes() const noexcept { return W::band_bytes(cols); }
  [[nodiscard]] std::size_t band_count() const noexcept {
    return (rows + W::kBandRows - 1) / W::kBandRows;
  }
  [[nodiscard]] std::size_t bytes() const noexcept { return band_count() * band_bytes(); }
  [[nodiscard]] const std::byte* band(std::size_t index) const noexcept {
    return bands + index * band_bytes();
  }
  /// Rows in the bands [first, first + count) that are not filling.
  [[nodiscard]] std::size_t rows_in(std::size_t first, std::size_t count) const noexcept {
    return std::min(rows, (first + count) * W::kBandRows) - first * W::kBandRows;
  }

  /// Whether pack_band() takes rows of this type, which has_scales, by their codes and scales:
  /// without their values.
  [[nodiscard]] static constexpr bool takes_codes(DType stored) {
    if constexpr (requires { W::takes_codes(stored); }) return W::takes_codes(stored);
    return false;
  }
  /// The largest magnitude that weights may have which a checkpoint stores in this type.
  [[nodiscard]] static constexpr float max_weight(DType stored) {
    if constexpr (requires { W::max_weight(stored); }) return W::max_weight(stored);
    return max_encodable(DType::F32);
  }
  /// What the weights are stored in, for messages.
  [[nodiscard]] static constexpr std::string_view format_name() { return W::name; }
  /// Packs the rows of a band.
  void pack_band(const BandRows& from, std::byte* to) const { W::pack_band(from, cols, to); }
  /// The values of one row: to (cols).
  void row(std::size_t index, float* to) const { W::row(*this, index, to); }
  /// Bytes of one input made ready: a multiple of 64.
  [[nodiscard]] std::size_t input_bytes() const { return W::input_bytes(cols); }
  /// Makes one input x (cols) ready.
  void prepare(const float* x, std::byte* to) const { W::prepare(x, cols, to); }
  /// The same value for numbers of tokens that multiply() works on in the same way, to the bit.
  [[nodiscard]] static constexpr std::size_t arithmetic(std::size_t tokens) {
    return W::arithmetic(tokens);
  }
  /// y = x m^T for the rows in the bands [first, first + count): x (tokens, cols) made ready, y
  /// (tokens, rows), of which other columns are left alone. What is computed for a row depends
  /// neither on first nor on count.
  void multiply(std::size_t first, std::size_t count, const Inputs& x, MutableRows y) const {
    W::multiply(*this, first, count, x, y);
  }
};

inline constexpr std::size_t kRotationAsStored = std::numeric_limits<std::size_t>::max();

/// How weights are stored and multiplied. A policy has no state:
///   name                       what users call it: "int8"
///   Head                       the policy of the embedding and the head of such a model
///   kRotation                  width of the Hadamard blocks that out_proj and its input are
///                              rotated by at most (kernels/hadamard.hpp); 0: not rotated;
///                              kRotationAsStored: as the checkpoint has it
///   kBandRows                  rows of a band
/// and a Matrix.
template <class W>
concept WeightPolicy = requires(Matrix<W>& m, const BandRows& rows, const Inputs& x, MutableRows y,
                                std::size_t n, const float* from, float* to, std::byte* bytes) {
  { W::name } -> std::convertible_to<std::string_view>;
  typename W::Head;
  { W::kRotation } -> std::convertible_to<std::size_t>;
  { W::kBandRows } -> std::convertible_to<std::size_t>;
  { m.choose_format(DType::F32) } -> std::same_as<void>;
  { m.band_bytes() } -> std::same_as<std::size_t>;
  { m.takes_codes(DType::F32) } -> std::same_as<bool>;
  { m.max_weight(DType::F32) } -> std::same_as<float>;
  { m.format_name() } -> std::convertible_to<std::string_view>;
  { m.pack_band(rows, bytes) } -> std::same_as<void>;
  { m.row(n, to) } -> std::same_as<void>;
  { m.input_bytes() } -> std::same_as<std::size_t>;
  { m.prepare(from, bytes) } -> std::same_as<void>;
  { m.arithmetic(n) } -> std::same_as<std::size_t>;
  { m.multiply(n, n, x, y) } -> std::same_as<void>;
};

/// A policy with a single format for all matrices says by functions what Matrix needs to know:
///   band_bytes(cols)           bytes of a band
///   pack_band(rows, cols, to), row(m, index, to), input_bytes(cols), prepare(x, cols, to),
///   arithmetic(tokens), multiply(m, first, count, x, y)
///                              as those of Matrix
/// and, if it can, takes_codes(stored); if it cannot hold every float, max_weight(stored).
/// Templates define multiply() outside of the class, where it is not inline: so that "extern
/// template" keeps it, and the kernels that it calls, out of a source file.
template <class W>
concept MatrixFormat = requires(const Matrix<W>& m, const BandRows& rows, const Inputs& x,
                                MutableRows y, std::size_t n, const float* from, float* to,
                                std::byte* bytes) {
  { W::band_bytes(n) } -> std::same_as<std::size_t>;
  { W::pack_band(rows, n, bytes) } -> std::same_as<void>;
  { W::row(m, n, to) } -> std::same_as<void>;
  { W::input_bytes(n) } -> std::same_as<std::size_t>;
  { W::prepare(from, n, bytes) } -> std::same_as<void>;
  { W::arithmetic(n) } -> std::same_as<std::size_t>;
  { W::multiply(m, n, n, x, y) } -> std::same_as<void>;
};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
