// SPDX-License-Identifier: Apache-2.0
// Whether a tensor is what a model needs.
#pragma once

#include <string_view>

#include "mamba2/core/result.hpp"
#include "mamba2/formats/dtype.hpp"
#include "mamba2/formats/fp8.hpp"
#include "mamba2/io/printable.hpp"
#include "mamba2/io/tensor_names.hpp"
#include "mamba2/io/tensor_view.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {
namespace detail {

/// Checks the shape and the type of a tensor that a model needs.
[[nodiscard]] inline Result<void> check_tensor(const TensorView& tensor, const TensorSpec& spec) {
  const auto failure = [&](ErrorCode code, const auto&... reason) {
    return Error{code, concat(tensor.file, ": tensor ", in_quotes(spec.name), ": ", reason...)};
  };
  // Only the filters of the convolution have three dimensions; some writers drop the middle one.
  const bool is_squeezed = spec.shape.size() == 3 && tensor.shape.size() == 2 &&
                           tensor.shape[0] == spec.shape[0] && tensor.shape[1] == spec.shape[2];
  if (tensor.shape != spec.shape && !is_squeezed) {
    return failure(ErrorCode::mismatch, "shape must be ", shape_text(spec.shape), ", found ",
                   shape_text(tensor.shape));
  }
  if (!tensor.is_readable()) {
    return failure(ErrorCode::unsupported, "dtype must be F64, F32, F16 or BF16, found ",
                   dtype_name(tensor.dtype), is_fp8(tensor.dtype) ? " without scales" : "");
  }
  return {};
}

/// The tensor that a model needs, or A itself in place of A_log; nullptr if there is none.
[[nodiscard]] inline const TensorView* find_needed(const TensorTable& table,
                                                   std::string_view name) {
  constexpr std::string_view kLog = "_log";
  const TensorView* tensor = table.find(name);
  if (tensor != nullptr || !name.ends_with(".A_log")) return tensor;
  return table.find(name.substr(0, name.size() - kLog.size()));
}

}  // namespace detail
}  // namespace MAMBA2_ISA
}  // namespace mamba2
