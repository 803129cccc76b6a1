// SPDX-License-Identifier: Apache-2.0
// A weight matrix, and the formats that its weights may have.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <span>
#include <string_view>

#include "mamba2/core/views.hpp"
#include "mamba2/formats/dtype.hpp"
#include "mamba2/formats/dtype_range.hpp"
#include "mamba2/kernels/hadamard.hpp"

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

struct Matrix;

/// How weights are stored and multiplied: a table of functions. kFormat<W> makes one of a class
/// whose static members these are.
struct Format {
  std::string_view name;
  std::size_t band_rows;  ///< rows of a band
  std::size_t whole;      ///< columns must be a multiple of it: 1 for most
  /// Bytes of a band.
  std::size_t (*band_bytes)(std::size_t cols);
  /// Whether pack_band() takes rows of this type, which has_scales, by their codes and scales:
  /// without their values.
  bool (*takes_codes)(DType stored);
  /// The largest magnitude that weights may have which a checkpoint stores in this type.
  float (*max_weight)(DType stored);
  /// Packs the rows of a band.
  void (*pack_band)(const BandRows& from, std::size_t cols, std::byte* to);
  /// The values of one row, as they are stored: to (cols).
  void (*row)(const Matrix& m, std::size_t index, float* to);
  /// Bytes of one input made ready: a multiple of 64.
  std::size_t (*input_bytes)(std::size_t cols);
  /// Makes one input x (cols) ready.
  void (*prepare)(const float* x, std::size_t cols, std::byte* to);
  /// Whether prepare() rounds inputs as kernels/bitlinear.hpp does.
  bool is_bitlinear;
  /// The same value for numbers of tokens that multiply() works on in the same way, to the bit.
  std::size_t (*arithmetic)(std::size_t tokens);
  /// As Matrix::multiply(); nullptr where bands are only packed, for another CPU.
  void (*multiply)(const Matrix& m, std::size_t first, std::size_t count, const Inputs& x,
                   MutableRows y);
};

/// A weight matrix (rows, cols) packed in bands of format->band_rows rows. A band is one linear
/// stream of memory in which a lane of a vector register is a row, so that a matrix-vector product
/// needs no sum across lanes. Rows that fill up the last band are zero.
struct Matrix {
  const Format* format = nullptr;
  const std::byte* bands = nullptr;
  std::size_t rows = 0;
  std::size_t cols = 0;
  /// Width of the Hadamard blocks that the rows, and so the inputs, are rotated by
  /// (kernels/hadamard.hpp); 1: not rotated.
  std::size_t rotation = 1;

  [[nodiscard]] std::size_t band_bytes() const noexcept { return format->band_bytes(cols); }
  [[nodiscard]] std::size_t band_count() const noexcept {
    return (rows + format->band_rows - 1) / format->band_rows;
  }
  [[nodiscard]] std::size_t bytes() const noexcept { return band_count() * band_bytes(); }
  [[nodiscard]] const std::byte* band(std::size_t index) const noexcept {
    return bands + index * band_bytes();
  }
  /// Rows in the bands [first, first + count) that are not filling.
  [[nodiscard]] std::size_t rows_in(std::size_t first, std::size_t count) const noexcept {
    return std::min(rows, (first + count) * format->band_rows) - first * format->band_rows;
  }

  /// The values of one row, rotated if the matrix is: to (cols).
  void row(std::size_t index, float* to) const { format->row(*this, index, to); }

  [[nodiscard]] std::size_t input_bytes() const { return format->input_bytes(cols); }
  /// Rotates an input x (cols) as the matrix is: what prepare() then takes.
  void rotate(float* x) const noexcept {
    if (rotation > 1) kernels::hadamard(x, cols, rotation);
  }
  void prepare(const float* x, std::byte* to) const { format->prepare(x, cols, to); }
  [[nodiscard]] std::size_t arithmetic(std::size_t tokens) const {
    return format->arithmetic(tokens);
  }
  /// y = x m^T for the rows in the bands [first, first + count): x (tokens, cols) made ready, y
  /// (tokens, rows), of which other columns are left alone. What is computed for a row depends
  /// neither on first nor on count.
  void multiply(std::size_t first, std::size_t count, const Inputs& x, MutableRows y) const {
    format->multiply(*this, first, count, x, y);
  }
};

/// A class whose static members are those of a Format. Left out may be takes_codes and max_weight,
/// by one that takes no codes or holds every float, and kWhole, kBitlinear and kPacksOnly, which
/// are 1 and false. kPacksOnly: the bands are another CPU's, and there is no kernel. Templates
/// define multiply() outside of the class, where it is not inline: so that "extern template" keeps
/// it, and the kernels that it calls, out of a source file.
template <class W>
concept MatrixFormat = requires(const Matrix& m, const BandRows& rows, const Inputs& x,
                                MutableRows y, std::size_t n, const float* from, float* to,
                                std::byte* bytes) {
  { W::name } -> std::convertible_to<std::string_view>;
  { W::kBandRows } -> std::convertible_to<std::size_t>;
  { W::band_bytes(n) } -> std::same_as<std::size_t>;
  { W::pack_band(rows, n, bytes) } -> std::same_as<void>;
  { W::row(m, n, to) } -> std::same_as<void>;
  { W::input_bytes(n) } -> std::same_as<std::size_t>;
  { W::prepare(from, n, bytes) } -> std::same_as<void>;
  { W::arithmetic(n) } -> std::same_as<std::size_t>;
  { W::multiply(m, n, n, x, y) } -> std::same_as<void>;
};

namespace detail {

template <class W>
[[nodiscard]] constexpr bool takes_codes(DType stored) {
  if constexpr (requires { W::takes_codes(stored); }) return W::takes_codes(stored);
  return false;
}

template <class W>
[[nodiscard]] constexpr float max_weight(DType stored) {
  if constexpr (requires { W::max_weight(stored); }) return W::max_weight(stored);
  return max_encodable(DType::F32);
}

template <class W>
[[nodiscard]] constexpr std::size_t whole_columns() {
  if constexpr (requires { W::kWhole; }) return W::kWhole;
  return 1;
}

template <class W>
[[nodiscard]] constexpr bool is_bitlinear() {
  return requires { requires W::kBitlinear; };
}

template <class W>
[[nodiscard]] constexpr auto multiply_of() -> decltype(Format::multiply) {
  if constexpr (requires { requires W::kPacksOnly; }) {
    return nullptr;
  } else {
    return &W::multiply;
  }
}

}  // namespace detail

template <MatrixFormat W>
inline constexpr Format kFormat = {W::name,
                                   W::kBandRows,
                                   detail::whole_columns<W>(),
                                   &W::band_bytes,
                                   &detail::takes_codes<W>,
                                   &detail::max_weight<W>,
                                   &W::pack_band,
                                   &W::row,
                                   &W::input_bytes,
                                   &W::prepare,
                                   detail::is_bitlinear<W>(),
                                   &W::arithmetic,
                                   detail::multiply_of<W>()};

}  // namespace MAMBA2_ISA
}  // namespace mamba2
