// SPDX-License-Identifier: Apache-2.0
// Matrices as other programs quantize them: codes and scales are tensors of their own.
//
//   FP8    X.weight           F8_E4M3 or F8_E5M2 (rows, cols)
//          X.weight_scale     or X.weight_scale_inv: one number, or (rows) or (rows, 1), or a
//          number
//                             for each (1 x cols / n) or (128 x 128) block; weight = scale * value
//   INT4   X.weight_packed    I32 (rows, cols / 8)     codes -8..7, each plus 8, column 0 lowest
//          X.weight_scale     (rows, cols / group), or a number for each row
//          X.weight_shape     I64 (2)                  rows and cols
//
// as vLLM's compressed-tensors (float-quantized, pack-quantized), NVIDIA's ModelOpt (FP8) and
// transformers (fp8) write them. Scales are F32, F16 or BF16. The bytes of packed codes are those
// of INT4 here (quantization.hpp), whose scales are F16: others are rounded to that.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mamba2/core/half.hpp"
#include "mamba2/core/result.hpp"
#include "mamba2/formats/dtype.hpp"
#include "mamba2/formats/fp8.hpp"
#include "mamba2/io/printable.hpp"
#include "mamba2/io/tensor_view.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

inline constexpr std::string_view kWeightSuffix = ".weight";
inline constexpr std::string_view kPackedSuffix = ".weight_packed";
/// Rows and columns of a block of FP8 that shares a scale.
inline constexpr std::size_t kFp8Block = 128;

/// What such a matrix has besides its codes.
inline constexpr std::array<std::string_view, 3> kScaleSuffixes = {
    ".weight_scale", ".weight_scale_inv", ".weight_shape"};
/// Scales of activations and of caches, which are FP8 nowhere here.
inline constexpr std::array<std::string_view, 6> kActivationSuffixes = {
    ".input_scale", ".output_scale", ".activation_scale", ".q_scale", ".k_scale", ".v_scale"};

template <class... Reason>
[[nodiscard]] Error foreign_error(const TensorView& tensor, ErrorCode code,
                                  const Reason&... reason) {
  return Error{code, concat(tensor.file, ": tensor ", in_quotes(tensor.name), reason...)};
}

/// The numbers of a tensor of scales. Errors: unsupported (their type), malformed (one is not
/// finite).
[[nodiscard]] inline Result<std::vector<float>> read_scales(const TensorView& scales) {
  if (scales.dtype != DType::F32 && scales.dtype != DType::F16 && scales.dtype != DType::BF16) {
    return foreign_error(scales, ErrorCode::unsupported, " must be F32, F16 or BF16, found ",
                         dtype_name(scales.dtype));
  }
  std::vector<float> values(scales.elements());
  read_floats(scales, 0, values);
  const auto bad =
      std::find_if(values.begin(), values.end(), [](float value) { return !std::isfinite(value); });
  if (bad == values.end()) return values;
  return foreign_error(scales, ErrorCode::malformed, ": element ", bad - values.begin(),
                       " must be a finite value, found ", *bad);
}

/// Numbers, for views of them.
template <class Number>
[[nodiscard]] std::shared_ptr<const std::vector<std::byte>> owned_bytes(
    const std::vector<Number>& numbers) {
  const auto bytes = std::as_bytes(std::span(numbers));
  return std::make_shared<const std::vector<std::byte>>(bytes.begin(), bytes.end());
}

inline void give_scales(TensorView& matrix, std::shared_ptr<const std::vector<std::byte>> scales) {
  matrix.owner = std::move(scales);
  matrix.scales = *matrix.owner;
}

/// The shape of a tensor of scales as (rows, columns), without dimensions of 1 between; of a stack
/// of matrices, one below the other.
[[nodiscard]] inline std::array<std::size_t, 2> grid_shape(const TensorView& scales) {
  std::vector<std::size_t> shape = scales.shape;
  if (shape.size() == 4 && shape[1] == 1 && shape[3] == 1) shape = {shape[0], shape[2]};
  if (shape.size() < 2) return {scales.elements(), 1};
  const std::size_t cols = shape.back();
  return {cols == 0 ? 0 : scales.elements() / cols, cols};
}

