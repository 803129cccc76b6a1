// SPDX-License-Identifier: Apache-2.0
// Q8_0 and Q4_0: weights with a scale for each 32 columns, as GGUF files have them, times
// activations of 8 bits. Q2_0: of 2 bits, with a scale for each 64.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "mamba2/core/half.hpp"
#include "mamba2/formats/coded_groups.hpp"
#include "mamba2/formats/dtype_range.hpp"
#include "mamba2/kernels/group_layout.hpp"
#include "mamba2/kernels/native.hpp"
#include "mamba2/linear/coded_inputs.hpp"
#include "mamba2/linear/matrix.hpp"
#include "mamba2/linear/plan.hpp"

namespace mamba2 {
inline namespace MAMBA2_ISA {

/// Weights with an FP16 scale for each 32 columns of a row (of 2 bits: 64); of a type in GGUF that
/// has such, with the file's own codes and scales. Other weights are quantized: scale = max|w| /
/// 127 (or / 7), rounded half to even; but none to 2 bits, of which codes are -1..2. Activations
/// are quantized to INT8 as they come, a scale for each group of columns, too: there are outliers
/// among them, and files cannot be rotated.
template <class Kernel, std::size_t kBits>
struct BasicGroups {
  static_assert(kBits == 2 || kBits == 4 || kBits == 8);
  static constexpr std::string_view name = kBits == 2 ? "q2_0" : kBits == 4 ? "q4_0" : "q8_0";
  using Head = BasicGroups;
  static constexpr std::size_t kRotation = 0;
  static constexpr std::size_t kBandRows = Kernel::kRows;
  static constexpr bool kPacksOnly = requires { Kernel::kPacksOnly; };
  static constexpr std::size_t kGroup = kBits == 2 ? 64 : 32;
  static constexpr std::size_t kWhole = kBits == 2 ? kGroup : 1;

  [[nodiscard]] static constexpr kernels::GroupLayout layout(std::size_t cols) {
    return kernels::GroupLayout::of(cols, kGroup, true, kBits);
  }
  [[nodiscard]] static constexpr std::size_t band_bytes(std::size_t cols) {
    return layout(cols).band_bytes(kBandRows);
  }

  [[nodiscard]] static constexpr float max_weight(DType stored) {
    if (detail::has_coded_groups(stored, kBits)) return max_encodable(DType::F32);  // kept
    return max_encodable(kBits == 4 ? DType::INT4_G32 : DType::Q8_0);
  }

  static void pack_band(const BandRows& from, std::size_t cols, std::byte* band) {
    const kernels::GroupLayout sizes = layout(cols);
    const bool keep = detail::has_coded_groups(from.stored, kBits);
    const std::size_t row_bytes =
        cols / dtype_block(from.stored) * dtype_size(from.stored);  // where kept
    for (std::size_t r = 0; r < kBandRows; ++r) {
      const bool stored = keep && r * row_bytes < from.data.size();
      for (std::size_t g = 0; g < sizes.groups(); ++g) {
        const Place place(sizes, r, g * kGroup);
        for (std::size_t begin = 0; begin < kGroup; begin += 32) {
          const std::size_t first = std::min(cols, g * kGroup + begin);
          const std::size_t count = std::min<std::size_t>(32, cols - first);
          const detail::CodedGroup group =
              stored && count > 0 ? detail::read_coded_group(
                                        from.stored, from.data.data() + r * row_bytes, first / 32)
                                  : quantized(from.values + r * cols + first, count);
          reinterpret_cast<std::uint16_t*>(band + place.scale)[0] = group.scale;
          for (std::size_t i = 0; i < 32; i += Place::kColumns) {
            const auto bytes = joined(&group.codes[i]);
            std::memcpy(band + place.byte(begin + i), bytes.data(), bytes.size());
          }
        }
      }
    }
  }

  static void row(const Matrix& m, std::size_t index, float* to) {
    const kernels::GroupLayout sizes = layout(m.cols);
    const std::byte* band = m.band(index / kBandRows);
    for (std::size_t first = 0; first < m.cols; first += kGroup) {
      const Place place(sizes, index % kBandRows, first);
      const float scale =
          fp16_to_float(reinterpret_cast<const std::uint16_t*>(band + place.scale)[0]);
      for (std::size_t i = 0; i < std::min(kGroup, m.cols - first); ++i) {
        constexpr int kRange = 1 << kBits;
        constexpr int kLeast = kBits == 2 ? -1 : -kRange / 2;
        const int bits = static_cast<int>(band[place.byte(i)]) >> Place::shift(i);
        const int code = ((bits - Kernel::kBias - kLeast) & (kRange - 1)) + kLeast;
        to[first + i] = scale * static_cast<float>(code);
      }
    }
  }

  [[nodiscard]] static constexpr std::size_t input_bytes(std::size_t cols) {
    return layout(cols).input_bytes();
  }
  static void prepare(const float* x, std::size_t cols, std::byte* to) {
    prepare_coded(layout(cols), x, cols, to);
  }

  /// Sums of integers are exact, in whatever order: all alike.
  [[nodiscard]] static constexpr std::size_t arithmetic(std::size_t) { return 0; }
  static void multiply(const Matrix& m, std::size_t first, std::size_t count, const Inputs& x,
                       MutableRows y);

 private:
  /// Where in a band the codes and the scale of one group of one row are.
  struct Place {
    static constexpr std::size_t kColumns = 32 / kBits;  // in 4 bytes

    std::size_t codes;  // byte offset of the row's first 4 bytes in the group
    std::size_t scale;

    Place(const kernels::GroupLayout& sizes, std::size_t row, std::size_t first) {
      const std::size_t chunk = first / sizes.chunk() * sizes.chunk_bytes(kBandRows);
      const std::size_t begin = first % sizes.chunk();
      codes = chunk + sizes.code_bytes(kBandRows, begin) + row * 4;
      scale = chunk + sizes.code_bytes(kBandRows, sizes.chunk()) +
              (begin / kGroup * kBandRows + row) * sizeof(std::uint16_t);
    }
    /// Of the group's i-th column, and the place of its code in it.
    [[nodiscard]] std::size_t byte(std::size_t i) const {
      return codes + i / kColumns * (kBandRows * 4) + i % 4;
    }
    [[nodiscard]] static constexpr std::size_t shift(std::size_t i) {
      return i % kColumns / 4 * kBits;
    }
  };

  /// The codes of kColumns columns, as they are stored.
  static std::array<std::byte, 4> joined(const std::int8_t* codes) {
    constexpr unsigned kMask = (1U << kBits) - 1;
    std::array<std::byte, 4> bytes{};
    for (std::size_t i = 0; i < Place::kColumns; ++i) {
      const unsigned code = static_cast<unsigned>(codes[i] + Kernel::kBias) & kMask;
      bytes[i % 4] |= static_cast<std::byte>(code << Place::shift(i));
    }
    return bytes;
  }

  /// A group of `count` weights that the checkpoint does not have in this form.
  static detail::CodedGroup quantized(const float* w, std::size_t count) {
    if constexpr (kBits == 2) return {};  // of rows that fill up a band
    constexpr float kLargest = kBits == 4 ? 7.0F : 127.0F;
    float most = 0.0F;
    for (std::size_t i = 0; i < count; ++i) most = std::max(most, std::abs(w[i]));
    detail::CodedGroup group;
    group.scale = float_to_fp16(std::min(most / kLargest, kMaxFp16));
    const float scale = fp16_to_float(group.scale);
    for (std::size_t i = 0; i < count && scale > 0.0F; ++i) {
      const float code = std::nearbyint(w[i] / scale);
      group.codes[i] = static_cast<std::int8_t>(std::clamp(code, -kLargest, kLargest));
    }
    return group;
  }
};

template <class Kernel, std::size_t kBits>
void BasicGroups<Kernel, kBits>::multiply(const Matrix& m, std::size_t first, std::size_t count,
                                          const Inputs& x, MutableRows y) {
  const std::size_t rows = m.rows_in(first, count);
  Kernel::multiply(layout(m.cols), m.band(first), rows, x, y.columns(first * kBandRows, rows));
}

using Q8_0 = BasicGroups<kernels::Q8_0Native, 8>;
using Q4_0 = BasicGroups<kernels::Int4Native, 4>;
using Q2_0 = BasicGroups<kernels::Q2_0Native, 2>;

static_assert(MatrixFormat<Q8_0> && MatrixFormat<Q4_0> && MatrixFormat<Q2_0>);

}  // namespace MAMBA2_ISA
}  // namespace mamba2
