// SPDX-License-Identifier: Apache-2.0
// From floats to inputs of products with weights in groups of columns.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "mamba2/kernels/coded_inputs.hpp"
#include "mamba2/kernels/quantize.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// Makes one input x (cols) ready: INT8 codes, scales and sums. to: (sizes.input_bytes()).
inline void prepare_coded(const kernels::CodedInputs& sizes, const float* x, std::size_t cols,
                          std::byte* to) {
  auto* codes = reinterpret_cast<std::int8_t*>(to);
  auto* scales = reinterpret_cast<float*>(to + sizes.scales_offset());
  auto* sums = reinterpret_cast<std::int32_t*>(scales + sizes.input_groups());
  std::fill(codes + cols, codes + sizes.cols, std::int8_t{0});
  for (std::size_t i = 0; i < sizes.input_groups(); ++i) {
    const std::size_t first = std::min(cols, i * sizes.input_group);
    const std::size_t count = std::min(sizes.input_group, cols - first);
    const kernels::Int8Scale scale = kernels::int8_scale(x + first, count);
    scales[i] = scale.step;
    const std::size_t end = (i + 1) * sizes.input_group;
    for (std::size_t k = i * sizes.input_group; k < end; k += sizes.group) {
      const std::size_t some = std::min(sizes.group, cols - std::min(cols, k));
      sums[k / sizes.group] = kernels::int8_codes(x + k, some, scale.inverse, codes + k);
    }
  }
}

/// The same for weights with minima, for which sums are those of values.
inline void prepare_with_value_sums(const kernels::CodedInputs& sizes, const float* x,
                                    std::size_t cols, std::byte* to) {
  prepare_coded(sizes, x, cols, to);
  const float* scales = sizes.scales(to);
  const std::int32_t* sums = sizes.sums(to);
  auto* values = reinterpret_cast<float*>(to + sizes.scales_offset()) + sizes.input_groups();
  const std::size_t groups = sizes.input_group / sizes.group;  // that share a scale
  for (std::size_t g = 0; g < sizes.groups(); ++g) {
    values[g] = scales[g / groups] * static_cast<float>(sums[g]);
  }
}

}  // namespace MAMBA2_ISA
}  // namespace mamba2