/// Which elements of a matrix, or of a stack of matrices, share a scale; nothing if the shape of
/// the scales does not say.
[[nodiscard]] inline std::optional<ScaleGrid> grid_of(const TensorView& matrix,
                                                      const TensorView& scales) {
  const std::size_t cols = matrix.shape.back();
  const std::size_t of_one = matrix.shape[matrix.shape.size() - 2];
  const std::size_t rows = cols == 0 ? 0 : matrix.elements() / cols;
  if (rows == 0) return std::nullopt;
  const auto [down, across] = grid_shape(scales);
  if (scales.elements() == 1) return ScaleGrid{rows, cols, 1};
  if (scales.elements() == rows / of_one) return ScaleGrid{of_one, cols, 1};
  if (down == rows && across != 0 && cols % across == 0) {
    return ScaleGrid{1, cols / across, across};
  }
  const auto blocks = [](std::size_t size) { return (size + kFp8Block - 1) / kFp8Block; };
  const bool whole = rows == of_one || of_one % kFp8Block == 0;
  if (whole && down == blocks(rows) && across == blocks(cols)) {
    return ScaleGrid{kFp8Block, kFp8Block, across};
  }
  return std::nullopt;
}

[[nodiscard]] inline Result<TensorView> join_fp8(TensorView matrix, const TensorView& scales) {
  if (matrix.shape.size() != 2 && matrix.shape.size() != 3) {
    return foreign_error(matrix, ErrorCode::unsupported, " of ", dtype_name(matrix.dtype),
                         " must be a matrix, or a stack of such, found ", shape_text(matrix.shape));
  }
  const std::optional<ScaleGrid> grid = grid_of(matrix, scales);
  if (!grid) {
    return foreign_error(scales, ErrorCode::unsupported,
                         " must have one number, or one for each row, for each group of columns of "
                         "a row or for each 128 rows and columns of ",
                         shape_text(matrix.shape), ", found ", shape_text(scales.shape));
  }
  const Result<std::vector<float>> values = read_scales(scales);
  if (!values) return values.error();
  matrix.grid = *grid;
  give_scales(matrix, owned_bytes(*values));
  return matrix;
}

/// The columns of a matrix of packed codes. Errors: as join_packed.
[[nodiscard]] inline Result<std::size_t> packed_columns(const TensorView& packed,
                                                        const TensorView* shape) {
  if (packed.dtype != DType::I32 || packed.shape.size() != 2) {
    return foreign_error(packed, ErrorCode::unsupported, " must be I32 with two dimensions, found ",
                         dtype_name(packed.dtype), " ", shape_text(packed.shape));
  }
  if (shape == nullptr) {
    return foreign_error(packed, ErrorCode::mismatch, " must have its \"_shape\", found none");
  }
  if (shape->dtype != DType::I64 || shape->elements() != 2) {
    return foreign_error(*shape, ErrorCode::mismatch, " must be I64 [2], found ",
                         dtype_name(shape->dtype), " ", shape_text(shape->shape));
  }
  std::array<std::uint64_t, 2> sizes{};
  std::memcpy(sizes.data(), shape->data.data(), sizeof sizes);
  if (sizes[0] != packed.shape[0] || sizes[1] % 8 != 0 || sizes[1] / 8 != packed.shape[1]) {
    return foreign_error(packed, ErrorCode::unsupported,
                         " must have codes of 4 bits for a matrix (", sizes[0], ", ", sizes[1],
                         "), found ", shape_text(packed.shape));
  }
  return static_cast<std::size_t>(sizes[1]);
}

/// Scales (rows, n) as those of INT4 with groups of `group` columns, which fit into theirs.
[[nodiscard]] inline Result<std::vector<std::uint16_t>> scales_of_groups(const TensorView& scales,
                                                                         std::size_t each) {
  const Result<std::vector<float>> values = read_scales(scales);
  if (!values) return values.error();
  std::vector<std::uint16_t> halves;
  halves.reserve(values->size() * each);
  for (const float value : *values) {
    const std::uint16_t half = float_to_fp16(value);
    // Within half a unit of its last place, but where FP16 has few digits left.
    if (!(std::fabs(fp16_to_float(half) - value) <= std::fabs(value) * 0x1p-11F)) {
      return foreign_error(scales, ErrorCode::unsupported, ": element ", halves.size() / each,
                           " must be a scale that FP16 holds, found ", value);
    }
    halves.insert(halves.end(), each, half);
  }
  return halves;
}

/// A matrix of packed INT4. Errors: mismatch, malformed, unsupported (other bits or groups).
[[nodiscard]] inline Result<TensorView> join_packed(TensorView packed, const TensorView* scales,
                                                    const TensorView* shape) {
  const Result<std::size_t> cols = packed_columns(packed, shape);
  if (!cols) return cols.error();
  if (scales == nullptr) {
    return foreign_error(packed, ErrorCode::mismatch, " must have its \"_scale\", found none");
  }
  const auto [rows, count] = grid_shape(*scales);
  const bool fits = rows == packed.shape[0] && count != 0 && *cols % count == 0;
  const std::size_t group = fits ? *cols / count : 0;
  for (const DType dtype : {DType::INT4_G128, DType::INT4_G64, DType::INT4_G32}) {
    if (group == 0 || group % dtype_block(dtype) != 0) continue;
    const auto halves = scales_of_groups(*scales, group / dtype_block(dtype));
    if (!halves) return halves.error();
    packed.name.resize(packed.name.size() - kPackedSuffix.size());
    packed.name += kWeightSuffix;
    packed.dtype = dtype;
    packed.shape[1] = *cols;
    give_scales(packed, owned_bytes(*halves));
    return packed;
  }
  return foreign_error(
      *scales, ErrorCode::unsupported,
      " must have a number for each row, or for 32, 64 or a multiple of 128 of its ", *cols,
      " columns, found ", shape_text(scales->shape));
}

template <std::size_t kCount>
[[nodiscard]] bool ends_with_any(std::string_view name,
                                 const std::array<std::string_view, kCount>& ends) {
  return std::any_of(ends.begin(), ends.end(),
                     [name](std::string_view end) { return name.ends_with(end); });
}

/// Joins the tensors of such matrices: each becomes one X.weight, with its scales, under the names
/// of the file; scales of activations are left out. All else is as it was, FP8 without scales, too.
/// Errors: mismatch, malformed, unsupported.
[[nodiscard]] inline Result<std::vector<TensorView>> join_foreign_scales(
    std::vector<TensorView> tensors) {
  const auto is_matrix = [](const TensorView& tensor) {
    return (tensor.name.ends_with(kWeightSuffix) && is_fp8(tensor.dtype)) ||
           tensor.name.ends_with(kPackedSuffix);
  };
  if (std::none_of(tensors.begin(), tensors.end(), is_matrix)) return tensors;
  const TensorTable table(std::move(tensors));
  std::vector<TensorView> joined;
  std::vector<std::string> used;
  for (const TensorView& tensor : table.tensors()) {
    if (!is_matrix(tensor)) continue;
    const bool is_packed = tensor.name.ends_with(kPackedSuffix);
    const std::string stem = tensor.name.substr(
        0, tensor.name.size() - (is_packed ? kPackedSuffix : kWeightSuffix).size());
    for (const std::string_view end : {".weight_zero_point", ".weight_g_idx"}) {
      if (const TensorView* other = table.find(concat(stem, end))) {
        return foreign_error(*other, ErrorCode::unsupported,
                             " is of a quantization that is not supported: expected symmetric "
                             "codes, in the order of the columns");
      }
    }
    const TensorView* scales = table.find(concat(stem, kScaleSuffixes[0]));
    if (scales == nullptr) scales = table.find(concat(stem, kScaleSuffixes[1]));
    if (!is_packed && scales == nullptr) {  // which nothing can read
      joined.push_back(tensor);
      continue;
    }
    Result<TensorView> matrix =
        is_packed ? join_packed(tensor, scales, table.find(concat(stem, kScaleSuffixes[2])))
                  : join_fp8(tensor, *scales);
    if (!matrix) return matrix.error();
    joined.push_back(*std::move(matrix));
    used.push_back(stem);
  }
  std::sort(used.begin(), used.end());
  for (const TensorView& tensor : table.tensors()) {
    const std::string_view name = tensor.name;
    if (is_matrix(tensor) || ends_with_any(name, kActivationSuffixes)) continue;
    const bool is_scale =
        ends_with_any(name, kScaleSuffixes) &&
        std::binary_search(used.begin(), used.end(), std::string(name.substr(0, name.rfind('.'))));
    if (!is_scale) joined.push_back(tensor);
  }
  return joined;
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
